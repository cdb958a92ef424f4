//! Giving back what a stopped pod held: its shim and its network.

use std::path::Path;

use peapod_sys::fail_point;
use peapod_trace::Span;

use super::SandboxOperations;
use crate::error::Error;
use crate::id::PodId;
use crate::shim::{Shim, ShimError};
use crate::stages;

impl SandboxOperations {
    /// Ends the shim, or cleans up after a dead one, and gives the network back. Tries everything, reports the first
    /// error.
    pub(crate) async fn release(
        &self,
        id: &PodId,
        shim: Option<Shim>,
        socket: &Path,
        attached: bool,
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
        if let Err(error) = remove_socket(socket) {
            tracing::debug!(%error, socket = %socket.display(), "the shim's socket stays");
        }
        fail_point("pod-released");
        ended.and(detached)
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
