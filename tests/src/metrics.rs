//! Metrics as they come over the wire.

use bytes::Bytes;
use peapod_api::v1;
use prost::Message;

/// What is told of each pod, decoded.
///
/// # Panics
/// When that is none.
#[must_use]
pub fn pod_metrics(encoded: Vec<Bytes>) -> Vec<v1::PodSandboxMetrics> {
    encoded.into_iter().map(|pod| v1::PodSandboxMetrics::decode(pod).expect("metrics of a pod")).collect()
}
