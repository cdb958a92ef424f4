//! StopContainer: asks a container to end, kills it after the time-out, and answers when it has ended. A later call can
//! only shorten the time; a dropped one lifts nothing. A container that has ended or is gone is success.

use std::time::Duration;

use peapod_api::v1::{StopContainerRequest, StopContainerResponse};

use crate::cri::Node;
use crate::cri::convert::not_empty;
use crate::cri::node::{find_container, gone_is_success};
use crate::cri::status::Answer;

pub(super) async fn handle(node: &Node, request: StopContainerRequest) -> Answer<StopContainerResponse> {
    let id = not_empty("container_id", request.container_id)?;
    // A time-out in the past has passed.
    let grace = Duration::from_secs(u64::try_from(request.timeout).unwrap_or(0));
    gone_is_success(stop(node, &id, grace).await)?;
    Ok(StopContainerResponse {})
}

async fn stop(node: &Node, id: &str, grace: Duration) -> Answer<()> {
    let id = find_container(&node.pods.snapshot(), id)?.1.id.clone();
    Ok(node.pods.stop_container(&id, grace).await?)
}
