//! Metrics as OpenMetrics has them.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::family::{FamilyKind, FamilyReading, SampleValue};

/// Type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text.
pub(super) fn encode(readings: Vec<FamilyReading>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(CurrentReadings(readings)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// The crate asks for values family by family.
#[derive(Debug)]
struct CurrentReadings(Vec<FamilyReading>);

impl Collector for CurrentReadings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for FamilyReading { family, samples } in &self.0 {
            let (name, unit) = split_unit(family.name);
            let mut encoder = encoder.encode_descriptor(name, family.help, unit.as_ref(), metric_type(family.kind))?;
            for sample in samples {
                match (family.kind, &sample.value) {
                    // The labels are the sample's own.
                    (FamilyKind::Info, _) => encoder.encode_info(&sample.labels)?,
                    (_, _) if sample.labels.is_empty() => value(&mut encoder, family.kind, &sample.value)?,
                    (_, _) => value(&mut encoder.encode_family(&sample.labels)?, family.kind, &sample.value)?,
                }
            }
        }
        Ok(())
    }
}

fn value(encoder: &mut MetricEncoder<'_>, kind: FamilyKind, value: &SampleValue) -> fmt::Result {
    const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;
    match (kind, value) {
        (FamilyKind::Counter, SampleValue::Number(number)) => encoder.encode_counter(number, NO_EXEMPLAR),
        (FamilyKind::Counter, SampleValue::Fraction(fraction)) => encoder.encode_counter(fraction, NO_EXEMPLAR),
        (_, SampleValue::Number(number)) => encoder.encode_gauge(number),
        (_, SampleValue::Fraction(fraction)) => encoder.encode_gauge(fraction),
        (_, SampleValue::Durations(read)) => {
            encoder.encode_histogram::<NoLabelSet>(read.sum, read.count, &read.buckets, None)
        }
        (_, SampleValue::Labels) => Ok(()),
    }
}

fn metric_type(kind: FamilyKind) -> MetricType {
    match kind {
        FamilyKind::Counter => MetricType::Counter,
        FamilyKind::Gauge => MetricType::Gauge,
        FamilyKind::Histogram => MetricType::Histogram,
        FamilyKind::Info => MetricType::Info,
    }
}

/// A name ends with its unit, which the crate writes by itself.
fn split_unit(name: &str) -> (&str, Option<Unit>) {
    let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
    let with_unit = units.into_iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, Some(unit))));
    with_unit.unwrap_or((name, None))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use peapod_measure::Histogram;

    use super::*;
    use crate::prometheus::family::MetricFamily;

    #[test]
    fn it_is_what_openmetrics_says() {
        static INFO: MetricFamily = MetricFamily::info("peapod_build", &["version"], "What runs.");
        static COUNTER: MetricFamily = MetricFamily::counter("peapod_fetched_bytes", &["host"], "What came.");
        static GAUGE: MetricFamily = MetricFamily::gauge("peapod_pods", &[], "How many.");
        static TIMES: MetricFamily = MetricFamily::histogram("peapod_rpc_duration_seconds", &["method"], "How long.");
        let histogram = Histogram::new(&[0.5, 1.0]);
        histogram.observe(Duration::from_millis(750));
        let readings = vec![
            INFO.each([([Cow::from("1.0")], SampleValue::Labels)]),
            COUNTER.by([("a\"\\\nb", 7_u64)]),
            GAUGE.is(3_usize),
            TIMES.by([("Version", histogram.read())]),
        ];
        let wanted = "\
# HELP peapod_build What runs.
# TYPE peapod_build info
peapod_build_info{version=\"1.0\"} 1
# HELP peapod_fetched_bytes What came.
# TYPE peapod_fetched_bytes counter
# UNIT peapod_fetched_bytes bytes
peapod_fetched_bytes_total{host=\"a\\\"\\\\\\nb\"} 7
# HELP peapod_pods How many.
# TYPE peapod_pods gauge
peapod_pods 3
# HELP peapod_rpc_duration_seconds How long.
# TYPE peapod_rpc_duration_seconds histogram
# UNIT peapod_rpc_duration_seconds seconds
peapod_rpc_duration_seconds_sum{method=\"Version\"} 0.75
peapod_rpc_duration_seconds_count{method=\"Version\"} 1
peapod_rpc_duration_seconds_bucket{le=\"0.5\",method=\"Version\"} 0
peapod_rpc_duration_seconds_bucket{le=\"1.0\",method=\"Version\"} 1
peapod_rpc_duration_seconds_bucket{le=\"+Inf\",method=\"Version\"} 1
# EOF
";
        assert_eq!(encode(readings).unwrap(), wanted);
    }
}
