//! What was measured on one side.

use std::collections::BTreeMap;
use std::time::Duration;

use peapod_tests::Samples;

use crate::processes::Memory;

/// Everything of one side, by name.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// What it says that it is.
    pub(crate) version: String,
    /// Milliseconds.
    pub(crate) times: BTreeMap<&'static str, Samples>,
    /// Pods per second.
    pub(crate) rates: BTreeMap<&'static str, Samples>,
    /// Of one processor, in percent.
    pub(crate) shares: BTreeMap<&'static str, f64>,
    /// By kind of process, with the idle pods.
    pub(crate) memory: BTreeMap<&'static str, Memory>,
    /// How many idle pods there were then.
    pub(crate) idle_pods: usize,
    /// How many pods there were in lists and recovery.
    pub(crate) many_pods: usize,
    /// How many streams were open at once, and what each made daemon, streaming server and shims grow by.
    pub(crate) streams: usize,
    pub(crate) stream_kib: Option<f64>,
}

impl Results {
    pub(crate) fn time(&mut self, name: &'static str, took: Duration) {
        self.times.entry(name).or_default().push(ms(took));
    }

    pub(crate) fn rate(&mut self, name: &'static str, pods: usize, took: Duration) {
        self.rates.entry(name).or_default().push(number(pods) / took.as_secs_f64());
    }

    pub(crate) fn share(&mut self, name: &'static str, percent: f64) {
        self.shares.insert(name, percent);
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
