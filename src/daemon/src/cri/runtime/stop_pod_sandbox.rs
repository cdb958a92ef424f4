//! StopPodSandbox: kills what runs in a pod and gives back its network. May be called any number of times, also when
//! the pod is gone. Dropping the call cancels nothing.

use peapod_api::v1::{StopPodSandboxRequest, StopPodSandboxResponse};
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::not_empty;
use crate::cri::services::{find_pod, gone_is_success};
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: StopPodSandboxRequest,
    span: &Span,
) -> Answer<StopPodSandboxResponse> {
    let id = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    gone_is_success(stop(services, &id, span).await)?;
    Ok(StopPodSandboxResponse {})
}

async fn stop(services: &Services, id: &str, span: &Span) -> Answer<()> {
    let id = find_pod(&services.pods.snapshot(), id)?.pod.id.clone();
    Ok(services.pods.stop_pod(&id, span).await?)
}
