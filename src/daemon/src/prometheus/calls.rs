//! Calls of CRI, and the connections over which they come.

use crate::grpc::GrpcMeasures;

use super::family::{FamilyReading, MetricFamily};

pub(super) static FAMILIES: [MetricFamily; 9] = [
    MetricFamily::counter(
        "peapod_rpcs",
        &["method", "code"],
        "Calls that are over, by method of CRI or of `peapod.v1.ImageStore` (`other`: no such) and gRPC's name of the \
         status. `Canceled`: its client left before the answer, or the end of the stream.",
    ),
    MetricFamily::histogram(
        "peapod_rpc_duration_seconds",
        &["method"],
        "From a call's arrival up to its answer, or the beginning of a stream of answers.",
    ),
    MetricFamily::gauge("peapod_rpcs_in_flight", &["method"], "Calls whose answers are not there or not taken yet."),
    MetricFamily::gauge("peapod_connections", &[], "Connections to the socket of CRI."),
    MetricFamily::counter("peapod_connections_refused", &[], "Connections that found no place: all others had calls."),
    MetricFamily::counter("peapod_connections_evicted", &[], "Connections without calls that made place for others."),
    MetricFamily::gauge("peapod_request_memory_bytes", &[], "Requests that are in memory."),
    MetricFamily::gauge("peapod_event_streams", &[], "Clients that listen to GetContainerEvents."),
    MetricFamily::gauge("peapod_list_streams", &[], "Streamed lists under way."),
];

pub(super) fn read(grpc: &GrpcMeasures, event_streams: usize, list_streams: usize) -> Vec<FamilyReading> {
    let [rpcs, durations, in_flight, connections, refused, evicted, request_bytes, events, lists] = &FAMILIES;
    let methods = grpc.read();
    let codes = methods
        .iter()
        .flat_map(|method| method.codes.iter().map(|(code, count)| ([method.method.into(), (*code).into()], *count)));
    vec![
        rpcs.each(codes),
        durations.by(methods.iter().map(|method| (method.method, method.seconds.clone()))),
        in_flight.by(methods.iter().map(|method| (method.method, method.running))),
        connections.is(grpc.connections.get()),
        refused.is(grpc.refused.get()),
        evicted.is(grpc.evicted.get()),
        request_bytes.is(grpc.request_bytes.get()),
        events.is(event_streams),
        lists.is(list_streams),
    ]
}
