//! StartContainer: starts a created container; its log file exists when this answers. A retry joins the start, or hears
//! that the container runs as long as nothing was done with it since. On any other container it is FailedPrecondition:
//! one that has ended is not running, whoever asks. A program that can't be executed leaves it exited, with 128 and
//! StartError.

use peapod_api::v1::{StartContainerRequest, StartContainerResponse};
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::not_empty;
use crate::cri::services::find_container;
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: StartContainerRequest,
    span: &Span,
) -> Answer<StartContainerResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let id = find_container(&services.pods.snapshot(), &id)?.1.id.clone();
    services.pods.start_container(&id, span).await?;
    Ok(StartContainerResponse {})
}
