//! RemovePodSandbox: removes a pod with its containers, stopping it first if need be. It is not listed any more when
//! this answers. A pod that is gone is success.

use peapod_api::v1::{RemovePodSandboxRequest, RemovePodSandboxResponse};
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::not_empty;
use crate::cri::services::{find_pod, gone_is_success};
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: RemovePodSandboxRequest,
    span: &Span,
) -> Answer<RemovePodSandboxResponse> {
    let id = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    gone_is_success(remove(services, &id, span).await)?;
    Ok(RemovePodSandboxResponse {})
}

async fn remove(services: &Services, id: &str, span: &Span) -> Answer<()> {
    let id = find_pod(&services.pods.snapshot(), id)?.pod.id.clone();
    Ok(services.pods.remove_pod(&id, span).await?)
}
