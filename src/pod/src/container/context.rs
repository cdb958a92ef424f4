//! What a container has from its pod.

use std::path::PathBuf;
use std::sync::Arc;

use peapod_spec::Categories;
use peapod_spec::pod::PodSpec;

use super::ContainerOperations;
use crate::id::{ContainerId, PodId};
use crate::namespaces::PodNamespaces;
use crate::plugins::NodePlugins;
use crate::record::PodCgroup;
use crate::runtimes::Handler;

/// A container's surroundings, as they are when one of its operations begins.
#[derive(Clone)]
pub(crate) struct ContainerContext {
    pub(crate) containers: Arc<ContainerOperations>,
    pub(crate) pod_id: PodId,
    pub(crate) pod: Arc<PodSpec>,
    /// Of the pod.
    pub(crate) handler: Handler,
    /// Of the pod.
    pub(crate) cgroup: PodCgroup,
    /// Of the pod: SELinux categories.
    pub(crate) categories: Option<Categories>,
    /// Of the pod: what it has of its own by now.
    pub(crate) namespaces: PodNamespaces,
    pub(crate) plugins: NodePlugins,
}

impl ContainerContext {
    /// The container's bundle.
    pub(super) fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.containers.layout.bundle(&self.pod_id, id)
    }

    /// The container's cgroup, `/…`.
    pub(super) fn group(&self, id: &ContainerId) -> String {
        self.cgroup.group(id)
    }
}
