//! ListPodSandboxMetrics: values of all metrics, of READY pods and of their containers that run. What can't be read of
//! one leaves out nothing of the others.

use std::sync::Arc;

use peapod_api::v1::{ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Response;

use crate::cri::blocking::blocking;
use crate::cri::convert::pod_metrics;
use crate::cri::status::Answer;
use crate::cri::{Services, fit};
use crate::grpc::HeldUntilTaken;
use crate::stats::NodeSample;

pub(super) async fn handle(
    services: &Services,
    _: ListPodSandboxMetricsRequest,
) -> Answer<Response<ListPodSandboxMetricsResponse>> {
    let place = services.places.metric_lists.take()?;
    let limit = services.config.grpc.max_message_bytes;
    let all = |node: Arc<NodeSample>| node.pods.iter().map(|pod| pod_metrics(pod, &node)).collect();
    let (all, place) = sample(services, place, move |node| fit::metrics(limit, all(node))).await?;
    let mut response = Response::new(all);
    response.extensions_mut().insert(HeldUntilTaken::new(place));
    Ok(response)
}

/// Makes something of what all pods use now, on a thread that may block. That has the place as long as it works, also
/// for a client that has left.
pub(super) async fn sample<T: Send + 'static>(
    services: &Services,
    place: OwnedSemaphorePermit,
    make: impl FnOnce(Arc<NodeSample>) -> T + Send + 'static,
) -> Answer<(T, OwnedSemaphorePermit)> {
    services.stats.counted(&services.pods).await;
    let (sources, snapshot) = (services.stats.clone(), services.pods.snapshot());
    blocking("metrics", move || (make(sources.node(&snapshot)), place)).await
}
