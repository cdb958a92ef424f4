//! The one place that changes what lists show, and that tells of each change.
//!
//! Changes are numbered, one at a time: each has the pod as it was shown before and as it is shown now. Whoever
//! subscribes gets the lists as they are, and every change from then on, or hears that it was too slow.

use std::sync::{Arc, Mutex, MutexGuard};

use arc_swap::ArcSwap;
use peapod_sys::sync::lock;
use tokio::sync::broadcast;

use crate::bounds::CHANGES_KEPT;
use crate::id::PodId;
use crate::view::{PodEntry, Snapshot};

/// A pod that is shown otherwise than before.
#[derive(Clone, Debug)]
pub struct Change {
    /// Counts up from 1 since the daemon's start, without a gap.
    pub number: u64,
    /// Which pod.
    pub pod: PodId,
    /// As it was shown before; none if it was not.
    pub old: Option<Arc<PodEntry>>,
    /// As it is shown from now on; none if it is not any more.
    pub new: Option<Arc<PodEntry>>,
}

/// A subscriber was too slow: so many changes are lost to it, which goes on with the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} changes came faster than they were taken, and are lost: list all pods again")]
pub struct Lagged(pub u64);

/// All changes from one moment on.
#[derive(Debug)]
pub struct Subscription {
    /// What was shown when it began.
    pub snapshot: Arc<Snapshot>,
    /// Of the last change before it.
    pub number: u64,
    changes: broadcast::Receiver<Change>,
}

impl Subscription {
    /// The next change; none once the daemon ends.
    ///
    /// # Errors
    /// When changes were lost.
    pub async fn next(&mut self) -> Result<Option<Change>, Lagged> {
        match self.changes.recv().await {
            Ok(change) => Ok(Some(change)),
            Err(broadcast::error::RecvError::Closed) => Ok(None),
            Err(broadcast::error::RecvError::Lagged(lost)) => Err(Lagged(lost)),
        }
    }
}

/// What all readers see.
#[derive(Debug)]
pub(crate) struct Publisher {
    snapshot: ArcSwap<Snapshot>,
    /// Number of the last change. Whoever has the lock publishes.
    number: Mutex<u64>,
    changes: broadcast::Sender<Change>,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        Self { snapshot: ArcSwap::default(), number: Mutex::default(), changes: broadcast::Sender::new(CHANGES_KEPT) }
    }

    /// All pods and containers now. No I/O, no lock.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Shows a pod so from now on.
    pub(crate) fn publish(&self, entry: PodEntry) {
        self.change(entry.pod.id.clone(), Some(Arc::new(entry)));
    }

    /// Shows a pod no more.
    pub(crate) fn hide(&self, pod: &PodId) {
        self.change(pod.clone(), None);
    }

    /// Everything that is shown, and all changes from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        let number = self.lock();
        Subscription { snapshot: self.snapshot(), number: *number, changes: self.changes.subscribe() }
    }

    fn change(&self, pod: PodId, new: Option<Arc<PodEntry>>) {
        let mut number = self.lock();
        let before = self.snapshot.load();
        let old = before.pod(&pod).cloned();
        if old.is_none() && new.is_none() {
            return;
        }
        let mut after = Snapshot::clone(&before);
        match &new {
            Some(entry) => after.put(Arc::clone(entry)),
            None => after.remove(&pod),
        }
        self.snapshot.store(Arc::new(after));
        *number += 1;
        if self.changes.receiver_count() > 0 {
            // An error means that the last subscriber left this moment.
            let _ = self.changes.send(Change { number: *number, pod, old, new });
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // A number is never half-counted.
        lock(&self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::pod;

    #[tokio::test]
    async fn changes_are_numbered_and_tell_before_and_after() {
        let publisher = Publisher::new();
        let one = pod();
        publisher.publish(one.clone());
        let mut changes = publisher.subscribe();
        assert!(changes.number == 1 && changes.snapshot.pod(&one.pod.id).is_some());
        let two = pod();
        publisher.publish(two.clone());
        publisher.publish(two.clone());
        publisher.hide(&two.pod.id);
        publisher.hide(&two.pod.id);
        publisher.publish(two.clone());
        for (number, was, is) in [(2, false, true), (3, true, true), (4, true, false), (5, false, true)] {
            let change = changes.next().await.unwrap().unwrap();
            assert_eq!((change.number, change.old.is_some(), change.new.is_some()), (number, was, is));
            assert_eq!(change.pod, two.pod.id);
        }
        drop(publisher);
        assert!(changes.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn who_is_too_slow_hears_so_and_goes_on() {
        let publisher = Publisher::new();
        let mut slow = publisher.subscribe();
        let entry = pod();
        for _ in 0..CHANGES_KEPT + 3 {
            publisher.publish(entry.clone());
        }
        let lost = slow.next().await.unwrap_err();
        assert_eq!(lost, Lagged(3));
        assert_eq!(slow.next().await.unwrap().unwrap().number, 4);
    }

    #[test]
    fn changes_from_many_threads_lose_nothing() {
        let publisher = Publisher::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| publisher.publish(pod())));
            }
        });
        assert_eq!(publisher.snapshot().pods().count(), 200);
        assert_eq!(publisher.subscribe().number, 200);
    }
}
