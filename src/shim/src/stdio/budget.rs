//! How much a log may grow: bytes as they are on disk, so many per second.

use std::time::Instant;

use crate::bounds::LOG_BURST_SECONDS;

/// What always fits, whatever the rate: the longest line with what stands before it.
const LEAST: u64 = 32 << 10;

/// A log's budget, which fills itself.
#[derive(Debug)]
pub(super) struct LogBudget {
    /// Bytes per second.
    rate: u64,
    /// Bytes that may be written now.
    left: u64,
    at: Instant,
    /// Something was refused, and since then the budget has not filled enough for writing to be worth while.
    empty: bool,
}

impl LogBudget {
    /// Full; none without a rate.
    pub(super) fn new(rate: u64, now: Instant) -> Option<Self> {
        (rate > 0).then(|| Self { rate, left: most(rate), at: now, empty: false })
    }

    /// How many of these bytes may be written: whole lines. They are taken as written.
    pub(super) fn take(&mut self, lines: &[u8], now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        let gained = u64::try_from(u128::from(self.rate) * passed / 1_000_000_000).unwrap_or(u64::MAX);
        // The rest of a byte is not lost by asking often.
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(most(self.rate));
            self.at = now;
        }
        // Not line by line, each with a notice of how many were lost before it.
        if self.empty && self.left < (self.rate / 4).max(LEAST) {
            return 0;
        }
        let space = usize::try_from(self.left).unwrap_or(usize::MAX);
        let fits = match lines.get(..space) {
            Some(part) if part.len() < lines.len() => {
                part.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
            }
            _ => lines.len(),
        };
        self.left -= fits as u64;
        self.empty = fits < lines.len();
        fits
    }
}

fn most(rate: u64) -> u64 {
    rate.saturating_mul(LOG_BURST_SECONDS).max(LEAST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn as_much_as_fits_into_the_time() {
        let start = Instant::now();
        assert!(LogBudget::new(0, start).is_none());
        let mut budget = LogBudget::new(100_000, start).unwrap();
        let lines = format!("{}\n", "x".repeat(45)).repeat(100);
        let mut written = 0;
        for millisecond in 0..10_000 {
            let fits = budget.take(lines.as_bytes(), start + Duration::from_millis(millisecond));
            assert_eq!(fits % 46, 0);
            written += fits;
        }
        assert!((1_350_000..=1_400_000).contains(&written), "{written}");
        // After a pause no more than at first.
        let later = start + Duration::from_secs(3600);
        let burst: usize = (0..1000).map(|_| budget.take(lines.as_bytes(), later)).sum();
        assert!((399_000..=400_000).contains(&burst), "{burst}");
    }

    #[test]
    fn the_longest_line_fits_once_it_has_waited() {
        let start = Instant::now();
        let mut budget = LogBudget::new(1, start).unwrap();
        let line = vec![b'x'; 17 << 10];
        assert_eq!(budget.take(&line, start), line.len());
        assert_eq!(budget.take(&line, start), 0);
        assert_eq!(budget.take(&line, start + Duration::from_secs(40_000)), line.len());
    }
}
