//! Giving back what a stopped pod held: its shim and its network.

use std::path::Path;

use peapod_sys::fail_point;
use peapod_trace::Span;

use super::SandboxOperations;
use crate::error::Error;
use crate::id::PodId;
use crate::shim::{Shim, ShimError};
use crate::stages;

/// What a pod holds, beside its shim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PodHoldings<'a> {
    /// Where its shim listens, or has.
    pub(crate) socket: &'a Path,
    /// It has, or may have, an attachment to a network.
    pub(crate) attached: bool,
    /// The path of its own cgroup, if it has one.
    pub(crate) group: Option<&'a str>,
}

impl SandboxOperations {
    /// Ends the shim, or cleans up after a dead one, and gives network and cgroup back. Tries everything, reports the
    /// first error.
    pub(crate) async fn release(
        &self,
        id: &PodId,
        shim: Option<Shim>,
        PodHoldings { socket, attached, group }: PodHoldings<'_>,
        span: &Span,
    ) -> Result<(), Error> {
        span.enter(&stages::END_SHIM);
        let ended = self.end_shim_checked(id, shim).await;
        fail_point("pod-shim-ended");
        let detached = if attached {
            span.leave();
            let network = span.begin(&stages::NETWORK);
            let detached = self.network.detach_in(id.as_str(), &network).await;
            network.end(detached).map_err(|error| Error::failed("give the pod's network back", &error))
        } else {
            Ok(())
        };
        // The groups of its containers were below it, and went with these.
        let ungrouped = match group {
            Some(group) => {
                let removed = self.remove_group(group).await;
                fail_point("pod-group-gone");
                removed
            }
            None => Ok(()),
        };
        if let Err(error) = remove_socket(socket) {
            tracing::debug!(%error, socket = %socket.display(), "the shim's socket stays");
        }
        fail_point("pod-released");
        ended.and(detached).and(ungrouped)
    }

    /// Ends a shim that may not know its pod yet.
    pub(super) async fn end_shim(&self, id: &PodId, shim: Option<Shim>) {
        if let Err(error) = self.end_shim_checked(id, shim).await {
            tracing::warn!(%error, "the shim of a pod that was not made is not cleaned up; the next start tries again");
        }
    }

    async fn end_shim_checked(&self, id: &PodId, shim: Option<Shim>) -> Result<(), Error> {
        let Some(shim) = shim else {
            return self.run_delete(id, &[]).await;
        };
        // Again is harmless; before the first CreateSandbox there is nothing to stop.
        if let Err(error) = shim.while_it_answers(shim.stop_sandbox(id.as_str())).await {
            tracing::debug!(%error, "StopSandbox before the shim's end");
        }
        match shim.shutdown(id.as_str()).await {
            Ok(()) | Err(ShimError::Gone(_)) => Ok(()),
            Err(error) => {
                tracing::warn!(%error, "the pod's shim does not end by itself");
                self.run_delete(id, &[]).await
            }
        }
    }
}

/// Removes a shim's socket, or what is in its place. Already gone is success.
fn remove_socket(path: &Path) -> std::io::Result<()> {
    Ok(peapod_sys::remove_tree(path)?)
}
