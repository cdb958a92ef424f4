//! What others than the client want a container to be like, when it is made: the node's plugins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use oci_spec::runtime::{
    Hook, LinuxDevice, LinuxDeviceCgroup, LinuxIOPriority, LinuxIntelRdt, LinuxMemoryPolicy, LinuxResources,
    LinuxSeccomp, Mount, PosixRlimit, Scheduler,
};
use serde::{Deserialize, Serialize};

use crate::edits::HookMoment;

/// Something by its name, with what it shall be; `None` takes it away.
pub type Change<K, V> = (K, Option<V>);

/// Changes of a container's configuration. See [`Config::adjust`](crate::Config::adjust).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adjustment {
    /// Of the process.
    pub process: ProcessAdjustment,
    /// Mounts by their place in the container. Each takes the place of one there, whoever asked for it.
    pub mounts: Vec<Change<PathBuf, Mount>>,
    /// Programs of the node, which the OCI runtime runs as root, behind those that there are.
    pub hooks: Vec<(HookMoment, Hook)>,
    /// Of the kernel's view of the container.
    pub linux: LinuxAdjustment,
    /// What is said again when the container starts.
    pub at_start: StartAdjustment,
}

/// Changes of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessAdjustment {
    /// Variables.
    pub env: Vec<Change<String, String>>,
    /// The whole command.
    pub args: Option<Vec<String>>,
    /// Resource limits; each takes the place of one of its kind.
    pub rlimits: Vec<PosixRlimit>,
    /// Of its reads and writes; `Some(None)`: none of its own.
    pub io_priority: Option<Option<LinuxIOPriority>>,
    /// Of its time on processors; `Some(None)`: the kernel's usual one.
    pub scheduler: Option<Option<Scheduler>>,
}

/// Changes of devices, kernel parameters, filters and the like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinuxAdjustment {
    /// Devices by their path in the container. Each may be read, written and made.
    pub devices: Vec<Change<PathBuf, LinuxDevice>>,
    /// Rules for the use of devices, behind those that there are.
    pub device_rules: Vec<LinuxDeviceCgroup>,
    /// Kernel parameters of the container's own namespaces.
    pub sysctls: Vec<Change<String, String>>,
    /// Network devices of the node that move into the container: their names there and inside.
    pub net_devices: Vec<Change<String, String>>,
    /// The system call filter, in the place of the one that there is.
    pub seccomp: Option<Box<LinuxSeccomp>>,
    /// Where memory is taken from.
    pub memory_policy: Option<LinuxMemoryPolicy>,
    /// Shares of caches and of the memory's bandwidth.
    pub intel_rdt: Option<Option<LinuxIntelRdt>>,
}

/// The part of an [`Adjustment`] that follows a container from its making to its start, where the rest of its
/// configuration is said anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartAdjustment {
    /// Settings of the OCI runtime.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Namespaces by their kinds, as the OCI runtime specification has these; the path is that of another one to join.
    pub namespaces: BTreeMap<String, Option<Option<PathBuf>>>,
    /// Limits that a client can't name.
    pub limits: LinuxResources,
    /// Where the container has something else than its client asked for: paths of mounts and devices.
    pub replaced: BTreeSet<PathBuf>,
}
