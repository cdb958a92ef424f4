//! One user at a time for each partial blob.

use crate::digest::Digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who may write which partial blob.
#[derive(Default)]
pub(crate) struct Claims {
    blobs: Mutex<HashMap<Digest, Weak<Semaphore>>>,
}

impl Claims {
    /// Waits until nobody else works on this blob. The same blob may be several layers of one image.
    pub(super) async fn claim(&self, digest: &Digest) -> Option<OwnedSemaphorePermit> {
        self.turn(digest).acquire_owned().await.ok()
    }

    /// The same if nobody works on it now.
    pub(super) fn try_claim(&self, digest: &Digest) -> Option<OwnedSemaphorePermit> {
        self.turn(digest).try_acquire_owned().ok()
    }

    fn turn(&self, digest: &Digest) -> Arc<Semaphore> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        blobs.retain(|_, turn| turn.strong_count() > 0);
        blobs.get(digest).and_then(Weak::upgrade).unwrap_or_else(|| {
            let turn = Arc::new(Semaphore::new(1));
            blobs.insert(digest.clone(), Arc::downgrade(&turn));
            turn
        })
    }
}
