//! CheckpointContainer: writes a running container into an archive; it runs on.

use std::time::Duration;

use peapod_api::v1::{CheckpointContainerRequest, CheckpointContainerResponse};
use peapod_pod::{CHECKPOINT_TIME, CHECKPOINT_TIME_MAX, CheckpointRequest};
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::{FieldError, not_empty};
use crate::cri::services::find_container;
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: CheckpointContainerRequest,
    span: &Span,
) -> Answer<CheckpointContainerResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let location = not_empty("location", request.location)?;
    let timeout = match u64::try_from(request.timeout) {
        Ok(0) => CHECKPOINT_TIME,
        Ok(seconds) => Duration::from_secs(seconds).min(CHECKPOINT_TIME_MAX),
        Err(_) => return Err(FieldError::new("timeout", format!("{} is negative", request.timeout)).into()),
    };
    let id = find_container(&services.pods.snapshot(), &id)?.1.id.clone();
    let request = CheckpointRequest { location: location.into(), timeout };
    services.pods.checkpoint_container(&id, &request, span).await?;
    Ok(CheckpointContainerResponse {})
}
