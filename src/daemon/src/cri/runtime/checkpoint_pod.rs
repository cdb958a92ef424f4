//! CheckpointPod: writes running containers of a pod into a folder, all as of one moment; they run on.

use std::collections::BTreeMap;

use peapod_api::v1::{CheckpointPodRequest, CheckpointPodResponse};
use peapod_pod::{CHECKPOINT_TIME_MAX, PodCheckpointRequest};
use peapod_text::excerpt;
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::{FieldError, not_empty};
use crate::cri::services::{find_container, find_pod};
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: CheckpointPodRequest,
    span: &Span,
) -> Answer<CheckpointPodResponse> {
    let pod = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    let folder = not_empty("output_path", request.output_path)?;
    refuse_options(&request.options)?;
    let (pod, containers) = {
        let snapshot = services.pods.snapshot();
        let entry = find_pod(&snapshot, &pod)?;
        let mut found = BTreeMap::new();
        for id in &request.container_ids {
            let (_, container) = find_container(&snapshot, id)?;
            let wrong = |why: &str| FieldError::new("container_ids", format!("{} {why}", excerpt(id)));
            if container.pod != entry.pod.id {
                return Err(wrong("is a container of another pod").into());
            }
            if found.insert(container.id.clone(), ()).is_some() {
                return Err(wrong("is there twice").into());
            }
        }
        if found.is_empty() {
            return Err(FieldError::new("container_ids", "has none: name the containers to be written").into());
        }
        (entry.pod.id.clone(), found.into_keys().collect())
    };
    let request = PodCheckpointRequest { folder: folder.into(), containers, timeout: CHECKPOINT_TIME_MAX };
    services.pods.checkpoint_pod(&pod, &request, span).await?;
    Ok(CheckpointPodResponse {})
}

/// There are none yet that mean something.
pub(super) fn refuse_options(options: &BTreeMap<String, String>) -> Answer<()> {
    match options.keys().next() {
        None => Ok(()),
        Some(name) => Err(FieldError::new("options", format!("{} is none that peapod knows", excerpt(name))).into()),
    }
}
