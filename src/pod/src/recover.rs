//! What an earlier daemon left: shown at once as it was recorded, then made true again pod by pod.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peapod_shim_protocol::containerd::protobuf::MessageField;

use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::node::Node;
use crate::record::{ContainerPhase, Ended, Loaded, PodPhase, PodState};
use crate::sandbox::{self, SetUp};
use crate::shim::Shim;

/// How long a pod's shim may take to answer the new daemon.
const LIMIT: Duration = Duration::from_secs(10);

/// What the first snapshot says about a pod: nothing of another boot runs any more.
pub(crate) fn as_of_this_boot(mut loaded: Loaded, boot_id: &str, now: i64) -> Loaded {
    if loaded.state.boot_id == boot_id {
        return loaded;
    }
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

/// Finds a recorded pod's shim again. An error means that there is none.
pub(crate) async fn reconnect(node: &Node, record: &PodState) -> Result<SetUp, Error> {
    if record.phase != PodPhase::Ready && record.phase != PodPhase::Broken {
        return Err(Error::Failed { step: "recover the pod".to_owned(), reason: "it has no shim".to_owned() });
    }
    if record.boot_id != node.boot_id {
        return Err(Error::Failed { step: "recover the pod".to_owned(), reason: "the node was restarted".to_owned() });
    }
    match tokio::time::timeout(LIMIT, greet(&record.socket)).await {
        Ok(Ok((shim, pid, namespaces))) => Ok(SetUp {
            shim,
            shim_pid: pid,
            namespaces: namespaces.unwrap_or_default(),
            attached: record.attached,
            ips: record.ips.clone(),
            netns: record.netns.clone(),
        }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::Failed {
            step: "recover the pod".to_owned(),
            reason: format!("its shim does not answer within {} s", LIMIT.as_secs()),
        }),
    }
}

async fn greet(socket: &Path) -> Result<(Shim, u32, MessageField<peapod_shim_protocol::extension::Namespaces>), Error> {
    let shim = Shim::connect(socket).await.map_err(|error| Error::failed("connect to the pod's shim", &error))?;
    let hello = shim.hello().await.map_err(|error| error.into_error("greet the pod's shim"))?;
    Ok((shim, hello.pid, hello.namespaces))
}

/// Takes back a pod that was being made when the daemon died.
pub(crate) async fn take_back(
    node: &Arc<Node>,
    id: &PodId,
    state: &PodState,
    containers: &[ContainerId],
) -> Result<(), Error> {
    let shim = tokio::time::timeout(LIMIT, Shim::connect(&state.socket)).await.ok().and_then(Result::ok);
    let released = sandbox::release(node, id, shim, &state.socket, true).await;
    for container in containers {
        if let Err(error) = node.images.release(container.as_str()).await {
            tracing::warn!(%error, "a lease of a half-made container stays until the next start");
        }
    }
    released.and(sandbox::remove_files(node, id).await)
}
