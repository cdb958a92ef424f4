//! RemoveContainer: what is left of a container that has no process.

use std::time::{Duration, Instant};

use peapod_sys::fail_point;

use super::{ContainerOperations, kept};
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
                Err(ShimError::Refused(_) | ShimError::State(_)) if began.elapsed() < KILLED => {
                    tokio::time::sleep(PAUSE).await;
                }
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
        outcome = outcome.and(self.remove_folders(pod, id).await);
        let released = self.images.release(id.as_str()).await;
        fail_point("container-released");
        outcome.and(released.map_err(|error| Error::failed("give the container's image back", &error)))
    }

    async fn remove_folders(&self, pod: &PodId, id: &ContainerId) -> Result<(), Error> {
        let trash = self.trash.clone();
        let own = [self.layout.bundle(pod, id), self.layout.writable(id)];
        let states: Vec<_> = self.runtimes.roots().into_iter().map(|root| root.join(id.as_str())).collect();
        let removed = tokio::task::spawn_blocking(move || {
            let unmounted = kept::unmount(&own[0]);
            let mut outcome = unmounted.map_err(|error| Error::failed("unmount the image's layers", &error));
            for folder in own {
                outcome = outcome.and(dir::remove_now(&trash, &folder));
                fail_point("container-folder-gone");
            }
            // A runtime's own `delete` has done so, unless the shim could not know which runtime it was.
            let states = states.iter().filter(|state| state.exists());
            states.fold(outcome, |outcome, state| outcome.and(dir::remove_now(&trash, state)))
        });
        removed.await.map_err(|panic| Error::failed("remove the container's folders", &panic))?
    }
}
