//! UpdatePodSandboxResources: what a kubelet has made of a pod's cgroup, which is its own. It is recorded and shown;
//! nothing is changed by it. On a cgroup that peapod has made for a pod with limits these are changed. What is absent
//! stays.

use std::sync::Arc;

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
    let entry = Arc::clone(find_pod(&services.pods.snapshot(), &id)?);
    services.stats.groups.forget(&entry.pod.cgroup_parent);
    services.pods.update_pod(&entry.pod.id, told, span).await?;
    Ok(UpdatePodSandboxResourcesResponse {})
}
