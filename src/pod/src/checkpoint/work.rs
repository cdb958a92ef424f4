//! Blocking work for a checkpoint, which ends soon after nobody waits for it any more.

use std::io;
use std::sync::Arc;

use peapod_image::{Cancelled, Wanted};
use tokio_util::task::TaskTracker;

use crate::error::Error;

/// What a checkpoint has done on threads of their own. Clones share it; with the last one it is not wanted any more.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckpointWork {
    wanted: Arc<Wanted>,
    running: TaskTracker,
}

impl CheckpointWork {
    /// Has that done. It looks now and then whether it still is wanted.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl Into<String>,
        work: impl FnOnce(Cancelled) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (step, cancelled) = (step.into(), self.wanted.cancelled());
        let done = self.running.spawn_blocking(move || work(cancelled)).await;
        done.map_err(|panic| Error::failed(step.clone(), &panic))?.map_err(|error| Error::failed(step, &error))
    }

    /// What there is to be waited for before anything is removed, once nobody wants it.
    pub(super) fn running(&self) -> TaskTracker {
        self.running.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_leaves_ends_it_and_can_wait_for_its_end() {
        let work = CheckpointWork::default();
        assert_eq!(work.run("count", |_| Ok(7)).await.unwrap(), 7);
        let failed = work.run("fail", |_| Err::<(), _>(io::Error::other("broken"))).await.unwrap_err();
        assert!(failed.to_string().contains("broken"), "{failed}");
        let (running, other) = (work.running(), work.clone());
        let (begun, begins) = tokio::sync::oneshot::channel();
        let goes_on = other.run("go on", move |cancelled| {
            let _ = begun.send(());
            while !cancelled.is_set() {
                std::thread::yield_now();
            }
            Ok(())
        });
        tokio::select! {
            outcome = goes_on => panic!("{outcome:?}"),
            begun = begins => begun.unwrap(),
        }
        assert_eq!(running.len(), 1);
        drop((work, other));
        running.close();
        running.wait().await;
    }
}
