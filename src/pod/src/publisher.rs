//! The one place that changes what lists show, and that tells of each change.
//!
//! Changes are numbered, one at a time: each has the pod as it was shown before and as it is shown now. Whoever
//! subscribes gets the lists as they are, and every change from then on, or hears that it was too slow.

mod changes;
mod subscription;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use peapod_measure::Counter;

use crate::clock;
use crate::id::PodId;
use crate::view::{PodEntry, Snapshot};

pub use changes::Lagged;
use changes::{Changes, Delta};
pub use subscription::{Change, SnapshotNews, Subscription};

/// What all readers see.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    snapshot: ArcSwap<Snapshot>,
    moments: Moments,
    /// Whoever has its lock publishes.
    changes: Arc<Changes>,
}

/// Moments, in nanoseconds since the epoch, of changes and of looks at what is shown: in their order, whatever becomes
/// of the node's clock.
#[derive(Debug, Default)]
struct Moments(AtomicI64);

impl Moments {
    /// Of a look that is about to be taken: no change that has its moment before this one is missing from it.
    fn look(&self) -> i64 {
        let now = clock::now();
        self.0.fetch_max(now, Ordering::SeqCst).max(now)
    }

    /// Of a change that has just been made: after those of all others, and of looks that may not have seen it.
    fn change(&self) -> i64 {
        let now = clock::now();
        let next = |last: i64| now.max(last.saturating_add(1));
        let last = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last)));
        next(last.unwrap_or_else(|last| last))
    }
}

impl Publisher {
    /// All pods and containers now. No I/O, no lock.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The same, with its moment.
    pub(crate) fn look(&self) -> (i64, Arc<Snapshot>) {
        let at = self.moments.look();
        (at, self.snapshot())
    }

    /// Shows a pod so from now on.
    pub(crate) fn publish(&self, entry: PodEntry) {
        self.change(entry.pod.id.clone(), Some(entry));
    }

    /// Shows a pod no more.
    pub(crate) fn hide(&self, pod: &PodId) {
        self.change(pod.clone(), None);
    }

    /// Everything that is shown, and all changes from now on.
    pub(crate) fn subscribe(&self) -> Subscription {
        let mut log = self.changes.lock();
        let (at, snapshot) = self.look();
        let (number, place) = log.add_subscriber();
        Subscription::new(Arc::clone(&self.changes), place, number, at, snapshot)
    }

    /// That there is a change, each from now on.
    pub(crate) fn news(&self) -> SnapshotNews {
        SnapshotNews::new(&self.changes)
    }

    /// How many subscribers were too slow.
    pub(crate) fn dropped(&self) -> Counter {
        self.changes.dropped()
    }

    fn change(&self, pod: PodId, new: Option<PodEntry>) {
        let mut log = self.changes.lock();
        let before = self.snapshot.load();
        let old = before.pod(&pod);
        if old.is_none() && new.is_none() {
            return;
        }
        let new = new.map(|entry| Arc::new(sharing(entry, old)));
        let mut after = Snapshot::clone(&before);
        match &new {
            Some(entry) => after.put(Arc::clone(entry)),
            None => after.remove(&pod),
        }
        self.snapshot.store(Arc::new(after));
        let at = self.moments.change();
        log.push(|number| Delta::new(number, at, pod, old, new.as_deref()));
        drop(log);
        self.changes.tell();
    }
}

/// The same entry, with containers of the one before in the place of equal ones: what waits for subscribers is then no
/// more than what has changed.
fn sharing(mut entry: PodEntry, old: Option<&Arc<PodEntry>>) -> PodEntry {
    let Some(old) = old else { return entry };
    for (id, view) in &mut entry.containers {
        if let Some(before) = old.containers.get(id).filter(|before| *before == view) {
            *view = Arc::clone(before);
        }
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::CHANGES_KEPT;
    use crate::view::tests::{container, pod};

    #[tokio::test]
    async fn changes_are_numbered_and_tell_before_and_after() {
        let publisher = Publisher::default();
        let one = pod();
        publisher.publish(one.clone());
        let mut changes = publisher.subscribe();
        assert!(changes.number() == 1 && changes.snapshot().pod(&one.pod.id).is_some());
        let two = pod();
        publisher.publish(two.clone());
        publisher.publish(two.clone());
        publisher.hide(&two.pod.id);
        publisher.hide(&two.pod.id);
        publisher.publish(two.clone());
        let mut at = changes.at();
        for (number, was, is) in [(2, false, true), (3, true, true), (4, true, false), (5, false, true)] {
            let change = changes.next().await.unwrap();
            assert_eq!((change.number, change.old.is_some(), change.new.is_some()), (number, was, is));
            assert_eq!(change.pod, two.pod.id);
            assert!(change.at > at, "moments are in order");
            at = change.at;
        }
        assert_eq!(changes.snapshot().pods().count(), 2);
        assert!(publisher.look().0 >= at, "a look sees what was before it");
    }

    #[tokio::test]
    async fn a_change_has_the_containers_that_changed_and_is_seen_whole() {
        let publisher = Publisher::default();
        let mut entry = pod();
        let (first, second) = (container(&entry.pod.id), container(&entry.pod.id));
        entry.containers.insert(first.id.clone(), Arc::new(first.clone()));
        publisher.publish(entry.clone());
        let mut changes = publisher.subscribe();
        // As a machine does it: all views are made anew.
        entry.containers = [first.clone(), second.clone()].map(|view| (view.id.clone(), Arc::new(view))).into();
        publisher.publish(entry.clone());
        entry.containers.remove(&first.id);
        publisher.publish(entry);
        let change = changes.next().await.unwrap();
        let (old, new) = (change.old.unwrap(), change.new.unwrap());
        assert!(Arc::ptr_eq(&old.containers[&first.id], &new.containers[&first.id]), "what is equal is shared");
        assert_eq!(new.containers.keys().len(), 2);
        let last = changes.next().await.unwrap().new.unwrap();
        assert_eq!(last.containers.keys().collect::<Vec<_>>(), [&second.id]);
        assert_eq!(publisher.snapshot().pod(&last.pod.id).unwrap().containers, last.containers);
    }

    #[tokio::test]
    async fn who_is_too_slow_hears_so_and_holds_nothing() {
        let publisher = Publisher::default();
        let (mut slow, mut quick) = (publisher.subscribe(), publisher.subscribe());
        let entry = pod();
        for number in 1..=CHANGES_KEPT + 3 {
            publisher.publish(entry.clone());
            if number % 2 == 0 {
                assert_eq!(quick.next().await.unwrap().number, u64::try_from(number).unwrap() - 1);
                quick.next().await.unwrap();
            }
        }
        assert_eq!(publisher.dropped().get(), 1);
        assert_eq!(publisher.changes.kept(), 1, "only what the quick one has not taken");
        let lost = u64::try_from(CHANGES_KEPT + 3).unwrap();
        for _ in 0..2 {
            assert_eq!(slow.next().await.unwrap_err(), Lagged(lost));
        }
        drop(quick);
        assert_eq!(publisher.changes.kept(), 0);
    }

    #[test]
    fn changes_from_many_threads_lose_nothing() {
        let publisher = Publisher::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| publisher.publish(pod())));
            }
        });
        assert_eq!(publisher.snapshot().pods().count(), 200);
        assert_eq!(publisher.subscribe().number(), 200);
    }

    #[test]
    fn moments_go_on_whatever_the_clock_does() {
        let moments = Moments::default();
        let ahead = clock::now() + 3_600_000_000_000;
        moments.0.store(ahead, Ordering::SeqCst);
        assert_eq!(moments.look(), ahead);
        assert_eq!((moments.change(), moments.change()), (ahead + 1, ahead + 2));
        assert_eq!(moments.look(), ahead + 2);
    }
}
