//! ReopenContainerLog: opens a running container's log anew at its path, after somebody renamed it. The file is there
//! when this answers; when it fails no new file is.

use peapod_api::v1::{ReopenContainerLogRequest, ReopenContainerLogResponse};

use crate::cri::Services;
use crate::cri::convert::not_empty;
use crate::cri::services::find_container;
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: ReopenContainerLogRequest,
) -> Answer<ReopenContainerLogResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let id = find_container(&services.pods.snapshot(), &id)?.1.id.clone();
    services.pods.reopen_log(&id).await?;
    Ok(ReopenContainerLogResponse {})
}
