//! Who may transfer: so many blobs of each registry at once, and so many in all.
//!
//! Registries do not wait for one another while there is room in all, so one that is slow, by intent or not, keeps nobody
//! from another. Where somebody waits, a transfer without progress makes way (see [`Lane::is_wanted`]); it goes on where it
//! was when its turn comes again.

use crate::bounds::TRANSFERS;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All slots.
pub(super) struct Slots {
    of_each: usize,
    all: Arc<Queue>,
    registries: Mutex<HashMap<String, Weak<Queue>>>,
}

/// Slots, and how many wait for one.
struct Queue {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The slots of one registry.
#[derive(Clone)]
pub(super) struct Lane {
    own: Arc<Queue>,
    all: Arc<Queue>,
}

/// The right to transfer; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _own: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(super) fn new(of_each: usize) -> Self {
        let all = Queue::new(TRANSFERS.max(of_each));
        Self { of_each, all, registries: Mutex::default() }
    }

    pub(super) fn of(&self, registry: &str) -> Lane {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        registries.retain(|_, queue| queue.strong_count() > 0);
        let own = registries.get(registry).and_then(Weak::upgrade).unwrap_or_else(|| {
            let queue = Queue::new(self.of_each);
            registries.insert(registry.to_owned(), Arc::downgrade(&queue));
            queue
        });
        Lane { own, all: Arc::clone(&self.all) }
    }
}

impl Queue {
    fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self { slots: Arc::new(Semaphore::new(slots)), waiting: AtomicUsize::new(0) })
    }

    /// `None` never comes: these semaphores are not closed.
    async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(free) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(free);
        }
        let _waiting = Waiting::new(&self.waiting);
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }
}

impl Lane {
    /// Waits for a slot; who asks first has it first.
    pub(super) async fn slot(&self) -> Slot {
        let own = self.own.slot().await;
        Slot { _own: own, _all: self.all.slot().await }
    }

    /// Whether somebody waits for a slot that this registry holds.
    pub(super) fn is_wanted(&self) -> bool {
        [&self.own, &self.all].into_iter().any(|queue| queue.waiting.load(Ordering::SeqCst) > 0)
    }
}

/// Counts one who waits, also when that one goes away.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;
    use crate::bounds::TRANSFERS;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn registries_wait_for_themselves() {
        let slots = Slots::new(2);
        let (one, other) = (slots.of("one"), slots.of("other"));
        let held = (one.slot().await, one.slot().await);
        assert!(!one.is_wanted());
        let mut third = Box::pin(one.slot());
        assert!(third.as_mut().now_or_never().is_none() && one.is_wanted() && !other.is_wanted());
        drop(other.slot().await);
        drop(held.0);
        drop(third.await);
        assert!(!one.is_wanted());
        // In all there is an end.
        let lanes: Vec<_> = (0..TRANSFERS).map(|number| slots.of(&number.to_string())).collect();
        let mut taken = vec![held.1];
        for lane in lanes.iter().skip(1) {
            taken.push(lane.slot().await);
        }
        let late = Box::pin(lanes[0].slot());
        let mut late = late;
        assert!(late.as_mut().now_or_never().is_none() && one.is_wanted());
        drop(late);
        assert!(!one.is_wanted(), "who waits no more is not counted");
    }
}
