//! What a database counts of its own work.

use peapod_measure::{Counter, Gauge, Histogram};

/// Upper bounds, in seconds: most commits take less than a millisecond, those that wait for a disk tens of them.
const COMMIT_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Of one database. Clones share it.
#[derive(Clone, Debug)]
pub struct DatabaseMeasures {
    /// Writes that were committed, from when the thread took them up to the end of the commit.
    pub commits: Histogram,
    /// Writes that were rolled back.
    pub failures: Counter,
    /// Writes that wait for the thread, and the one that it works on.
    pub waiting: Gauge,
}

impl Default for DatabaseMeasures {
    fn default() -> Self {
        Self { commits: Histogram::new(COMMIT_SECONDS), failures: Counter::default(), waiting: Gauge::default() }
    }
}
