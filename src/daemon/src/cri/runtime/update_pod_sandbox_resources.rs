//! UpdatePodSandboxResources: what a kubelet has made of a pod's cgroup, which is its own. It is recorded and shown;
//! nothing is changed by it. What is absent stays.

use peapod_api::v1::{UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse};
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::{not_empty, pod_resources};
use crate::cri::services::find_pod;
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: UpdatePodSandboxResourcesRequest,
    span: &Span,
) -> Answer<UpdatePodSandboxResourcesResponse> {
    let id = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    let told = pod_resources(request.overhead, request.resources)?;
    let id = find_pod(&services.pods.snapshot(), &id)?.pod.id.clone();
    services.pods.update_pod(&id, told, span).await?;
    Ok(UpdatePodSandboxResourcesResponse {})
}
