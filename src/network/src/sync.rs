//! Where asynchronous code meets what blocks.

pub(crate) use peapod_sys::sync::lock;

/// Runs what blocks; none if the runtime ends.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
