//! What was measured on one side.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::processes::Memory;

/// Samples of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which `percent` of the samples lie.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn p50(&self) -> f64 {
        self.percentile(50)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.percentile(99)
    }
}

/// Everything of one side, by name.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// What it says that it is.
    pub(crate) version: String,
    /// Milliseconds.
    pub(crate) times: BTreeMap<&'static str, Samples>,
    /// Pods per second.
    pub(crate) rates: BTreeMap<&'static str, Samples>,
    /// By kind of process, with the idle pods.
    pub(crate) memory: BTreeMap<&'static str, Memory>,
    /// How many idle pods there were then.
    pub(crate) idle_pods: usize,
    /// How many pods there were in lists and recovery.
    pub(crate) many_pods: usize,
}

impl Results {
    pub(crate) fn time(&mut self, name: &'static str, took: Duration) {
        self.times.entry(name).or_default().push(ms(took));
    }

    pub(crate) fn rate(&mut self, name: &'static str, pods: usize, took: Duration) {
        self.rates.entry(name).or_default().push(number(pods) / took.as_secs_f64());
    }

    /// The median of a time, if it was measured.
    pub(crate) fn p50(&self, name: &str) -> Option<f64> {
        self.times.get(name).map(Samples::p50)
    }
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Counts here are small.
pub(crate) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn percentiles_are_samples() {
        let mut samples = Samples::default();
        (1..=100).rev().for_each(|value| samples.push(f64::from(value)));
        assert_eq!((samples.p50(), samples.p99(), samples.percentile(100)), (50.0, 99.0, 100.0));
        let mut one = Samples::default();
        one.push(7.0);
        assert_eq!((one.p50(), one.p99()), (7.0, 7.0));
        assert!(Samples::default().p50().is_nan());
    }
}
