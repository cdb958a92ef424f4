//! What this crate has to know about the node's configuration.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peapod_cgroup::{CgroupDriver, ScopePrefix};
use peapod_spec::Ulimits;
use peapod_sys::sync::lock;

/// Ready settings: paths are absolute, names resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of what survives a reboot: `containers/<id>/{upper,work}` are made here.
    pub state_root: PathBuf,
    /// Folder on the private tmpfs: `pods/<id>/…` and `s/<16 hex>` are made here.
    pub run_root: PathBuf,
    /// The shim's binary.
    pub shim: PathBuf,
    /// OCI runtimes by handler name, which hold at least `default_runtime`; at first: see
    /// [`crate::Pods::set_handlers`].
    pub runtimes: HandlerTable,
    /// The handler that the empty name means.
    pub default_runtime: String,
    /// Where the cgroup file systems are mounted, `/sys/fs/cgroup`.
    pub cgroup_root: PathBuf,
    /// Who makes containers' cgroups.
    pub cgroup_driver: CgroupDriver,
    /// Parent of the cgroups of pods that name none, as [`CgroupDriver::parent`] answers it.
    pub cgroup_parent: String,
    /// What the scopes of new pods' containers are called before the id, where systemd makes them.
    pub scope_prefix: ScopePrefix,
    /// The one cgroup in which all shims live.
    pub shim_cgroup: String,
    /// File with the id of this boot, `/proc/sys/kernel/random/boot_id`.
    pub boot_id_file: PathBuf,
    /// What holds for all containers.
    pub containers: ContainerSettings,
    /// Bytes of a list of all pods and containers that one answer holds.
    pub listed_bytes: u64,
    /// Folders of files that describe CDI devices, of which a later one wins; at first: see [`crate::Pods::cdi`].
    pub cdi_dirs: Vec<PathBuf>,
    /// At first; see [`crate::Pods::set_timeouts`].
    pub timeouts: Timeouts,
}

/// What holds for all containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSettings {
    /// Bytes per second by which the log of a container that is started from now on may grow on disk; 0 for any.
    pub log_rate: u64,
    /// Whether a container can be made of a checkpoint.
    pub restores: RestorePolicy,
    /// Resource limits of the processes of containers; at first: see [`crate::Pods::set_ulimits`].
    pub ulimits: Ulimits,
    /// Which of them have an SELinux label.
    pub selinux: SelinuxLabels,
}

/// Whether containers can be made of checkpoints. CRIU gives a process the users, capabilities and filters that stand
/// in the checkpoint, whatever its pod says: who writes one writes what may become root on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestorePolicy {
    /// None is.
    #[default]
    Never,
    /// Any is: all archives and images that pods name come from trusted hands.
    Trusted,
}

/// Which containers have an SELinux label, where SELinux is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelinuxLabels {
    /// All but privileged ones, where the policy has a label for them.
    All,
    /// Those that ask for one. The default until labels have been tried where a policy is enforced.
    #[default]
    Asked,
}

/// How long calls wait.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For one operation, before the call says which stage that is in.
    pub operation: Duration,
    /// For an exec's output, after its process ended.
    pub exec_drain: Duration,
}

/// The timeouts as of now, which a reload changes.
#[derive(Debug)]
pub(crate) struct CurrentTimeouts(Mutex<Timeouts>);

impl CurrentTimeouts {
    pub(crate) fn new(first: Timeouts) -> Self {
        Self(Mutex::new(first))
    }

    pub(crate) fn get(&self) -> Timeouts {
        *lock(&self.0)
    }

    pub(crate) fn set(&self, next: Timeouts) {
        *lock(&self.0) = next;
    }
}

/// The settings as of now, of which a reload changes some.
#[derive(Debug)]
pub(crate) struct CurrentSettings(Mutex<Arc<ContainerSettings>>);

impl CurrentSettings {
    pub(crate) fn new(first: ContainerSettings) -> Self {
        Self(Mutex::new(Arc::new(first)))
    }

    pub(crate) fn get(&self) -> Arc<ContainerSettings> {
        Arc::clone(&lock(&self.0))
    }

    pub(crate) fn set_ulimits(&self, next: Ulimits) {
        Arc::make_mut(&mut lock(&self.0)).ulimits = next;
    }
}

/// The node's handlers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerTable {
    /// OCI runtimes by handler name.
    pub by_name: BTreeMap<String, OciRuntime>,
    /// Programs that look like one and are none: for people.
    pub left_out: Vec<LeftOutProgram>,
}

/// A program that was found and is no handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOutProgram {
    /// Where it is.
    pub path: PathBuf,
    /// Why it is none, and the way out.
    pub reason: String,
}

/// A named OCI runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciRuntime {
    /// Its binary.
    pub path: PathBuf,
    /// Its `--root`.
    pub root: PathBuf,
    /// Whether its containers, as far as they are not privileged, may divide their own cgroups further.
    pub cgroup_writable: bool,
    /// What it is given before each command, beside what peapod itself gives it.
    pub arguments: Vec<String>,
    /// Where the handler comes from.
    pub origin: HandlerOrigin,
    /// How it keeps the containers of a pod together.
    pub grouping: Grouping,
}

/// Where a handler comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandlerOrigin {
    /// The configuration names it.
    Configured,
    /// It was found among the node's programs: it is offered as soon as it answers.
    Found,
}

/// How an OCI runtime keeps the containers of a pod together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// They are processes of the node that share the pod's namespaces: crun, runc.
    Namespaces,
    /// They are in one sandbox of its own, which a container without an image begins: gVisor.
    RootContainer,
}

impl OciRuntime {
    /// Its binary's name, for people.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }
}
