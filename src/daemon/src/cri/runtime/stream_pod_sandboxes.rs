//! StreamPodSandboxes: ListPodSandbox in pages, all of one moment.

use peapod_api::v1::{StreamPodSandboxesRequest, StreamPodSandboxesResponse};

use super::list_pod_sandbox::matching;
use crate::cri::Services;
use crate::cri::call::AnswerStream;
use crate::cri::convert::pod_sandbox;
use crate::cri::pages;
use crate::cri::status::Answer;

pub(super) fn handle(
    services: &Services,
    request: StreamPodSandboxesRequest,
) -> Answer<AnswerStream<StreamPodSandboxesResponse>> {
    let place = services.places.list_streams.take()?;
    let filter = request.filter.unwrap_or_default();
    let pods: Vec<_> = matching(&services.pods.snapshot(), &filter).cloned().collect();
    let pods = pods.into_iter().map(|entry| pod_sandbox(&entry.pod));
    Ok(pages::from_memory(place, pods, |pod_sandboxes| StreamPodSandboxesResponse { pod_sandboxes }))
}
