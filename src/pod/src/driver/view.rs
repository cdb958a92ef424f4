//! A driver's state as its clients see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::state::{Container, Pod};
use crate::id::ContainerId;
use crate::node::Node;
use crate::record::{ContainerPhase, Ended, PodPhase};
use crate::view::{ContainerState, ContainerView, PodEntry, PodState, PodView};

/// The pod's picture; none while it is being made.
pub(crate) fn entry(node: &Node, pod: &Pod) -> Option<PodEntry> {
    let state = match pod.record.phase {
        PodPhase::Setup => return None,
        PodPhase::Ready if pod.foreign.is_none() => PodState::Ready,
        PodPhase::Ready | PodPhase::Broken | PodPhase::Stopped => PodState::NotReady,
    };
    let containers = pod
        .containers
        .iter()
        .filter_map(|(id, container)| Some((id.clone(), Arc::new(container_view(node, pod, id, container)?))))
        .collect();
    let view = PodView {
        id: pod.id.clone(),
        spec: Arc::clone(&pod.spec),
        state,
        created_at: pod.record.created_at,
        ips: pod.record.ips.clone(),
        netns: pod.record.netns.clone(),
        shim_pid: pod.record.shim_pid,
        namespaces: namespaces(pod),
        runtime_handler: pod.spec.runtime_handler.clone(),
        cgroup_parent: pod.record.cgroup.parent.clone(),
    };
    Some(PodEntry { pod: view, containers })
}

fn namespaces(pod: &Pod) -> Vec<(&'static str, PathBuf)> {
    let of = &pod.namespaces;
    [("network", &of.network), ("ipc", &of.ipc), ("uts", &of.uts), ("pid", &of.pid)]
        .into_iter()
        .filter(|(_, path)| !path.is_empty())
        .map(|(kind, path)| (kind, path.into()))
        .collect()
}

fn container_view(node: &Node, pod: &Pod, id: &ContainerId, container: &Container) -> Option<ContainerView> {
    let made = container.made()?;
    let record = &made.record;
    let state = match &record.phase {
        ContainerPhase::Running { .. } if let Some(end) = &made.seen_exit => exited(end),
        ContainerPhase::Created | ContainerPhase::Starting => ContainerState::Created,
        ContainerPhase::Running { pid, started_at } => ContainerState::Running { pid: *pid, started_at: *started_at },
        ContainerPhase::Exited(end) => exited(end),
    };
    Some(ContainerView {
        id: id.clone(),
        pod: pod.id.clone(),
        spec: Arc::clone(&container.spec),
        image_id: record.image_id.clone(),
        image_name: record.image_name.clone(),
        image_ref: record.image_ref.clone(),
        state,
        created_at: record.created_at,
        user: record.user.clone(),
        stop_signal: record.stop_signal,
        log_path: log_path(pod.spec.log_directory.as_deref(), container.spec.log_path.as_deref()),
        cgroup: record.cgroup.clone(),
        bundle: node.bundle(&pod.id, id),
        upper: node.writable(id).join("upper"),
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
pub(super) fn log_path(directory: Option<&Path>, log: Option<&Path>) -> Option<PathBuf> {
    Some(directory?.join(log?))
}
