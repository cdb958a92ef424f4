//! What [`crate::oci_config`] has to be told about the image, the node and the pod.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::container::ContainerSpec;
use crate::edits::Edits;
use crate::error::SpecError;
use crate::pod::PodSpec;
use crate::selinux::{Categories, Labels, SelinuxContexts};
use crate::ulimit::{UlimitKind, Ulimits};

/// Everything from which a runtime configuration follows. Who fills it in has done all I/O.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The pod.
    pub pod: &'a PodSpec,
    /// The container.
    pub container: &'a ContainerSpec,
    /// The image.
    pub image: ImageInputs<'a>,
    /// The node.
    pub node: &'a NodeFacts,
    /// The pod's files.
    pub files: &'a PodFiles,
    /// The container's mounts, resolved, in its order; one for each.
    pub mounts: &'a [ResolvedMount],
    /// Devices the container gets.
    pub devices: DeviceInputs<'a>,
    /// The root file system: absolute, or relative to the bundle.
    pub rootfs: &'a Path,
    /// The container's cgroup, as the OCI runtime takes it.
    pub cgroups_path: &'a str,
    /// Profiles that confine it.
    pub profiles: Profiles<'a>,
    /// What the node's configuration says of its containers.
    pub defaults: NodeDefaults<'a>,
    /// What the container's start says anew.
    pub start: StartInputs<'a>,
}

impl Inputs<'_> {
    /// The container's SELinux labels; none without SELinux.
    pub(crate) fn labels(&self) -> Result<Option<Labels>, SpecError> {
        let Some(contexts) = self.node.selinux.as_ref() else { return Ok(None) };
        Ok(contexts.of_container(self.pod, &self.container.security, self.profiles.categories)?)
    }
}

/// Profiles, as the node has them.
#[derive(Clone, Copy, Debug)]
pub struct Profiles<'a> {
    /// Content of the file that a `Localhost` seccomp profile names.
    pub localhost_seccomp: Option<&'a [u8]>,
    /// AppArmor profiles that are loaded now; `None` where AppArmor is off.
    pub apparmor: Option<&'a [String]>,
    /// SELinux categories that the pod has alone.
    pub categories: Option<Categories>,
}

/// What the node's configuration says of all containers.
#[derive(Clone, Copy, Debug)]
pub struct NodeDefaults<'a> {
    /// Resource limits; of others the OCI runtime's own are inherited.
    pub ulimits: &'a Ulimits,
    /// Whether a container that is not privileged may divide its own cgroup further (v2).
    pub writable_cgroups: bool,
}

/// The devices of a container.
#[derive(Clone, Copy, Debug)]
pub struct DeviceInputs<'a> {
    /// Nodes: those of [`ContainerSpec::cdi_devices`] and of [`ContainerSpec::devices`], folders expanded, and for a
    /// privileged container also those of the node's `/dev` but for the ones that every container has. Of equal
    /// container paths the first one counts.
    pub nodes: &'a [HostDevice],
    /// What devices of CDI change beside that.
    pub edits: &'a Edits,
}

/// What a container takes from its image.
#[derive(Clone, Copy, Debug)]
pub struct ImageInputs<'a> {
    /// What the image says where the container says nothing.
    pub defaults: &'a ImageDefaults,
    /// Its `/etc/passwd`, if it has one.
    pub passwd: Option<&'a str>,
    /// Its `/etc/group`, if it has one.
    pub group: Option<&'a str>,
}

/// The part of a configuration that is known, or known for good, only when the container starts. See
/// [`Config::set_for_start`](crate::Config::set_for_start).
#[derive(Clone, Copy, Debug)]
pub struct StartInputs<'a> {
    /// The namespaces that the container joins.
    pub namespaces: &'a NamespacePaths,
    /// The image's volumes that exist as folders of the root file system. They matter where that can't be written.
    pub volumes: &'a [ImageVolume],
    /// Settings of the OCI runtime that have no field of their own. They follow from the container's limits.
    pub annotations: &'a [(&'a str, &'a str)],
}

/// The part of an image's configuration that a container inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageDefaults {
    /// `user`, `uid`, `user:group` …; empty is root.
    pub user: String,
    /// Comes before the command.
    pub entrypoint: Vec<String>,
    /// Used when neither command nor args are given.
    pub cmd: Vec<String>,
    /// `KEY=VALUE` lines.
    pub env: Vec<String>,
    /// Empty is `/`.
    pub working_dir: String,
    /// Paths that the image would like to have as volumes of their own.
    pub volumes: Vec<String>,
}

/// What the node can do, and what this process may grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Value of HOSTNAME in a pod that has the node's name.
    pub hostname: String,
    /// The machine's instruction set, for system call filters.
    pub arch: Arch,
    /// cgroup v2 (alone) or v1.
    pub cgroup_v2: bool,
    /// Capabilities that can be given: the daemon's bounding set as a bit mask.
    pub capabilities: u64,
    /// The daemon's own `oom_score_adj`.
    pub oom_score_adj: i32,
    /// Whether a lower one than that can be set (CAP_SYS_RESOURCE).
    pub may_lower_oom: bool,
    /// The most that a hard limit can be set to, where there is such a most.
    pub hard_limits: Vec<(UlimitKind, u64)>,
    /// Page sizes with a hugetlb controller, as CRI writes them (`2MB`). Empty without the controller.
    pub hugepage_sizes: Vec<String>,
    /// Whether swap can be limited.
    pub swap_accounting: bool,
    /// What SELinux has for containers; `None` where it is off.
    pub selinux: Option<SelinuxContexts>,
}

/// An instruction set that Kubernetes nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// x86_64, with its 32 bit and x32 forms.
    Amd64,
    /// aarch64, with 32 bit arm.
    Arm64,
    /// riscv64.
    Riscv64,
    /// 64 bit little endian Power.
    Ppc64le,
    /// IBM Z.
    S390x,
    /// LoongArch.
    Loong64,
    /// Something else: filters name no architecture, so the runtime takes the machine's own.
    Other,
}

impl Arch {
    /// The one this program was built for.
    pub const fn of_this_build() -> Self {
        if cfg!(target_arch = "x86_64") {
            Self::Amd64
        } else if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else if cfg!(target_arch = "riscv64") {
            Self::Riscv64
        } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
            Self::Ppc64le
        } else if cfg!(target_arch = "s390x") {
            Self::S390x
        } else if cfg!(target_arch = "loongarch64") {
            Self::Loong64
        } else {
            Self::Other
        }
    }
}

/// Files that every container of the pod sees. `None`: the image's own stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFiles {
    /// For `/etc/hostname`.
    pub hostname: Option<PathBuf>,
    /// For `/etc/hosts`.
    pub hosts: Option<PathBuf>,
    /// For `/etc/resolv.conf`.
    pub resolv_conf: Option<PathBuf>,
    /// For `/dev/shm`. `None` with the node's IPC: the node's; else a tmpfs of the container's own.
    pub shm: Option<PathBuf>,
}

/// Namespaces that a container joins. `None` is the node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacePaths {
    /// Network.
    pub network: Option<PathBuf>,
    /// System V IPC and POSIX queues.
    pub ipc: Option<PathBuf>,
    /// Names.
    pub uts: Option<PathBuf>,
    /// Users; all the others of the pod's own belong to it.
    pub user: Option<PathBuf>,
    /// Processes.
    pub pid: PidNamespace,
}

/// The PID namespace of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PidNamespace {
    /// An existing one: that of the pod, or of another container.
    Path(PathBuf),
    /// One of its own.
    New,
    /// That of the pod, or of another container, which is found when the container starts: until then it has no path.
    NotYet,
    /// The node's.
    Host,
}

/// A mount of the container whose source has been looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedMount {
    /// On the node, without symbolic links.
    pub source: PathBuf,
    /// Pod files, as the container sees them ([`crate::POD_FILES`]), that would be mounted below it and for which it
    /// has no place, while being read-only forbids to make one.
    pub lacks: Vec<&'static str>,
    /// How the mount that holds it propagates.
    pub propagation: SourcePropagation,
}

/// A volume of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageVolume {
    /// Where it is in the container, without symbolic links.
    pub container_path: PathBuf,
    /// The same folder, as the node sees it while the OCI runtime makes the container.
    pub source: PathBuf,
}

/// Propagation of the mount that holds a source, as `/proc/self/mountinfo` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourcePropagation {
    /// No peer group, no master.
    #[default]
    Private,
    /// `master:N` only.
    Slave,
    /// `shared:N`.
    Shared,
}

/// A device node to make in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// Where it appears, absolute.
    pub container_path: PathBuf,
    /// What it is.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: NodeOwner,
    /// Group.
    pub gid: NodeOwner,
    /// Of `rwm`: what its cgroup may do with it. Empty: nothing more than other rules say.
    pub permissions: String,
    /// Where the node has this very device; `None`: nowhere that is known.
    pub host_path: Option<PathBuf>,
}

/// Who owns a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeOwner {
    /// A user or group by number, as the container sees it.
    Id(u32),
    /// As whom the container's process runs.
    Process,
}

/// Kind of a device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Character device.
    Char,
    /// Block device.
    Block,
    /// A pipe with a name: no device, but made as one.
    Fifo,
}
