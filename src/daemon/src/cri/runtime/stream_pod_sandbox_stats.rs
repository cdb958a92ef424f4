//! StreamPodSandboxStats: ListPodSandboxStats in pages. Which pods are told is decided at the beginning; what they use
//! is read page by page.

use peapod_api::v1::{StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse};

use super::list_pod_sandbox_stats::{matching, reader};
use crate::cri::Services;
use crate::cri::call::AnswerStream;
use crate::cri::pages;
use crate::cri::status::Answer;

pub(super) fn handle(
    services: &Services,
    request: StreamPodSandboxStatsRequest,
) -> Answer<AnswerStream<StreamPodSandboxStatsResponse>> {
    let place = services.places.list_streams.take()?;
    let pods = matching(services, request.filter);
    let message = |pod_sandbox_stats| StreamPodSandboxStatsResponse { pod_sandbox_stats };
    Ok(pages::from_files(place, "statistics", pods, reader(services), message))
}
