//! Why a runtime configuration can't be made.

use std::path::PathBuf;

use thiserror::Error;

use crate::selinux_options::NoLabelPart;
use crate::user::UserError;
use peapod_text::excerpt;

/// The request, the image and the node do not go together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Neither the request nor the image says what to run.
    #[error("no command: the image has neither entrypoint nor cmd, so the container must give command or args")]
    NoCommand,
    /// The user or a group can't be found.
    #[error(transparent)]
    User(#[from] UserError),
    /// A user or group that the pod's user namespace does not have.
    #[error("{what} {id}: the pod has users and groups of its own, {count} of these, from 0 on")]
    NoSuchId {
        /// User or group.
        what: &'static str,
        /// Its number.
        id: u32,
        /// How many the pod has.
        count: u32,
    },
    /// A working directory that is not absolute.
    #[error("working_dir {} is not an absolute path", excerpt(.0))]
    WorkingDir(String),
    /// A value that JSON, and so config.json, can't carry.
    #[error(
        "envs: the value of {} is not UTF-8; OCI runtimes read it from JSON and would refuse or change it", excerpt(.0)
    )]
    EnvNotUtf8(String),
    /// More of something than a container can have.
    #[error("{field}: {count} {what}, and a container can have {most}")]
    TooMany {
        /// Where it comes from.
        field: &'static str,
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        count: usize,
        /// The bound.
        most: usize,
    },
    /// The image's configuration has text that no program can be given.
    #[error("image: the {0} of its configuration has a NUL byte in it")]
    ImageNul(&'static str),
    /// A device under a name that means something else in every container.
    #[error("devices: {} can't be another device: {why}", excerpt(path))]
    DeviceName {
        /// Where it should appear.
        path: PathBuf,
        /// What is there.
        why: &'static str,
    },
    /// Folders of the node's own keep their labels.
    #[error(
        "mounts: {} is a folder of the node's own, which can't have a container's SELinux label: leave selinux_relabel \
         out, or mount a folder that is for the container", excerpt(.0)
    )]
    SelinuxRelabel(PathBuf),
    /// A record of an older peapod's that holds no label where one should be.
    #[error("selinux_options: {0}")]
    SelinuxOptions(#[from] NoLabelPart),
    /// A capability that no kernel known here has.
    #[error("capabilities: {} is not a capability", excerpt(.0))]
    UnknownCapability(String),
    /// With users of its own a container is shown devices of the node, and can't make any.
    #[error("devices: {} can't be in a pod with users of its own: {why}", excerpt(path))]
    DeviceOfUsers {
        /// Where it should appear.
        path: PathBuf,
        /// What stands against it.
        why: &'static str,
    },
    /// Not every mount of the container was resolved.
    #[error("{wanted} mounts wanted, {resolved} resolved")]
    MountCount {
        /// Mounts in the container's spec.
        wanted: usize,
        /// Mounts looked up.
        resolved: usize,
    },
    /// A path that is not UTF-8.
    #[error("path {} is not UTF-8; OCI runtimes read it from JSON", excerpt(.0))]
    PathNotUtf8(PathBuf),
    /// The mount's source does not propagate as the mount needs it.
    #[error(
        "mount {}: {wanted} needs a source on a {needed} mount, but {} is on a {found} one (`mount --make-rshared` \
         on the node changes that)",
        excerpt(container_path),
        excerpt(source_path)
    )]
    Propagation {
        /// Where it should appear.
        container_path: PathBuf,
        /// Its source on the node.
        source_path: PathBuf,
        /// What the client asked for.
        wanted: &'static str,
        /// What that needs.
        needed: &'static str,
        /// What the node has.
        found: &'static str,
    },
    /// A read-only mount that can't be recursive.
    #[error("mount {}: recursive_read_only needs readonly and private propagation", excerpt(.0))]
    RecursiveReadOnly(PathBuf),
    /// An image is mounted so that it could be written to.
    #[error("mounts: an image at {} must be readonly and private", excerpt(.0))]
    ImageMount(PathBuf),
    /// A seccomp profile of the node was named but not handed in.
    #[error("seccomp profile {} was not read", excerpt(.0))]
    SeccompMissing(PathBuf),
    /// A seccomp profile of the node makes no sense.
    #[error("seccomp profile {}: {field}: {reason}", excerpt(path))]
    Seccomp {
        /// The profile.
        path: PathBuf,
        /// Where in it, `syscalls[3].action` for example.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// An AppArmor profile on a node without AppArmor.
    #[error("apparmor profile {}: AppArmor is not enabled on this node", excerpt(.0))]
    ApparmorOff(String),
    /// An AppArmor profile that the kernel does not have.
    #[error("apparmor profile {} is not loaded on this node (`apparmor_parser` loads it)", excerpt(.0))]
    ApparmorNotLoaded(String),
    /// A plugin wants what no container can have.
    #[error("adjustment: {field}: {}", excerpt(reason))]
    Adjustment {
        /// What of it.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A configuration that was read back holds no process.
    #[error("the container's config.json has no process")]
    NoProcess,
    /// A configuration could not be written as JSON, or what was read is none.
    #[error("the configuration as JSON: {0}")]
    Json(String),
}

impl From<serde_json::Error> for SpecError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}
