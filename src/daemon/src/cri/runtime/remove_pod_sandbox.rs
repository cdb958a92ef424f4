//! RemovePodSandbox: removes a pod with its containers, stopping it first if need be. It is not listed any more when
//! this answers. A pod that is gone is success.

use peapod_api::v1::{RemovePodSandboxRequest, RemovePodSandboxResponse};

use crate::cri::Node;
use crate::cri::convert::not_empty;
use crate::cri::node::{find_pod, gone_is_success};
use crate::cri::status::Answer;

pub(super) async fn handle(node: &Node, request: RemovePodSandboxRequest) -> Answer<RemovePodSandboxResponse> {
    let id = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    gone_is_success(remove(node, &id).await)?;
    Ok(RemovePodSandboxResponse {})
}

async fn remove(node: &Node, id: &str) -> Answer<()> {
    let id = find_pod(&node.pods.snapshot(), id)?.pod.id.clone();
    Ok(node.pods.remove_pod(&id).await?)
}
