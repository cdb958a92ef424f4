//! What an earlier daemon left: shown at once as it was recorded, then made true again pod by pod.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peapod_shim_protocol::containerd::protobuf::MessageField;
use rustix::io::Errno;
use tokio::task::JoinSet;

use crate::container::{self, Expected, Fate};
use crate::driver::{Pod, ended};
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::load::Loaded;
use crate::node::Node;
use crate::record::{ContainerPhase, Ended, PodPhase, PodState};
use crate::sandbox::{self, SetUp};
use crate::shim::{Foreign, Shim, ShimError, settle_old_copy};

/// How long a pod's shim may take to answer the new daemon. Long: a shim that is only slow must not lose its pod.
const LIMIT: Duration = Duration::from_secs(60);

/// What the first snapshot says about a pod: nothing of another boot runs any more.
pub(crate) fn as_of_this_boot(mut loaded: Loaded, boot_id: &str, now: i64) -> Loaded {
    if loaded.state.boot_id == boot_id {
        return loaded;
    }
    loaded.rebooted = true;
    boot_id.clone_into(&mut loaded.state.boot_id);
    if loaded.state.phase == PodPhase::Ready {
        loaded.state.phase = PodPhase::Broken;
    }
    loaded.state.shim_pid = 0;
    for (_, _, container) in &mut loaded.containers {
        let started_at = match container.phase {
            ContainerPhase::Running { started_at, .. } => started_at,
            ContainerPhase::Starting => 0,
            ContainerPhase::Created | ContainerPhase::Exited(_) => continue,
        };
        container.phase = ContainerPhase::Exited(Ended {
            started_at,
            finished_at: now,
            code: 255,
            reason: "Unknown".to_owned(),
            message: "the node was restarted".to_owned(),
        });
        container.held = false;
    }
    loaded
}

/// Adds to a recorded pod what can be seen of it at once, for the first snapshot: which containers have ended, and whether
/// its shim is gone. Recovery, which follows, asks the shim and records.
pub(crate) fn look(node: &Node, pod: &mut Pod) {
    if pod.rebooted || !matches!(pod.record.phase, PodPhase::Ready | PodPhase::Broken) {
        return;
    }
    match knock(&pod.record.socket) {
        Ok(stream) => pod.connection = stream,
        Err(error) => {
            tracing::warn!(pod = pod.id.short(), %error, "the pod's shim does not listen any more: the pod is not ready");
            pod.record.phase = PodPhase::Broken;
            pod.record.shim_pid = 0;
        }
    }
    for (id, container) in &mut pod.containers {
        let Some(made) = container.made_mut() else { continue };
        if let ContainerPhase::Running { started_at, .. } = made.record.phase {
            let exit = container::exit_file_now(&node.bundle(&pod.id, id));
            made.seen_exit = exit.as_ref().map(|exit| ended(exit).since(started_at));
        }
    }
}

/// A connection to a shim; none if that would take a wait. An error means that nobody listens.
fn knock(socket: &Path) -> io::Result<Option<UnixStream>> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let address = SocketAddrUnix::new(socket)?;
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&stream, &address) {
        Ok(()) => Ok(Some(stream.into())),
        Err(error @ (Errno::CONNREFUSED | Errno::NOENT)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// A pod whose shim lives.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) set_up: SetUp,
    /// Of the containers that had, or may have had, a process.
    pub(crate) fates: Vec<(ContainerId, Fate)>,
}

/// Why a pod can't be driven.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It has no shim that answers.
    Gone(Error),
    /// It has one of another age: its containers run on.
    Foreign(Foreign),
}

/// Finds a recorded pod's shim again.
pub(crate) async fn reconnect(
    node: &Arc<Node>,
    id: &PodId,
    record: &PodState,
    connection: Option<UnixStream>,
    containers: Vec<(ContainerId, Expected)>,
) -> Result<Found, Lost> {
    let greeted = tokio::time::timeout(LIMIT, greet(&record.socket, connection)).await.map_err(|_| {
        let reason = format!("its shim does not answer within {} s", LIMIT.as_secs());
        Lost::Gone(Error::Failed { step: "recover the pod".to_owned(), reason })
    })?;
    let (shim, shim_pid, namespaces) = greeted?;
    // All at once: one that is slow to tell keeps the pod waiting no longer than its own limit.
    let mut asked = JoinSet::new();
    for (container, expected) in containers {
        let (node, shim, id) = (Arc::clone(node), shim.clone(), id.clone());
        asked.spawn(async move {
            let fate = settle(&node, &shim, &id, &container, expected).await?;
            Some((container, fate))
        });
    }
    let mut fates = Vec::with_capacity(asked.len());
    while let Some(fate) = asked.join_next().await {
        match fate {
            Ok(fate) => fates.extend(fate),
            // As it would have done in this task.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    let set_up = SetUp {
        shim,
        shim_pid,
        namespaces: namespaces.unwrap_or_default(),
        attached: record.attached,
        ips: record.ips.clone(),
        netns: record.netns.clone(),
    };
    Ok(Found { set_up, fates })
}

/// What became of one container; none if it counts as it was recorded.
async fn settle(node: &Node, shim: &Shim, pod: &PodId, id: &ContainerId, expected: Expected) -> Option<Fate> {
    let fate = match (container::fate(node, shim, pod, id, expected).await, expected) {
        (Ok(fate), _) => fate,
        (Err(error), Expected::Starting) => {
            tracing::error!(container = id.short(), %error, "an unfinished start counts as the container's end");
            Fate::Ended(None)
        }
        (Err(error), Expected::Running) => {
            tracing::warn!(container = id.short(), %error, "the container counts as running");
            return None;
        }
    };
    if matches!(fate, Fate::Running { .. }) {
        container::end_abandoned(shim, id, &node.bundle(pod, id)).await;
    }
    Some(fate)
}

async fn greet(
    socket: &Path,
    connection: Option<UnixStream>,
) -> Result<(Shim, u32, MessageField<peapod_shim_protocol::extension::Namespaces>), Lost> {
    let connected = match connection {
        Some(stream) => Shim::over(stream, socket),
        None => Shim::connect(socket).await,
    };
    let shim = connected.map_err(|error| Lost::Gone(Error::failed("connect to the pod's shim", &error)))?;
    let hello = shim.hello().await.map_err(|error| match error {
        ShimError::Foreign(foreign) => Lost::Foreign(foreign),
        error => Lost::Gone(error.into_error("greet the pod's shim")),
    })?;
    let pid = hello.pid;
    if let Err(error) = tokio::task::spawn_blocking(move || settle_old_copy(pid)).await {
        tracing::warn!(%error, "whether the shim runs an older copy of its OCI runtime is not known");
    }
    Ok((shim, hello.pid, hello.namespaces))
}

/// Takes back a pod that was being made when the daemon died.
pub(crate) async fn take_back(node: &Arc<Node>, id: &PodId, state: &PodState) -> Result<(), Error> {
    let shim = tokio::time::timeout(LIMIT, Shim::connect(&state.socket)).await.ok().and_then(Result::ok);
    let released = sandbox::release(node, id, shim, &state.socket, true).await;
    released.and(sandbox::remove_files(node, id).await)
}
