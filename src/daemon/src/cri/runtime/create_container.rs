//! CreateContainer: makes a container, without a process, in a READY pod. Retries as in RunPodSandbox.

use peapod_api::v1::{CreateContainerRequest, CreateContainerResponse};
use peapod_pod::{ContainerId, PodEntry};
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PidMode;
use peapod_text::excerpt;
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::{FieldError, container_spec, not_empty};
use crate::cri::services::{find_container, find_pod};
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: CreateContainerRequest,
    span: &Span,
) -> Answer<CreateContainerResponse> {
    let pod = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    let mut spec = container_spec(request.config)?;
    let pod = {
        let snapshot = services.pods.snapshot();
        let entry = find_pod(&snapshot, &pod)?;
        resolve_target(&mut spec, entry, |id| Ok(find_container(&snapshot, id)?.1.id.clone()))?;
        entry.pod.id.clone()
    };
    let id = services.pods.create_container(&pod, spec, span).await?;
    Ok(CreateContainerResponse { container_id: id.to_string() })
}

/// Completes the id of the container whose processes the new one wants to see; it has to be in the same pod.
fn resolve_target(
    spec: &mut ContainerSpec,
    entry: &PodEntry,
    find: impl FnOnce(&str) -> Answer<ContainerId>,
) -> Answer<()> {
    let PidMode::Target(target) = &mut spec.security.pid else { return Ok(()) };
    let id = find(target)?;
    if !entry.containers.contains_key(&id) {
        let field = "config.linux.security_context.namespace_options.target_id";
        return Err(FieldError::new(field, format!("container {} is in another pod", excerpt(target))).into());
    }
    *target = id.to_string();
    Ok(())
}
