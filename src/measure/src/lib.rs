//! What a crate counts of its own work, as Prometheus has it: counters, gauges, histograms. Whoever counts pays for an
//! atomic addition or two; whoever reads waits for nobody and holds up nobody. Pure.
//!
//! Clones of one share it: the crate that does the work has one end, who shows it the other.

mod counter;
mod counter_set;
mod gauge;
mod histogram;

pub use counter::Counter;
pub use counter_set::CounterSet;
pub use gauge::{Gauge, GaugeHold};
pub use histogram::{Histogram, HistogramReading};
