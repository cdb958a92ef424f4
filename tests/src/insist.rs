//! Clients whose deadlines pass too early.

use std::time::Duration;

use tonic::Status;

use crate::wait::default_timeout;

/// Asks, gives up after `timeout`, and asks the same again with twice the timeout, until there is an answer.
///
/// # Errors
/// What the daemon answers in the end.
pub async fn insist<T>(mut timeout: Duration, mut ask: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    loop {
        if let Ok(answer) = tokio::time::timeout(timeout, ask()).await {
            return answer;
        }
        timeout = (timeout * 2).min(default_timeout());
    }
}
