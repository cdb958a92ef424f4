//! Stages of operations, and spans on their way to a collector.

use super::family::{FamilyReading, MetricFamily};
use crate::spans::SpanMeasures;

pub(super) static FAMILIES: [MetricFamily; 5] = [
    MetricFamily::histogram(
        "peapod_stage_duration_seconds",
        &["operation", "stage"],
        "Stages of calls, and of work that went on without them, once these are over: of work that several calls waited \
         for, as each of them did. Stages are in each other, and beside each other: `peapod why` shows how.",
    ),
    MetricFamily::counter("peapod_trace_spans_exported", &[], "Spans that a collector has taken (`[tracing]`)."),
    MetricFamily::counter(
        "peapod_trace_spans_dropped",
        &[],
        "Spans that were to be sent and are lost: the collector did not take them, or not as fast as they came.",
    ),
    MetricFamily::counter(
        "peapod_trace_operations_missed",
        &[],
        "Operations that ended faster than their stages could be counted and sent.",
    ),
    MetricFamily::counter("peapod_trace_export_failures", &[], "Tries to send spans that failed."),
];

pub(super) fn read(measures: &SpanMeasures) -> Vec<FamilyReading> {
    let [stages, exported, dropped, missed, failures] = &FAMILIES;
    let all = measures.stages.read().into_iter();
    vec![
        stages.each(all.map(|((operation, stage), read)| ([operation.into(), stage.into()], read))),
        exported.is(measures.exported.get()),
        dropped.is(measures.dropped.get()),
        missed.is(measures.missed.get()),
        failures.is(measures.failures.get()),
    ]
}
