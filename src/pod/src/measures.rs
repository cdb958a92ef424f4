//! What pods and containers count of their own work.

use peapod_measure::{Counter, CounterSet, Gauge, Histogram};

/// Upper bounds, in seconds: a shim takes a millisecond, where the node is busy tens of them.
const SHIM_SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Of all pods of the node. Clones share it.
#[derive(Clone, Debug)]
pub struct PodMeasures {
    /// Shims that were started, from the request up to the process.
    pub shim_starts: Histogram,
    /// Shims that could not be started.
    pub shim_start_failures: Counter,
    /// Shims that were gone without having been told to end.
    pub shims_lost: Counter,
    /// Starts and removals of containers that wait for their turn.
    pub turns_waiting: Gauge,
    /// Those that have it.
    pub turns_taken: Gauge,
    /// What no record led to and was ended, by what it was.
    pub swept: CounterSet,
    /// The same that could not be ended, each time that it was tried.
    pub sweep_failures: CounterSet,
    /// Subscribers to changes that were too slow for them.
    pub subscribers_dropped: Counter,
    /// Records of pods and containers that could not be read at the daemon's start.
    pub records_set_aside: Counter,
    /// Pods that were taken up from their records after a panic.
    pub defects: Counter,
}

impl PodMeasures {
    /// `subscribers_dropped`: as whoever drops them counts. `strays`: all words for what is swept.
    pub(crate) fn new(subscribers_dropped: Counter, strays: &[&'static str]) -> Self {
        Self {
            shim_starts: Histogram::new(SHIM_SECONDS),
            shim_start_failures: Counter::default(),
            shims_lost: Counter::default(),
            turns_waiting: Gauge::default(),
            turns_taken: Gauge::default(),
            swept: CounterSet::new(strays),
            sweep_failures: CounterSet::new(strays),
            subscribers_dropped,
            records_set_aside: Counter::default(),
            defects: Counter::default(),
        }
    }
}
