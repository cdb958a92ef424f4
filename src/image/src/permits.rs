//! Permits of which it can be told whether somebody waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many permits; who asks first has one first.
pub(crate) struct Permits {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Permits {
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self { free: Arc::new(Semaphore::new(permits)), waiting: AtomicUsize::new(0) })
    }

    /// Waits for a permit, which is released when dropped. `None` never comes: this semaphore is not closed.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(free) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(free);
        }
        let _waiting = WaitCount::new(&self.waiting);
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Whether somebody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }
}

/// Counts one who waits, also when that one goes away.
struct WaitCount<'c>(&'c AtomicUsize);

impl<'c> WaitCount<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for WaitCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
