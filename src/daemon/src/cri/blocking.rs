//! Work that reads files runs on threads that may block.

use super::status::{Answer, Failure};

/// Runs `work` there. It fails only when `work` panics or the daemon ends.
pub(crate) async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::Io { what: what.to_owned(), source: std::io::Error::other(error) })
}
