//! Clients whose deadlines pass too early.

use std::time::Duration;

use tonic::Status;

use crate::wait::patience as limit;

/// Asks, gives up after `patience`, and asks the same again with twice the patience, until there is an answer.
///
/// # Errors
/// What the daemon answers in the end.
pub async fn insist<T>(mut patience: Duration, mut ask: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    loop {
        if let Ok(answer) = tokio::time::timeout(patience, ask()).await {
            return answer;
        }
        patience = (patience * 2).min(limit());
    }
}
