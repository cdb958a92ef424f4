//! A pod as its clients see it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::container::Container;
use super::life::Life;
use super::pod::Pod;
use crate::id::ContainerId;
use crate::namespaces::PodNamespaces;
use crate::record::{ContainerPhase, Ended, PodPhase};
use crate::view::{ContainerState, ContainerView, PodEntry, PodState, PodView};

/// The pod's picture; none while it is being made, and once it is gone.
pub(super) fn entry<S>(pod: &Pod<S>, containers: &BTreeMap<ContainerId, Container>) -> Option<PodEntry> {
    let identity = &pod.identity;
    let state = match (pod.life.phase()?, &pod.life) {
        (PodPhase::Setup, _) => return None,
        (PodPhase::Ready, Life::Foreign { .. }) => PodState::NotReady,
        (PodPhase::Ready, _) => PodState::Ready,
        (PodPhase::Broken | PodPhase::Stopped, _) => PodState::NotReady,
    };
    let containers = containers.iter();
    let containers =
        containers.filter_map(|(id, container)| Some((id.clone(), Arc::new(container_view(pod, id, container)?))));
    let view = PodView {
        id: identity.id.clone(),
        spec: Arc::clone(&pod.spec),
        state,
        created_at: identity.created_at,
        ips: pod.network.ips.clone(),
        netns: pod.network.netns.clone(),
        shim_pid: pod.life.shim_pid(),
        namespaces: pod.life.up().map(|up| &up.namespaces).map(PodNamespaces::named).unwrap_or_default(),
        runtime_handler: identity.spec.runtime_handler.clone(),
        cgroup_parent: identity.cgroup.parent.clone(),
        parent_kind: identity.cgroup.kind,
    };
    Some(PodEntry { pod: view, containers: containers.collect() })
}

fn container_view<S>(pod: &Pod<S>, id: &ContainerId, container: &Container) -> Option<ContainerView> {
    let (made, identity) = (container.made()?, &pod.identity);
    let record = &made.record;
    let state = match &record.phase {
        ContainerPhase::Running { .. } if let Some(end) = &made.seen_exit => exited(end),
        ContainerPhase::Created | ContainerPhase::Starting => ContainerState::Created,
        ContainerPhase::Running { pid, started_at, .. } => {
            ContainerState::Running { pid: *pid, started_at: *started_at }
        }
        ContainerPhase::Exited(end) => exited(end),
    };
    Some(ContainerView {
        id: id.clone(),
        pod: identity.id.clone(),
        spec: Arc::clone(&container.spec),
        image_id: record.origin.image_id.clone(),
        image_name: record.origin.image_name.clone(),
        image_ref: record.origin.image_ref.clone(),
        image_mounts: record.image_mounts.clone(),
        state,
        created_at: record.created_at,
        user: record.user.clone(),
        stop_signal: record.stop_signal,
        log_path: log_path(identity.spec.log_directory.as_deref(), container.spec.log_path.as_deref()),
        cgroup: record.cgroup.clone(),
        bundle: identity.layout.bundle(&identity.id, id),
        upper: identity.layout.writable(id).join("upper"),
        exec: made.exec.clone(),
    })
}

fn exited(end: &Ended) -> ContainerState {
    ContainerState::Exited {
        started_at: end.started_at,
        finished_at: end.finished_at,
        exit_code: end.code,
        reason: end.reason.clone(),
        message: end.message.clone(),
    }
}

/// Where a container's log is, if it has one.
fn log_path(directory: Option<&Path>, log: Option<&Path>) -> Option<PathBuf> {
    Some(directory?.join(log?))
}
