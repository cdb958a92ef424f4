//! Sessions of exec, attach and port-forward.

use super::family::{FamilyReading, MetricFamily};
use crate::streaming::Streaming;

pub(super) static FAMILIES: [MetricFamily; 6] = [
    MetricFamily::counter(
        "peapod_sessions_promised",
        &["kind"],
        "Sessions that clients were promised: `exec`, `attach`, `portforward`.",
    ),
    MetricFamily::gauge("peapod_sessions_pending", &[], "Sessions whose clients have not come yet."),
    MetricFamily::counter("peapod_sessions_opened", &["kind"], "Sessions that began."),
    MetricFamily::counter("peapod_session_failures", &["kind"], "Sessions that could not begin once clients had come."),
    MetricFamily::gauge("peapod_streaming_server_up", &[], "Whether the streaming server accepts clients."),
    MetricFamily::counter(
        "peapod_streaming_server_starts",
        &[],
        "Streaming servers that were started, one at the daemon's start and one after each that died.",
    ),
];

pub(super) fn read(streaming: &Streaming) -> Vec<FamilyReading> {
    let [promised, pending, opened, failures, up, starts] = &FAMILIES;
    let measures = streaming.measures();
    vec![
        promised.by(measures.promised.iter()),
        pending.is(measures.pending.get()),
        opened.by(measures.opened.iter()),
        failures.by(measures.failures.iter()),
        up.is(streaming.is_up()),
        starts.is(measures.server_starts.get()),
    ]
}
