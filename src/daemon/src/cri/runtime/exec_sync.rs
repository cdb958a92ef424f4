//! ExecSync: runs a command in a running container and returns what it wrote. A time-out kills it and is
//! DeadlineExceeded, which makes a probe fail; a dropped call kills it as well.

use std::time::Duration;

use peapod_api::v1::{ExecSyncRequest, ExecSyncResponse};
use peapod_pod::ExecRequest;
use peapod_trace::Span;
use tonic::Response;

use crate::cri::Services;
use crate::cri::convert::{FieldError, command, not_empty};
use crate::cri::services::find_container;
use crate::cri::status::Answer;
use crate::grpc::HeldUntilTaken;

/// What a response needs beside the output.
const FRAME: usize = 4096;

pub(super) async fn handle(
    services: &Services,
    request: ExecSyncRequest,
    span: &Span,
) -> Answer<Response<ExecSyncResponse>> {
    let id = not_empty("container_id", request.container_id)?;
    let command = command(request.cmd)?;
    let timeout = match u64::try_from(request.timeout) {
        Ok(0) => None,
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => return Err(FieldError::new("timeout", format!("{} is negative", request.timeout)).into()),
    };
    let id = find_container(&services.pods.snapshot(), &id)?.1.id.clone();
    // Both streams in full still fit into one message.
    let limit = (services.config.grpc.max_message_bytes - FRAME) / 2;
    let output = services.pods.exec_sync(&id, ExecRequest { command, timeout, limit }, span).await?;
    let (stdout, stderr, exit_code) = (output.stdout, output.stderr, output.exit_code);
    let mut response = Response::new(ExecSyncResponse { stdout, stderr, exit_code });
    if let Some(slot) = output.slot {
        response.extensions_mut().insert(HeldUntilTaken::new(slot));
    }
    Ok(response)
}
