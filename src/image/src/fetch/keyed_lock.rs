//! One holder at a time for each key.

use peapod_sys::sync::lock;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Locks by key; a key costs memory only while somebody holds its lock or waits for it.
pub(super) struct KeyedLock<K> {
    locks: Mutex<HashMap<K, Weak<Semaphore>>>,
}

/// Releases the lock when dropped.
pub(super) type KeyedGuard = OwnedSemaphorePermit;

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        Self { locks: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash> KeyedLock<K> {
    /// Waits until nobody else has it. `None` never comes: these semaphores are not closed.
    pub(super) async fn lock(&self, key: &K) -> Option<KeyedGuard> {
        self.of(key).acquire_owned().await.ok()
    }

    /// The same if nobody has it now.
    pub(super) fn try_lock(&self, key: &K) -> Option<KeyedGuard> {
        self.of(key).try_acquire_owned().ok()
    }

    fn of(&self, key: &K) -> Arc<Semaphore> {
        let mut locks = lock(&self.locks);
        locks.retain(|_, lock| lock.strong_count() > 0);
        locks.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let lock = Arc::new(Semaphore::new(1));
            locks.insert(key.clone(), Arc::downgrade(&lock));
            lock
        })
    }
}
