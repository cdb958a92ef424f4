//! RunPodSandbox: makes a pod, which is READY and has its addresses when this answers. A retry with the same request
//! joins the first one, or gets its result; after an error nothing is left. Dropping the call cancels nothing.

use peapod_api::v1::{RunPodSandboxRequest, RunPodSandboxResponse};
use peapod_spec::excerpt;

use crate::cri::Node;
use crate::cri::convert::{FieldError, pod_spec};
use crate::cri::status::Answer;

pub(super) async fn handle(node: &Node, request: RunPodSandboxRequest) -> Answer<RunPodSandboxResponse> {
    let handler = request.runtime_handler;
    let runtimes = &node.config.pods.runtimes;
    if !handler.is_empty() && !runtimes.contains_key(&handler) {
        let known = runtimes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(FieldError::new(
            "runtime_handler",
            format!("{} is not configured; there are: {known}", excerpt(&handler)),
        )
        .into());
    }
    let spec = pod_spec(request.config, handler)?;
    let id = node.pods.run_pod(spec).await?;
    Ok(RunPodSandboxResponse { pod_sandbox_id: id.to_string() })
}
