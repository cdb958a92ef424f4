//! Namespaces of a container.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use crate::container::ContainerSpec;
use crate::inputs::{NamespacePaths, NodeFacts, PidNamespace};

/// A mount namespace of its own; the pod's users, network, IPC and UTS; whichever PID namespace; on cgroup v2 a cgroup
/// namespace, so that a container sees itself at the root of the tree. A privileged one manages the whole tree.
pub(crate) fn namespaces(container: &ContainerSpec, node: &NodeFacts, paths: &NamespacePaths) -> Vec<LinuxNamespace> {
    let mut all = vec![namespace(LinuxNamespaceType::Mount, None)];
    match &paths.pid {
        PidNamespace::Path(path) => all.push(namespace(LinuxNamespaceType::Pid, Some(path))),
        PidNamespace::New | PidNamespace::NotYet => all.push(namespace(LinuxNamespaceType::Pid, None)),
        PidNamespace::Host => {}
    }
    let joined = [
        (LinuxNamespaceType::User, &paths.user),
        (LinuxNamespaceType::Network, &paths.network),
        (LinuxNamespaceType::Ipc, &paths.ipc),
        (LinuxNamespaceType::Uts, &paths.uts),
    ];
    for (kind, path) in joined {
        if path.is_some() {
            all.push(namespace(kind, path.as_ref()));
        }
    }
    if node.cgroup_v2 && !container.security.privileged {
        all.push(namespace(LinuxNamespaceType::Cgroup, None));
    }
    all
}

pub(crate) fn namespace(kind: LinuxNamespaceType, path: Option<&PathBuf>) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind).set_path(path.cloned());
    namespace
}
