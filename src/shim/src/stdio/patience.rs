//! For how long those who read along with a container hold its output up, all of them together: pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::bounds::{READER_RATE, READERS_PATIENCE, READERS_PATIENCE_PARTS};

/// What is left of the time for which a container's output may be held up. Each reader has its own bound, but whoever
/// is dropped may come again.
#[derive(Debug)]
pub(super) struct Patience {
    /// For so long it was held up; less as time goes by.
    spent: Duration,
    /// As of then.
    since: Instant,
}

impl Patience {
    /// All of it.
    pub(super) fn new(now: Instant) -> Self {
        Self { spent: Duration::ZERO, since: now }
    }

    /// For how long it may be held up from now on.
    pub(super) fn left(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.since, now));
        self.spent = self.spent.saturating_sub(passed / READERS_PATIENCE_PARTS);
        READERS_PATIENCE.saturating_sub(self.spent)
    }

    /// It was held up for so long, while so many bytes were taken. What is more than was left is made up for later.
    pub(super) fn spend(&mut self, held: Duration, taken: usize) {
        let fair = Duration::from_secs(1) * u32::try_from(taken).unwrap_or(u32::MAX) / READER_RATE;
        self.spent += held.saturating_sub(fair);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_spent_and_comes_back() {
        let mut now = Instant::now();
        let mut patience = Patience::new(now);
        assert_eq!(patience.left(now), READERS_PATIENCE);
        patience.spend(READERS_PATIENCE + Duration::from_secs(1), 0);
        assert_eq!(patience.left(now), Duration::ZERO);
        // First what was spent beyond it.
        now += Duration::from_secs(1) * READERS_PATIENCE_PARTS;
        assert_eq!(patience.left(now), Duration::ZERO);
        now += Duration::from_secs(3) * READERS_PATIENCE_PARTS;
        assert_eq!(patience.left(now), Duration::from_secs(3));
        now += 2 * READERS_PATIENCE * READERS_PATIENCE_PARTS;
        assert_eq!(patience.left(now), READERS_PATIENCE);
    }

    #[test]
    fn who_takes_enough_is_waited_for() {
        let now = Instant::now();
        let mut patience = Patience::new(now);
        let rate = usize::try_from(READER_RATE).unwrap();
        patience.spend(Duration::from_secs(1), rate);
        patience.spend(Duration::from_millis(1), 2 * rate);
        assert_eq!(patience.left(now), READERS_PATIENCE);
        patience.spend(Duration::from_secs(2), rate / 2);
        assert_eq!(patience.left(now), READERS_PATIENCE - Duration::from_millis(1500));
    }
}
