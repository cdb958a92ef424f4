//! RunPodSandbox: makes a pod, which is READY and has its addresses when this answers. A retry with the same request
//! joins the first one, or gets its result; after an error nothing is left. Dropping the call cancels nothing.

use peapod_api::v1::{RunPodSandboxRequest, RunPodSandboxResponse};

use crate::cri::Services;
use crate::cri::convert::pod_spec;
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: RunPodSandboxRequest) -> Answer<RunPodSandboxResponse> {
    let spec = pod_spec(request.config, request.runtime_handler)?;
    let id = services.pods.run_pod(spec).await?;
    Ok(RunPodSandboxResponse { pod_sandbox_id: id.to_string() })
}
