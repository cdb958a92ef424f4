//! Attach: promises a client what a running container writes from then on, and its input.

use peapod_api::v1::{AttachRequest, AttachResponse};

use crate::cri::Services;
use crate::cri::convert::{not_empty, streams};
use crate::cri::services::find_container;
use crate::cri::status::Answer;
use crate::streaming::PendingSession;

pub(super) async fn handle(services: &Services, request: AttachRequest) -> Answer<AttachResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let streams = streams(request.tty, request.stdin, request.stdout, request.stderr)?;
    let container = find_container(&services.pods.snapshot(), &id)?.1.id.clone();
    services.pods.check_attach(&container).await?;
    let promised = PendingSession::Attach { container, streams };
    Ok(AttachResponse { url: services.streaming.register(&services.config, promised).await? })
}
