//! StreamPodSandboxMetrics: ListPodSandboxMetrics in pages, all of one sample, and none is left out.

use peapod_api::v1::StreamPodSandboxMetricsResponse;

use super::list_pod_sandbox_metrics::sample;
use crate::cri::Services;
use crate::cri::call::AnswerStream;
use crate::cri::convert::pod_metrics;
use crate::cri::pages;
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services) -> Answer<AnswerStream<StreamPodSandboxMetricsResponse>> {
    let place = services.places.list_streams.take()?;
    let (node, place) = sample(services, place, |node| node).await?;
    let pods = (0..node.pods.len()).filter_map(move |at| Some(pod_metrics(node.pods.get(at)?, &node)));
    // As a message, bytes count a few more than they are.
    let message = |pod_sandbox_metrics| StreamPodSandboxMetricsResponse { pod_sandbox_metrics };
    Ok(pages::from_memory(place, pods, message))
}
