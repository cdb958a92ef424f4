//! Containers as their clients see them.

use peapod_api::v1;
use peapod_pod::{ContainerState, ContainerView};
use peapod_spec::UserIds;

use super::{mounts, resources, signal};
use crate::bounds::STATUS_MESSAGE;
use peapod_text::{one_line, shortened};

/// A container in a list.
pub(crate) fn container(container: &ContainerView) -> v1::Container {
    v1::Container {
        id: container.id.to_string(),
        pod_sandbox_id: container.pod.to_string(),
        metadata: Some(metadata(container)),
        // As asked for: this is what a list is searched for.
        image: Some(image(container, &container.spec.image)),
        image_ref: container.image_ref.clone(),
        state: state(&container.state).into(),
        created_at: container.created_at,
        labels: container.spec.labels.clone(),
        annotations: container.spec.annotations.clone(),
        image_id: container.image_id.clone(),
    }
}

/// A container's status.
pub(crate) fn container_status(container: &ContainerView) -> v1::ContainerStatus {
    let fields = state_fields(&container.state);
    let UserIds { uid, gid, groups } = &container.user;
    let mut supplemental_groups: Vec<i64> = groups.iter().map(|&group| i64::from(group)).collect();
    supplemental_groups.sort_unstable();
    v1::ContainerStatus {
        id: container.id.to_string(),
        metadata: Some(metadata(container)),
        state: state(&container.state).into(),
        created_at: container.created_at,
        started_at: fields.started_at,
        finished_at: fields.finished_at,
        exit_code: fields.exit_code,
        image: Some(image(container, &container.image_name)),
        image_ref: container.image_ref.clone(),
        reason: fields.reason,
        message: fields.message,
        labels: container.spec.labels.clone(),
        annotations: container.spec.annotations.clone(),
        mounts: mounts_of(container),
        log_path: container.log_path.as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        resources: Some(v1::ContainerResources {
            linux: Some(resources::to_message(&container.spec.resources)),
            windows: None,
        }),
        image_id: container.image_id.clone(),
        user: Some(v1::ContainerUser {
            linux: Some(v1::LinuxContainerUser { uid: (*uid).into(), gid: (*gid).into(), supplemental_groups }),
        }),
        stop_signal: signal::name(container.stop_signal).into(),
    }
}

fn mounts_of(container: &ContainerView) -> Vec<v1::Mount> {
    let id = |index| container.image_mounts.iter().find(|image| image.mount == index).map(|image| &*image.image_id);
    let mounts = container.spec.mounts.iter().enumerate();
    mounts.map(|(index, mount)| mounts::to_message(mount, id(index))).collect()
}

/// Whose statistics these are.
pub(crate) fn attributes(container: &ContainerView) -> v1::ContainerAttributes {
    v1::ContainerAttributes {
        id: container.id.to_string(),
        metadata: Some(metadata(container)),
        labels: container.spec.labels.clone(),
        annotations: container.spec.annotations.clone(),
    }
}

/// The wire's word for a state.
pub(crate) fn state(state: &ContainerState) -> v1::ContainerState {
    match state {
        ContainerState::Created => v1::ContainerState::ContainerCreated,
        ContainerState::Running { .. } => v1::ContainerState::ContainerRunning,
        ContainerState::Exited { .. } => v1::ContainerState::ContainerExited,
    }
}

#[derive(Default)]
struct StateFields {
    started_at: i64,
    finished_at: i64,
    exit_code: i32,
    reason: String,
    message: String,
}

fn state_fields(state: &ContainerState) -> StateFields {
    match state {
        ContainerState::Created => StateFields::default(),
        ContainerState::Running { started_at, .. } => StateFields { started_at: *started_at, ..StateFields::default() },
        ContainerState::Exited { started_at, finished_at, exit_code, reason, message } => StateFields {
            started_at: *started_at,
            finished_at: *finished_at,
            exit_code: *exit_code,
            reason: reason.clone(),
            // It may be an OCI runtime's, which quotes what it was given.
            message: shortened(&one_line(message), STATUS_MESSAGE).into_owned(),
        },
    }
}

fn metadata(container: &ContainerView) -> v1::ContainerMetadata {
    let metadata = &container.spec.metadata;
    v1::ContainerMetadata { name: metadata.name.clone(), attempt: metadata.attempt }
}

fn image(container: &ContainerView, name: &str) -> v1::ImageSpec {
    v1::ImageSpec {
        image: name.to_owned(),
        annotations: container.spec.image_annotations.clone(),
        user_specified_image: container.spec.user_specified_image.clone(),
        ..v1::ImageSpec::default()
    }
}
