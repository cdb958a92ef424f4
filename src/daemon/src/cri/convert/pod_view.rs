//! Pods as their clients see them.

use peapod_api::v1;
use peapod_pod::{PodState, PodView};
use peapod_spec::pod::PodMetadata;

use super::namespaces;

/// A pod in a list.
pub(crate) fn pod_sandbox(pod: &PodView) -> v1::PodSandbox {
    v1::PodSandbox {
        id: pod.id.to_string(),
        metadata: Some(metadata(&pod.spec.metadata)),
        state: state(pod.state).into(),
        created_at: pod.created_at,
        labels: pod.spec.labels.clone(),
        annotations: pod.spec.annotations.clone(),
        runtime_handler: pod.runtime_handler.clone(),
    }
}

/// A pod's status.
pub(crate) fn pod_sandbox_status(pod: &PodView) -> v1::PodSandboxStatus {
    let mut ips = pod.ips.iter().map(ToString::to_string);
    v1::PodSandboxStatus {
        id: pod.id.to_string(),
        metadata: Some(metadata(&pod.spec.metadata)),
        state: state(pod.state).into(),
        created_at: pod.created_at,
        network: Some(v1::PodSandboxNetworkStatus {
            ip: ips.next().unwrap_or_default(),
            additional_ips: ips.map(|ip| v1::PodIp { ip }).collect(),
        }),
        linux: Some(v1::LinuxPodSandboxStatus {
            namespaces: Some(v1::Namespace { options: Some(namespaces::to_options(&pod.spec.namespaces)) }),
        }),
        labels: pod.spec.labels.clone(),
        annotations: pod.spec.annotations.clone(),
        runtime_handler: pod.runtime_handler.clone(),
    }
}

/// Whose statistics these are.
pub(crate) fn attributes(pod: &PodView) -> v1::PodSandboxAttributes {
    v1::PodSandboxAttributes {
        id: pod.id.to_string(),
        metadata: Some(metadata(&pod.spec.metadata)),
        labels: pod.spec.labels.clone(),
        annotations: pod.spec.annotations.clone(),
    }
}

/// The wire's word for a state.
pub(crate) fn state(state: PodState) -> v1::PodSandboxState {
    match state {
        PodState::Ready => v1::PodSandboxState::SandboxReady,
        PodState::NotReady => v1::PodSandboxState::SandboxNotready,
    }
}

fn metadata(metadata: &PodMetadata) -> v1::PodSandboxMetadata {
    v1::PodSandboxMetadata {
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        namespace: metadata.namespace.clone(),
        attempt: metadata.attempt,
    }
}
