//! What many measurements of one thing say.

use std::time::Duration;

/// Samples of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// One more, in milliseconds.
    pub fn time(&mut self, took: Duration) {
        self.push(took.as_secs_f64() * 1e3);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sample that `percent` of a hundred don't exceed; not a number if there are none.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or(f64::NAN)
    }

    /// The median.
    #[must_use]
    pub fn p50(&self) -> f64 {
        self.percentile(50)
    }

    /// What 99 of a hundred don't exceed.
    #[must_use]
    pub fn p99(&self) -> f64 {
        self.percentile(99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let mut samples = Samples::default();
        (1..=100).rev().for_each(|value| samples.push(f64::from(value)));
        assert_eq!((samples.p50(), samples.p99(), samples.percentile(100)), (50.0, 99.0, 100.0));
        let mut one = Samples::default();
        one.time(Duration::from_micros(7_500));
        assert_eq!((one.p50(), one.p99(), one.len()), (7.5, 7.5, 1));
        assert!(Samples::default().p50().is_nan() && Samples::default().is_empty());
    }
}
