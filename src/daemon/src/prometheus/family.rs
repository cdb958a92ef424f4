//! A metric family: a name with a meaning, and the values that it has at one moment.

use std::borrow::Cow;

use peapod_measure::HistogramReading;

/// What a document says of a metric.
#[derive(Debug)]
pub(super) struct MetricFamily {
    /// As queries have it, but for what a kind adds: `_total`, `_info`, `_bucket`.
    pub(super) name: &'static str,
    pub(super) kind: FamilyKind,
    pub(super) labels: &'static [&'static str],
    /// On one line.
    pub(super) help: &'static str,
}

/// How its values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyKind {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
    /// Seconds, counted in buckets.
    Histogram,
    /// Its labels are what it says.
    Info,
}

/// A value.
#[derive(Debug)]
pub(super) enum SampleValue {
    Number(u64),
    Fraction(f64),
    Durations(HistogramReading),
    /// It has none.
    Labels,
}

/// The values of one combination of labels.
#[derive(Debug)]
pub(super) struct FamilySample {
    pub(super) labels: Vec<(&'static str, Cow<'static, str>)>,
    pub(super) value: SampleValue,
}

/// A family with all its values.
#[derive(Debug)]
pub(super) struct FamilyReading {
    pub(super) family: &'static MetricFamily,
    pub(super) samples: Vec<FamilySample>,
}

impl MetricFamily {
    pub(super) const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Counter, labels, help }
    }

    pub(super) const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Gauge, labels, help }
    }

    pub(super) const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Histogram, labels, help }
    }

    pub(super) const fn info(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: FamilyKind::Info, labels, help }
    }

    /// Its only value.
    pub(super) fn is(&'static self, value: impl Into<SampleValue>) -> FamilyReading {
        self.each([([], value)])
    }

    /// A value for each combination of labels, whose values come in the order of the labels.
    pub(super) fn each<const N: usize, V: Into<SampleValue>>(
        &'static self,
        samples: impl IntoIterator<Item = ([Cow<'static, str>; N], V)>,
    ) -> FamilyReading {
        let sample = |(values, value): ([Cow<'static, str>; N], V)| {
            debug_assert_eq!(self.labels.len(), N, "{}", self.name);
            FamilySample { labels: self.labels.iter().copied().zip(values).collect(), value: value.into() }
        };
        FamilyReading { family: self, samples: samples.into_iter().map(sample).collect() }
    }

    /// A value for each value of its one label.
    pub(super) fn by<L: Into<Cow<'static, str>>, V: Into<SampleValue>>(
        &'static self,
        samples: impl IntoIterator<Item = (L, V)>,
    ) -> FamilyReading {
        self.each(samples.into_iter().map(|(label, value)| ([label.into()], value)))
    }
}

impl From<u64> for SampleValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for SampleValue {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<bool> for SampleValue {
    fn from(is_so: bool) -> Self {
        Self::Number(u64::from(is_so))
    }
}

impl From<f64> for SampleValue {
    fn from(fraction: f64) -> Self {
        Self::Fraction(fraction)
    }
}

impl From<HistogramReading> for SampleValue {
    fn from(durations: HistogramReading) -> Self {
        Self::Durations(durations)
    }
}
