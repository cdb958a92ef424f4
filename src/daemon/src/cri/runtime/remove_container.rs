//! RemoveContainer: removes a container, killing it first if it runs. Its log stays where it is. One that is gone is
//! success.

use peapod_api::v1::{RemoveContainerRequest, RemoveContainerResponse};
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::not_empty;
use crate::cri::services::{find_container, gone_is_success};
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: RemoveContainerRequest,
    span: &Span,
) -> Answer<RemoveContainerResponse> {
    let id = not_empty("container_id", request.container_id)?;
    gone_is_success(remove(services, &id, span).await)?;
    Ok(RemoveContainerResponse {})
}

async fn remove(services: &Services, id: &str, span: &Span) -> Answer<()> {
    let id = find_container(&services.pods.snapshot(), id)?.1.id.clone();
    Ok(services.pods.remove_container(&id, span).await?)
}
