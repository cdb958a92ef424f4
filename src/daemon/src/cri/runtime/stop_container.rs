//! StopContainer: asks a container to end, kills it after the time-out, and answers when it has ended. A later call can
//! only shorten the time; a dropped one lifts nothing. A container that has ended or is gone is success.

use std::time::Duration;

use peapod_api::v1::{StopContainerRequest, StopContainerResponse};
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::not_empty;
use crate::cri::services::{find_container, gone_is_success};
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: StopContainerRequest,
    span: &Span,
) -> Answer<StopContainerResponse> {
    let id = not_empty("container_id", request.container_id)?;
    // A time-out in the past has passed.
    let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
    gone_is_success(stop(services, &id, grace, span).await)?;
    Ok(StopContainerResponse {})
}

async fn stop(services: &Services, id: &str, grace: Duration, span: &Span) -> Answer<()> {
    let id = find_container(&services.pods.snapshot(), id)?.1.id.clone();
    Ok(services.pods.stop_container(&id, grace, span).await?)
}
