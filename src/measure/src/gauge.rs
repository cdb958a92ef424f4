//! How many there are now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that grows and shrinks. Each part of it is a [`GaugeHold`]: nothing can be left in it by who is cancelled.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// A part of a gauge, as long as it lives.
#[derive(Debug)]
pub struct GaugeHold {
    gauge: Gauge,
    count: u64,
}

impl Gauge {
    /// One more, until what this answers is dropped.
    #[must_use]
    pub fn hold(&self) -> GaugeHold {
        let mut hold = GaugeHold { gauge: self.clone(), count: 0 };
        hold.add(1);
        hold
    }

    /// None yet, of what will be more.
    #[must_use]
    pub fn hold_none(&self) -> GaugeHold {
        GaugeHold { gauge: self.clone(), count: 0 }
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl GaugeHold {
    /// So many more.
    pub fn add(&mut self, count: u64) {
        self.gauge.0.fetch_add(count, Ordering::Relaxed);
        self.count += count;
    }
}

impl Drop for GaugeHold {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        let gauge = Gauge::default();
        let (one, mut other) = (gauge.hold(), gauge.hold_none());
        assert_eq!(gauge.get(), 1);
        other.add(7);
        assert_eq!(gauge.clone().get(), 8);
        drop(one);
        assert_eq!(gauge.get(), 7);
        drop(other);
        assert_eq!(gauge.get(), 0);
    }
}
