//! RunPodSandbox: makes a pod, which is READY and has its addresses when this answers. A retry with the same request
//! joins the first one, or gets its result; after an error nothing is left. Dropping the call cancels nothing.

use peapod_api::v1::{RunPodSandboxRequest, RunPodSandboxResponse};
use peapod_text::shortened;
use peapod_trace::Span;

use crate::bounds::ECHO;
use crate::cri::Services;
use crate::cri::convert::{pod_spec, senseless_rates};
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: RunPodSandboxRequest,
    span: &Span,
) -> Answer<RunPodSandboxResponse> {
    let spec = pod_spec(request.config, request.runtime_handler)?;
    for (key, text) in senseless_rates(&spec.annotations) {
        let text = shortened(text, ECHO);
        tracing::warn!(key, %text, "is no rate from 1k to 1P such as 10M: the pod's traffic is not limited");
    }
    let id = services.pods.run_pod(spec, span).await?;
    Ok(RunPodSandboxResponse { pod_sandbox_id: id.to_string() })
}
