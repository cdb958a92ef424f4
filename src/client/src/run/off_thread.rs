//! Work that may wait for a disk, off the one thread that all pods of a run share.

use std::io;

/// Does it, and answers what it says; an error if it panicked. Who stops waiting does not end it.
pub(super) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
