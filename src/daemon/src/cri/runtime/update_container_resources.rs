//! UpdateContainerResources: changes limits of a created or running container. Zero and empty fields keep what is.

use std::sync::Arc;

use peapod_api::v1::{UpdateContainerResourcesRequest, UpdateContainerResourcesResponse};
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::{FieldError, not_empty, required, resources};
use crate::cri::services::find_container;
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: UpdateContainerResourcesRequest,
    span: &Span,
) -> Answer<UpdateContainerResourcesResponse> {
    let id = not_empty("container_id", request.container_id)?;
    if request.windows.is_some() {
        return Err(FieldError::unsupported("windows", "peapod runs on Linux").into());
    }
    let change = resources(Some(required("linux", request.linux)?))?;
    let view = Arc::clone(find_container(&services.pods.snapshot(), &id)?.1);
    let updated = services.pods.update_container(&view.id, change, span).await;
    // Also if it failed: nobody knows how far it came.
    services.stats.groups.forget(&view.cgroup);
    updated?;
    Ok(UpdateContainerResourcesResponse {})
}
