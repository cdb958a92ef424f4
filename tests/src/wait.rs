//! Waiting for conditions, never for a time.

use std::time::{Duration, Instant};

/// How long anything may take that should happen at once. Long, because test machines are slow and shared; a test that
/// checks a promise about time says its own limit.
pub const PATIENCE: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(10);

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within [`PATIENCE`], naming what was awaited.
pub async fn wait_for(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    wait_some(what, async || condition().await.then_some(())).await;
}

/// Waits until there is an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`], naming what was awaited.
pub async fn wait_some<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "waited {} s in vain: {what}", PATIENCE.as_secs());
        tokio::time::sleep(PAUSE).await;
    }
}
