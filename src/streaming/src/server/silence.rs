//! Waiting for an end of patience that moves on with each byte.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer whose time may change between any two waits. It is only set anew when it has gone off, or would go off too
/// late: setting it each time costs more than what else a piece that is passed on does.
#[derive(Debug)]
pub(super) struct SilenceTimer(Pin<Box<Sleep>>);

impl SilenceTimer {
    pub(super) fn new(until: Instant) -> Self {
        Self(Box::pin(sleep_until(until)))
    }

    /// Waits until then. A call that is dropped has lost nothing.
    pub(super) async fn until(&mut self, then: Instant) {
        let timer = &mut self.0;
        if then < timer.deadline() {
            timer.as_mut().reset(then);
        }
        loop {
            timer.as_mut().await;
            if then <= timer.deadline() {
                return;
            }
            timer.as_mut().reset(then);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_time_counts() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut timer = SilenceTimer::new(after(10));
        timer.until(after(5)).await;
        assert_eq!(begin.elapsed().as_secs(), 5);
        assert!(timeout(Duration::from_secs(7), timer.until(after(20))).await.is_err());
        timer.until(after(30)).await;
        assert_eq!(begin.elapsed().as_secs(), 30);
        timer.until(after(31)).await;
        assert_eq!(begin.elapsed().as_secs(), 31);
    }
}
