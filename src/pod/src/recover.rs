//! Pods of an earlier daemon: shown at once as they were recorded, then compared with what runs, pod by pod.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peapod_trace::Span;
use rustix::io::Errno;
use tokio::task::JoinSet;

use crate::actor::{self, ActorContext, Machine};
use crate::checkpoint;
use crate::clock;
use crate::container::{self, ContainerOperations, Expected, RecoveredState};
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::load::Loaded;
use crate::machine::{Connected, ReconnectError, Reconnected, Seen};
use crate::namespaces::PodNamespaces;
use crate::record::{ContainerPhase, PodPhase};
use crate::sandbox::{PodHoldings, SandboxOperations};
use crate::shim::{Shim, ShimError, settle_old_copy};

/// How long a pod's shim may take to answer the new daemon. Long: a shim that is only slow must not lose its pod.
const LIMIT: Duration = Duration::from_secs(60);

/// A recorded pod, with what can be seen of it at once: which containers have ended, and whether its shim is gone.
/// Recovery, which follows, asks the shim and records.
pub(crate) fn take_up(context: &ActorContext, loaded: Loaded) -> actor::ActorInput {
    let ActorContext { defaults, listed, runtimes, .. } = context;
    let loaded = loaded.in_this_boot(&defaults.boot_id, clock::now());
    let mut seen = Seen::default();
    let mut connection = None;
    if !loaded.rebooted && matches!(loaded.state.phase, PodPhase::Ready | PodPhase::Broken) {
        match connect_now(&loaded.state.socket) {
            Ok(stream) => (seen.listening, connection) = (true, stream),
            Err(error) => {
                let pod = loaded.id.short();
                tracing::warn!(pod, %error, "the pod's shim does not listen any more: the pod is not ready");
            }
        }
        let running = loaded.containers.iter();
        let running = running.filter(|(_, _, record)| matches!(record.phase, ContainerPhase::Running { .. }));
        let exits = running.filter_map(|(id, _, _)| {
            Some((id.clone(), container::exit_file_now(&defaults.layout.bundle(&loaded.id, id))?))
        });
        seen.exits = exits.collect();
    }
    let handler = runtimes.handler(&loaded.spec.runtime_handler);
    let machine = Machine::recorded(loaded, seen, defaults, listed);
    actor::ActorInput { machine, handler, connection }
}

/// A connection to a shim; none if that would take a wait. An error means that nobody listens.
fn connect_now(socket: &Path) -> io::Result<Option<UnixStream>> {
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

/// Finds a recorded pod's shim again.
pub(crate) async fn reconnect(
    operations: &Arc<ContainerOperations>,
    id: &PodId,
    socket: &Path,
    connection: Option<UnixStream>,
    containers: Vec<(ContainerId, Expected)>,
) -> Result<Reconnected<Shim>, ReconnectError> {
    let greeted = tokio::time::timeout(LIMIT, greet(socket, connection)).await.map_err(|_| {
        let reason = format!("its shim does not answer within {} s", LIMIT.as_secs());
        ReconnectError::Gone(Error::Failed { step: "recover the pod".to_owned(), reason })
    })?;
    let connected = greeted?;
    let is_ready = connected.shim.sandbox_is_ready(id.as_str()).await;
    let is_ready = is_ready.map_err(|error| ReconnectError::Gone(error.into_error("ask for the pod's state")))?;
    // All at once: one that is slow to tell keeps the pod waiting no longer than its own limit.
    let mut asked = JoinSet::new();
    for (container, expected) in containers {
        let (operations, shim, id) = (Arc::clone(operations), connected.shim.clone(), id.clone());
        asked.spawn(async move {
            let state = settle(&operations, &shim, &id, &container, expected).await?;
            Some((container, state))
        });
    }
    let mut states = Vec::with_capacity(asked.len());
    while let Some(state) = asked.join_next().await {
        match state {
            Ok(state) => states.extend(state),
            // As it would have done in this task.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    Ok(Reconnected { connected, is_ready, states })
}

/// What became of one container; none if it counts as it was recorded.
async fn settle(
    operations: &ContainerOperations,
    shim: &Shim,
    pod: &PodId,
    id: &ContainerId,
    expected: Expected,
) -> Option<RecoveredState> {
    let state = match (operations.recovered_state(shim, pod, id, expected).await, expected) {
        (Ok(state), _) => state,
        (Err(error), Expected::Starting) => {
            tracing::error!(container = id.short(), %error, "an unfinished start counts as the container's end");
            RecoveredState::Ended(None)
        }
        (Err(error), Expected::Running) => {
            tracing::warn!(container = id.short(), %error, "the container counts as running");
            return None;
        }
    };
    if matches!(state, RecoveredState::Running { .. }) {
        container::end_abandoned(shim, id, &operations.layout.bundle(pod, id)).await;
    }
    // What is left of one that has ended may be others' archives.
    checkpoint::end_abandoned(operations, shim, id);
    Some(state)
}

async fn greet(socket: &Path, connection: Option<UnixStream>) -> Result<Connected<Shim>, ReconnectError> {
    let connected = match connection {
        Some(stream) => Shim::over(stream, socket),
        None => Shim::connect(socket).await,
    };
    let shim = connected.map_err(|error| ReconnectError::Gone(Error::failed("connect to the pod's shim", &error)))?;
    let hello = shim.hello().await.map_err(|error| match error {
        ShimError::Foreign(foreign) => ReconnectError::Foreign(foreign),
        error => ReconnectError::Gone(error.into_error("greet the pod's shim")),
    })?;
    let pid = hello.pid;
    if let Err(error) = tokio::task::spawn_blocking(move || settle_old_copy(pid)).await {
        tracing::warn!(%error, "whether the shim runs an older copy of its OCI runtime is not known");
    }
    let namespaces = PodNamespaces::from(hello.namespaces.unwrap_or_default());
    Ok(Connected { shim, pid, namespaces })
}

/// Takes back a pod that was being made when the daemon died.
pub(crate) async fn take_back(
    sandboxes: &SandboxOperations,
    id: &PodId,
    held: PodHoldings<'_>,
    span: &Span,
) -> Result<(), Error> {
    let shim = tokio::time::timeout(LIMIT, Shim::connect(held.socket)).await.ok().and_then(Result::ok);
    let released = sandboxes.release(id, shim, held, span).await;
    released.and(sandboxes.remove_files(id).await)
}
