//! Exec: promises a client a command in a running container, whose streams it gets when it comes to the URL.

use peapod_api::v1::{ExecRequest, ExecResponse};
use peapod_pod::ExecSession;

use crate::config::OnDisconnect;
use crate::cri::Services;
use crate::cri::convert::{command, not_empty, streams};
use crate::cri::services::find_container;
use crate::cri::status::Answer;
use crate::streaming::PendingSession;

pub(super) async fn handle(services: &Services, request: ExecRequest) -> Answer<ExecResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let session = ExecSession {
        command: command(request.cmd)?,
        streams: streams(request.tty, request.stdin, request.stdout, request.stderr)?,
        leave: services.config.streaming.on_disconnect == OnDisconnect::Leave,
    };
    let container = find_container(&services.pods.snapshot(), &id)?.1.id.clone();
    services.pods.check_exec(&container, &session).await?;
    let promised = PendingSession::Exec { container, session };
    Ok(ExecResponse { url: services.streaming.register(&services.config, promised).await? })
}
