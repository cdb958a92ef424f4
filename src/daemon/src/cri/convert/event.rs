//! Events as CRI says them.

use peapod_api::v1;
use peapod_pod::{PodEvent, PodEventKind, PodEventSubject};

use super::{container_status, pod_sandbox_status};

/// What happened, with the statuses as of right after it.
pub(crate) fn event(event: &PodEvent) -> v1::ContainerEventResponse {
    let pod = &event.entry.pod;
    let id = match &event.subject {
        PodEventSubject::Pod => pod.id.to_string(),
        PodEventSubject::Container(id) => id.to_string(),
    };
    v1::ContainerEventResponse {
        container_id: id,
        container_event_type: kind(event.kind).into(),
        created_at: event.at,
        pod_sandbox_status: Some(pod_sandbox_status(pod)),
        containers_statuses: event.entry.containers.values().map(|view| container_status(view)).collect(),
    }
}

fn kind(kind: PodEventKind) -> v1::ContainerEventType {
    match kind {
        PodEventKind::Created => v1::ContainerEventType::ContainerCreatedEvent,
        PodEventKind::Started => v1::ContainerEventType::ContainerStartedEvent,
        PodEventKind::Stopped => v1::ContainerEventType::ContainerStoppedEvent,
        PodEventKind::Deleted => v1::ContainerEventType::ContainerDeletedEvent,
    }
}
