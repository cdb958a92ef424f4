//! RemoveContainer: what is left of a container that has no process.

use std::time::{Duration, Instant};

use peapod_sys::fail_point;

use super::ContainerOperations;
use crate::dir;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::shim::{Shim, ShimError};

/// How long a container that is killed may take to be gone.
const KILLED: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

impl ContainerOperations {
    /// Kills a container, whatever it is doing, and removes it.
    pub(crate) async fn end(&self, shim: &Shim, pod: &PodId, id: &ContainerId) -> Result<(), Error> {
        let failed = |error: ShimError| error.into_error("end the container");
        let began = Instant::now();
        shim.stop(id.as_str(), 9, 0).await.map_err(failed)?;
        loop {
            match shim.delete_task(id.as_str()).await {
                Ok(()) => break,
                // It is on its way out.
                Err(ShimError::Refused(_)) if began.elapsed() < KILLED => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(failed(error)),
            }
        }
        self.remove(None, pod, id).await
    }

    /// Removes everything but the log. Tries all of it, reports the first error; already gone is success.
    pub(crate) async fn remove(&self, shim: Option<Shim>, pod: &PodId, id: &ContainerId) -> Result<(), Error> {
        let mut outcome = Ok(());
        if let Some(shim) = shim {
            let deleted = shim.delete_task(id.as_str()).await;
            outcome = outcome.and(deleted.map_err(|error| error.into_error("remove the container from its shim")));
        }
        fail_point("container-deleted");
        for folder in [self.layout.bundle(pod, id), self.layout.writable(id)] {
            outcome = outcome.and(dir::remove(&self.trash, folder).await);
            fail_point("container-folder-gone");
        }
        // Its own `delete` has done so, unless the shim could not know which runtime it was.
        for root in self.runtimes.roots() {
            let state = root.join(id.as_str());
            if state.exists() {
                outcome = outcome.and(dir::remove(&self.trash, state).await);
            }
        }
        let released = self.images.release(id.as_str()).await;
        fail_point("container-released");
        outcome.and(released.map_err(|error| Error::failed("give the container's image back", &error)))
    }
}
