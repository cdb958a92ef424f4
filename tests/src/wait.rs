//! Waiting for conditions, never for a time.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);

/// How long anything may take that should happen at once. Long, because test machines are slow and shared; a test that
/// checks a promise about time says its own limit, by [`at_most`].
#[must_use]
pub fn default_timeout() -> Duration {
    at_most(Duration::from_secs(20))
}

/// A limit on this machine: times PEAPOD_TEST_SLOW, the factor by which it is slower than others (emulated, say).
///
/// # Panics
/// When that is no number from 1 on.
#[must_use]
pub fn at_most(limit: Duration) -> Duration {
    static FACTOR: LazyLock<u32> = LazyLock::new(|| {
        let text = std::env::var("PEAPOD_TEST_SLOW").unwrap_or_else(|_| "1".to_owned());
        text.parse().ok().filter(|factor| *factor > 0).expect("PEAPOD_TEST_SLOW is a whole number from 1 on")
    });
    limit * *FACTOR
}

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within [`default_timeout`], naming what was awaited.
pub async fn wait_for(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    wait_some(what, async || condition().await.then_some(())).await;
}

/// Waits until there is an answer.
///
/// # Panics
/// When there is none within [`default_timeout`], naming what was awaited.
pub async fn wait_some<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < default_timeout(), "waited {} s in vain: {what}", default_timeout().as_secs());
        tokio::time::sleep(PAUSE).await;
    }
}
