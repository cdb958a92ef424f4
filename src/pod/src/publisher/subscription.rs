//! All changes of what lists show, from one moment on, as one subscriber sees them.

use std::sync::Arc;

use tokio::sync::watch;

use super::changes::{Changes, Delta, Lagged};
use crate::id::PodId;
use crate::view::{PodEntry, Snapshot};

/// A pod that is shown otherwise than before.
#[derive(Clone, Debug)]
pub struct Change {
    /// Counts up from 1 since the daemon's start, without a gap.
    pub number: u64,
    /// Nanoseconds since the epoch; later than those of all changes before.
    pub at: i64,
    /// Which pod.
    pub pod: PodId,
    /// As it was shown before; none if it was not.
    pub old: Option<Arc<PodEntry>>,
    /// As it is shown from now on; none if it is not any more.
    pub new: Option<Arc<PodEntry>>,
}

/// Tells that something is shown otherwise, not what: for who looks at everything anyway.
#[derive(Debug)]
pub struct SnapshotNews(watch::Receiver<()>);

impl SnapshotNews {
    pub(super) fn new(changes: &Changes) -> Self {
        Self(changes.news())
    }

    /// Waits for the next change; those since the last time are one. Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could change anything.
            std::future::pending::<()>().await;
        }
    }
}

/// All changes from one moment on, and what is shown after the last of them that was taken.
#[derive(Debug)]
pub struct Subscription {
    changes: Arc<Changes>,
    news: watch::Receiver<()>,
    /// Which subscriber it is.
    subscriber: u64,
    number: u64,
    at: i64,
    snapshot: Arc<Snapshot>,
}

impl Subscription {
    pub(super) fn new(changes: Arc<Changes>, subscriber: u64, number: u64, at: i64, snapshot: Arc<Snapshot>) -> Self {
        let news = changes.news();
        Self { changes, news, subscriber, number, at, snapshot }
    }

    /// Number of the last change that is in the snapshot.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The snapshot's moment, in nanoseconds since the epoch: not later than that of the next change.
    #[must_use]
    pub fn at(&self) -> i64 {
        self.at
    }

    /// What was shown when it began, with all changes that were taken since.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The next change. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When changes are lost, now and from then on.
    pub async fn next(&mut self) -> Result<Change, Lagged> {
        loop {
            self.news.mark_unchanged();
            if let Some(delta) = self.changes.take(self.subscriber)? {
                return Ok(self.apply(&delta));
            }
            // The other end is held here, too: it can't be gone.
            let _ = self.news.changed().await;
        }
    }

    fn apply(&mut self, delta: &Delta) -> Change {
        let snapshot = Arc::make_mut(&mut self.snapshot);
        let old = snapshot.pod(&delta.pod).cloned();
        let new = delta.shown.as_ref().map(|pod| {
            let mut containers = old.as_ref().map(|old| old.containers.clone()).unwrap_or_default();
            for (id, view) in &delta.containers {
                match view {
                    Some(view) => drop(containers.insert(id.clone(), Arc::clone(view))),
                    None => drop(containers.remove(id)),
                }
            }
            Arc::new(PodEntry { pod: pod.clone(), containers })
        });
        match &new {
            Some(entry) => snapshot.put(Arc::clone(entry)),
            None => snapshot.remove(&delta.pod),
        }
        (self.number, self.at) = (delta.number, delta.at);
        Change { number: delta.number, at: delta.at, pod: delta.pod.clone(), old, new }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.changes.remove_subscriber(self.subscriber);
    }
}
