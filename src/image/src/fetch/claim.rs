//! One user at a time for each partial blob.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who may write which partial blob.
pub(crate) struct Claims<K> {
    blobs: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K> Default for Claims<K> {
    fn default() -> Self {
        Self { blobs: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash> Claims<K> {
    /// Waits until nobody else works on this blob. The same blob may be several layers of one image.
    pub(super) async fn claim(&self, key: &K) -> Option<OwnedSemaphorePermit> {
        self.lock(key).acquire_owned().await.ok()
    }

    /// The same if nobody works on it now.
    pub(super) fn try_claim(&self, key: &K) -> Option<OwnedSemaphorePermit> {
        self.lock(key).try_acquire_owned().ok()
    }

    fn lock(&self, key: &K) -> Arc<Semaphore> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.retain(|_, lock| lock.strong_count() > 0);
        blobs.get(key).and_then(Weak::upgrade).unwrap_or_else(|| {
            let lock = Arc::new(Semaphore::new(1));
            blobs.insert(key.clone(), Arc::downgrade(&lock));
            lock
        })
    }
}
