//! Who may transfer: so many blobs of each registry at once, and so many in all.
//!
//! Registries do not wait for one another while slots are left in all, so one that is slow, by intent or not, keeps
//! nobody from another. Where somebody waits, a transfer without progress gives its slot up (see [`Lane::is_wanted`]);
//! it goes on where it was once it has one again.

use crate::bounds::TRANSFERS;
use crate::permits::Permits;
use peapod_sys::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::OwnedSemaphorePermit;

/// All slots.
pub(super) struct Slots {
    of_each: usize,
    all: Arc<Permits>,
    registries: Mutex<HashMap<String, Weak<Permits>>>,
}

/// The slots of one registry.
#[derive(Clone)]
pub(super) struct Lane {
    own: Arc<Permits>,
    all: Arc<Permits>,
}

/// The right to transfer; released when dropped.
#[derive(Debug)]
pub(crate) struct TransferSlot {
    _own: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(super) fn new(of_each: usize) -> Self {
        let all = Permits::new(TRANSFERS.max(of_each));
        Self { of_each, all, registries: Mutex::default() }
    }

    pub(super) fn of(&self, registry: &str) -> Lane {
        let mut registries = lock(&self.registries);
        registries.retain(|_, permits| permits.strong_count() > 0);
        let own = registries.get(registry).and_then(Weak::upgrade).unwrap_or_else(|| {
            let permits = Permits::new(self.of_each);
            registries.insert(registry.to_owned(), Arc::downgrade(&permits));
            permits
        });
        Lane { own, all: Arc::clone(&self.all) }
    }
}

impl TransferSlot {
    /// Others may transfer; the turn in the own lane stays, as long as what this answers.
    pub(crate) fn end_transfer(self) -> Option<OwnedSemaphorePermit> {
        self._own
    }
}

impl Lane {
    /// Waits for a slot; who asks first has it first.
    pub(super) async fn slot(&self) -> TransferSlot {
        let own = self.own.acquire().await;
        TransferSlot { _own: own, _all: self.all.acquire().await }
    }

    /// Whether somebody waits for a slot that this registry holds.
    pub(super) fn is_wanted(&self) -> bool {
        [&self.own, &self.all].into_iter().any(|permits| permits.is_wanted())
    }
}

#[cfg(test)]
mod tests {
    use super::{Slots, TransferSlot};
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
        // One that has transferred gives back what others need, and keeps its turn.
        let turn = taken.pop().and_then(TransferSlot::end_transfer);
        let last = &lanes[TRANSFERS - 1];
        let second = last.slot().now_or_never();
        assert!(turn.is_some() && second.is_some());
        assert!(last.slot().now_or_never().is_none(), "of two turns both are taken");
    }
}
