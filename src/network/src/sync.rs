//! Where asynchronous code meets what blocks.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Runs what blocks; none if the runtime ends.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code between lock and unlock can leave half a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
