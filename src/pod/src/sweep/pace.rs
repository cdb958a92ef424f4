//! How soon to look again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::bounds::{SWEEP_CALM_PERIOD, SWEEP_PERIOD};
use crate::publisher::SnapshotNews;

/// What a look has found, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookOutcome {
    /// Nothing is unknown, and no pod has changed since the look before.
    Calm,
    /// Something is to be ended, or may have been left.
    Busy,
}

/// The time until the next look. On a node where nothing happens a look at all pods is most of what there is to do, and
/// finds nothing: it comes less often there.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookPace(Duration);

impl LookPace {
    pub(super) fn new() -> Self {
        Self(SWEEP_PERIOD)
    }

    pub(super) fn pause(self) -> Duration {
        self.0
    }

    /// Until it is time: as long as usual after a change, which may have left something.
    pub(super) async fn wait(self, news: &mut SnapshotNews) {
        let end = Instant::now() + self.pause();
        if timeout_at(end, news.changed()).await.is_ok() {
            sleep_until(end.min(Instant::now() + SWEEP_PERIOD)).await;
        }
    }

    pub(super) fn after(self, outcome: LookOutcome) -> Self {
        match outcome {
            LookOutcome::Calm => Self((self.0 * 2).min(SWEEP_CALM_PERIOD)),
            LookOutcome::Busy => Self::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publisher::Publisher;
    use crate::view::tests::pod;

    #[test]
    fn calm_looks_come_less_often_until_something_happens() {
        let mut pace = LookPace::new();
        let pauses: Vec<u64> = (0..6)
            .map(|_| {
                let pause = pace.pause();
                pace = pace.after(LookOutcome::Calm);
                pause.as_secs()
            })
            .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        assert_eq!(pace.after(LookOutcome::Busy).pause(), SWEEP_PERIOD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_not_waited_out() {
        let publisher = Publisher::default();
        let (mut news, calm) = (publisher.news(), LookPace(SWEEP_CALM_PERIOD));
        let mut waited = async || {
            let began = Instant::now();
            calm.wait(&mut news).await;
            began.elapsed()
        };
        assert_eq!(waited().await, SWEEP_CALM_PERIOD);
        publisher.publish(pod());
        assert_eq!(waited().await, SWEEP_PERIOD);
        assert_eq!(waited().await, SWEEP_CALM_PERIOD);
    }
}
