//! Locks of keys: work on one key happens one after the other, work on different keys at the same time.

use peapod_sys::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::OwnedMutexGuard;

type Locks = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

/// A lock for each key that somebody works on.
#[derive(Default)]
pub(crate) struct KeyedLock {
    locks: Arc<Mutex<Locks>>,
}

/// The right to work on a key, until it is dropped.
pub(crate) struct KeyedGuard {
    key: String,
    guard: Option<OwnedMutexGuard<()>>,
    locks: Arc<Mutex<Locks>>,
}

impl KeyedLock {
    /// Waits until nobody else works on `key`.
    pub(crate) async fn lock(&self, key: &str) -> KeyedGuard {
        let lock = Arc::clone(held(&self.locks).entry(key.to_owned()).or_default());
        let guard = lock.lock_owned().await;
        KeyedGuard { key: key.to_owned(), guard: Some(guard), locks: Arc::clone(&self.locks) }
    }
}

impl Drop for KeyedGuard {
    fn drop(&mut self) {
        self.guard.take();
        let mut locks = held(&self.locks);
        // The map's own handle is the only one left: nobody waits.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

fn held(locks: &Mutex<Locks>) -> MutexGuard<'_, Locks> {
    lock(locks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_after_the_other_and_nothing_kept() {
        let keyed = KeyedLock::default();
        let first = keyed.lock("a").await;
        let _other = keyed.lock("b").await;
        let second = keyed.lock("a");
        tokio::pin!(second);
        assert!(futures_ready(&mut second).await.is_none());
        drop(first);
        drop(second.await);
        assert_eq!(held(&keyed.locks).len(), 1);
    }

    /// What the future gives if it is polled once.
    async fn futures_ready<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
