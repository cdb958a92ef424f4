//! How soon to look again.

use std::time::Duration;

use crate::bounds::{SWEEP_CALM_PERIOD, SWEEP_PERIOD};

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

    #[test]
    fn calm_looks_come_less_often_until_something_happens() {
        let mut pace = LookPace::new();
        let pauses: Vec<u64> = (0..4)
            .map(|_| {
                let pause = pace.pause();
                pace = pace.after(LookOutcome::Calm);
                pause.as_secs()
            })
            .collect();
        assert_eq!(pauses, [5, 10, 20, 20]);
        assert_eq!(pace.after(LookOutcome::Busy).pause(), SWEEP_PERIOD);
    }
}
