//! StartContainer: starts a created container; its log file exists when this answers. On anything but a created one it
//! is FailedPrecondition. A program that can't be executed leaves the container exited, with 128 and StartError.

use peapod_api::v1::{StartContainerRequest, StartContainerResponse};

use crate::cri::Node;
use crate::cri::convert::not_empty;
use crate::cri::node::find_container;
use crate::cri::status::Answer;

pub(super) async fn handle(node: &Node, request: StartContainerRequest) -> Answer<StartContainerResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let id = find_container(&node.pods.snapshot(), &id)?.1.id.clone();
    node.pods.start_container(&id).await?;
    Ok(StartContainerResponse {})
}
