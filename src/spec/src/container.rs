//! A container as its client asked for it, checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::container_mount::{ContainerMount, ImageSource, MountOption, MountSource, Propagation};
use crate::pid_mode::PidMode;
pub use crate::selinux_options::SelinuxOptions;
use crate::user_namespace::ContainerUsers;

/// Everything that a client said about a container. Two equal specs are the same request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique in its pod.
    pub metadata: ContainerMetadata,
    /// Which image, as written: an id, a name or a digest reference.
    pub image: String,
    /// What the user wrote in the pod, for display.
    pub user_specified_image: String,
    /// Annotations of the image reference.
    pub image_annotations: BTreeMap<String, String>,
    /// Replaces the image's entrypoint when not empty.
    pub command: Vec<String>,
    /// Replaces the image's command when not empty.
    pub args: Vec<String>,
    /// Empty: the image's, else `/`.
    pub working_dir: String,
    /// In the client's order; of equal keys the last one wins. Values are bytes, not text.
    pub envs: Vec<EnvVar>,
    /// In the client's order.
    pub mounts: Vec<ContainerMount>,
    /// Devices of the node.
    pub devices: Vec<Device>,
    /// Names of CDI devices, `vendor/class=name`.
    pub cdi_devices: Vec<String>,
    /// Returned byte for byte.
    pub labels: BTreeMap<String, String>,
    /// Returned byte for byte.
    pub annotations: BTreeMap<String, String>,
    /// Relative, without `..`; `None` writes no log.
    pub log_path: Option<PathBuf>,
    /// Standard input stays open.
    pub stdin: bool,
    /// Standard input closes with the first attached client.
    pub stdin_once: bool,
    /// A terminal instead of pipes.
    pub tty: bool,
    /// Number of the signal that asks the container to end; `None`: the image's, else SIGTERM.
    pub stop_signal: Option<i32>,
    /// Limits.
    pub resources: Resources,
    /// Confinement.
    pub security: ContainerSecurity,
}

/// Name of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerMetadata {
    /// Never empty.
    pub name: String,
    /// How often the container was made again.
    pub attempt: u32,
}

/// A variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Without `=` and NUL, not empty.
    pub key: String,
    /// Without NUL.
    pub value: Vec<u8>,
}

/// A device of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Absolute.
    pub container_path: PathBuf,
    /// Absolute; a device, or a folder whose devices are meant.
    pub host_path: PathBuf,
    /// Of `rwm`, not empty.
    pub permissions: String,
}

/// Limits of a container, in CRI's units. Zero means "not said".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds in each period; negative means none.
    pub cpu_quota: i64,
    /// cgroup v1 scale, 2 to 262144.
    pub cpu_shares: i64,
    /// Bytes.
    pub memory_limit: i64,
    /// Bytes of memory and swap together (v1 meaning).
    pub memory_swap_limit: i64,
    /// -1000 to 1000.
    pub oom_score_adj: i64,
    /// List format of cpuset(7).
    pub cpuset_cpus: String,
    /// List format of cpuset(7).
    pub cpuset_mems: String,
    /// Page size ("2MB") to bytes.
    pub hugepage_limits: BTreeMap<String, u64>,
    /// cgroup v2 files, applied literally.
    pub unified: BTreeMap<String, String>,
}

impl Resources {
    /// Whether there is something that can't be had without end: a share of processors, which is all that is asked for
    /// where none is limited, is no limit.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.memory_limit > 0
            || self.memory_swap_limit > 0
            || self.cpu_quota > 0
            || !(self.cpuset_cpus.is_empty() && self.cpuset_mems.is_empty())
            || !(self.hugepage_limits.is_empty() && self.unified.is_empty())
    }
}

/// What a container may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSecurity {
    /// All capabilities that exist, all devices, nothing masked.
    pub privileged: bool,
    /// Added and dropped capabilities.
    pub capabilities: Capabilities,
    /// Which PID namespace; network, IPC and UTS are the pod's.
    pub pid: PidMode,
    /// Whose users it has; those of its pod.
    #[serde(default)]
    pub users: ContainerUsers,
    /// Who runs.
    pub user: UserChoice,
    /// Primary group; only with a user.
    pub run_as_group: Option<u32>,
    /// Further groups.
    pub supplemental_groups: Vec<u32>,
    /// Whether the image's memberships count too.
    pub supplemental_groups_policy: GroupsPolicy,
    /// The root file system can't be written.
    pub readonly_rootfs: bool,
    /// Set-uid programs gain nothing.
    pub no_new_privs: bool,
    /// Hidden; exactly the client's list.
    pub masked_paths: Vec<String>,
    /// Read-only; exactly the client's list.
    pub readonly_paths: Vec<String>,
    /// `None` is unconfined.
    pub seccomp: Option<SeccompProfile>,
    /// `None` is the node's default.
    pub apparmor: Option<ApparmorProfile>,
    /// Labels.
    pub selinux: Option<SelinuxOptions>,
}

impl ContainerSecurity {
    /// Whether it gets the default AppArmor profile, where there is one.
    #[must_use]
    pub fn wants_default_apparmor(&self) -> bool {
        !self.privileged && matches!(self.apparmor, None | Some(ApparmorProfile::RuntimeDefault))
    }
}

/// Changes to the default set. Names are upper case with `CAP_`; `ALL` stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Added.
    pub add: Vec<String>,
    /// Dropped.
    pub drop: Vec<String>,
    /// Also ambient, so that a non-root user keeps them over exec.
    pub add_ambient: Vec<String>,
}

/// Who the container's process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserChoice {
    /// What the image says, else root.
    #[default]
    Image,
    /// A number.
    Uid(u32),
    /// A name of the image's passwd file.
    Name(String),
}

/// Where a container's groups come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupsPolicy {
    /// The request's and those of the image's group file.
    #[default]
    Merge,
    /// The request's alone.
    Strict,
}

/// A system call filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompProfile {
    /// Ours.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A file of the node.
    Localhost(PathBuf),
}

/// Name of the AppArmor profile that [`ApparmorProfile::RuntimeDefault`] means, and that a container gets which asks
/// for none.
pub const APPARMOR_DEFAULT: &str = "peapod-default";

/// An AppArmor profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApparmorProfile {
    /// Ours.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A loaded profile's name.
    Localhost(String),
}
