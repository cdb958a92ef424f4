//! Work on one key happens one after the other, work on different keys at the same time.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::sync::lock;

/// Asynchronous locks by key. A key costs memory only while somebody has its lock or waits for it; who asks first has
/// it first.
pub struct KeyedLock<K> {
    locks: Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>,
}

/// The right to work on a key, until it is dropped.
#[derive(Debug)]
pub struct KeyedGuard {
    _guard: OwnedMutexGuard<()>,
}

impl<K: Clone + Eq + Hash> KeyedLock<K> {
    /// Waits until nobody else has the key.
    pub async fn lock(&self, key: &K) -> KeyedGuard {
        KeyedGuard { _guard: self.of(key).lock_owned().await }
    }

    /// The same if nobody has the key now, or waits for it.
    pub fn try_lock(&self, key: &K) -> Option<KeyedGuard> {
        self.of(key).try_lock_owned().ok().map(|guard| KeyedGuard { _guard: guard })
    }

    fn of(&self, key: &K) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = lock(&self.locks);
        locks.retain(|_, lock| lock.strong_count() > 0);
        locks.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let lock = Arc::default();
            locks.insert(key.clone(), Arc::downgrade(&lock));
            lock
        })
    }
}

impl<K> Default for KeyedLock<K> {
    fn default() -> Self {
        Self { locks: Mutex::default() }
    }
}

impl<K> fmt::Debug for KeyedLock<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What the future gives if it is polled now.
    fn now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_after_the_other_and_nothing_kept() {
        let keyed = KeyedLock::default();
        let first = now(pin!(keyed.lock(&"a"))).unwrap();
        let other = now(pin!(keyed.lock(&"b"))).unwrap();
        let mut second = pin!(keyed.lock(&"a"));
        assert!(now(second.as_mut()).is_none());
        assert!(keyed.try_lock(&"a").is_none());
        drop(first);
        // It waits already.
        assert!(keyed.try_lock(&"a").is_none());
        drop(now(second).unwrap());
        drop(other);
        drop(keyed.try_lock(&"a").unwrap());
        assert_eq!(lock(&keyed.locks).len(), 1);
    }
}
