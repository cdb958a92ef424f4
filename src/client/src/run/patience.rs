//! How long a runtime that is away is waited for: it may be restarted, or upgraded, under its pods.

use std::time::Duration;

use tokio::time::Instant;

use crate::connect::CallError;

/// How long a runtime may be away, for an upgrade for example.
pub(super) const AWAY: Duration = Duration::from_secs(120);
/// Until it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Of one piece of work, however many calls that takes.
#[derive(Debug, Default)]
pub(super) struct RuntimePatience {
    /// The first answer that did not come.
    since: Option<Instant>,
}

impl RuntimePatience {
    /// Of somebody who has waited long enough.
    pub(super) fn over() -> Self {
        Self { since: Instant::now().checked_sub(2 * AWAY) }
    }

    /// Waits a moment before the same is asked again. Says false if there is no use in it: there was an answer, or the
    /// time is over.
    pub(super) async fn again(&mut self, error: &CallError) -> bool {
        error.is_unanswered() && self.wait().await
    }

    /// Waits a moment, as long as there is time.
    pub(super) async fn wait(&mut self) -> bool {
        if self.since.get_or_insert_with(Instant::now).elapsed() > AWAY {
            return false;
        }
        tokio::time::sleep(ASK_AGAIN).await;
        true
    }

    /// Asks until there is an answer. What is asked may be carried out more than once.
    pub(super) async fn ask<T>(&mut self, call: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
        loop {
            match call().await {
                Err(error) if self.again(&error).await => {}
                other => return other,
            }
        }
    }
}
