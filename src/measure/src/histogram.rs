//! How long something takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Durations, counted by upper bounds that are known from the beginning.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

#[derive(Debug)]
struct Buckets {
    /// In seconds, ascending.
    bounds: &'static [f64],
    /// One more than there are bounds: the last is for what is longer than all of them.
    counts: Box<[AtomicU64]>,
    /// Of all, in nanoseconds: half a millennium fits.
    nanoseconds: AtomicU64,
}

/// A histogram as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramReading {
    /// Upper bounds in seconds, the last of them infinite, each with how many are not longer than that and longer than
    /// the one before.
    pub buckets: Vec<(f64, u64)>,
    /// How many there are.
    pub count: u64,
    /// Seconds of all together.
    pub sum: f64,
}

impl Histogram {
    /// With these upper bounds, in seconds, ascending.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Buckets { bounds, counts, nanoseconds: AtomicU64::new(0) }))
    }

    /// One took so long.
    pub fn observe(&self, took: Duration) {
        let Buckets { bounds, counts, nanoseconds } = &*self.0;
        let seconds = took.as_secs_f64();
        let place = bounds.partition_point(|bound| *bound < seconds);
        // There is a place behind the last bound.
        if let Some(count) = counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// One began then and is over now.
    pub fn observe_since(&self, began: Instant) {
        self.observe(began.elapsed());
    }

    /// All until now. The buckets make up the count, whoever observes meanwhile.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a sum of seconds needs no more than 53 bits of precision")]
    pub fn read(&self) -> HistogramReading {
        let Buckets { bounds, counts, nanoseconds } = &*self.0;
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts).map(|(bound, count)| (bound, count.load(Ordering::Relaxed))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        HistogramReading { buckets, count, sum: nanoseconds.load(Ordering::Relaxed) as f64 / 1e9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_their_bounds() {
        let histogram = Histogram::new(&[0.01, 0.1]);
        for ms in [1, 10, 11, 100, 200, 5000] {
            histogram.clone().observe(Duration::from_millis(ms));
        }
        let HistogramReading { buckets, count, sum } = histogram.read();
        assert_eq!(buckets, [(0.01, 2), (0.1, 2), (f64::INFINITY, 2)]);
        assert_eq!((count, (sum * 1e3).round()), (6, 5322.0));
    }
}
