//! Why a runtime configuration can't be made.

use std::path::PathBuf;

use thiserror::Error;

use crate::user::UserError;

/// The request, the image and the node do not go together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// Neither the request nor the image says what to run.
    #[error("no command: the image has neither entrypoint nor cmd, so the container must give command or args")]
    NoCommand,
    /// The user or a group can't be found.
    #[error(transparent)]
    User(#[from] UserError),
    /// A working directory that is not absolute.
    #[error("working_dir {0:?} is not an absolute path")]
    WorkingDir(String),
    /// A value that JSON, and so config.json, can't carry.
    #[error("envs: the value of {0} is not UTF-8; OCI runtimes read it from JSON and would refuse or change it")]
    EnvNotUtf8(String),
    /// A capability that no kernel known here has.
    #[error("capabilities: {0:?} is not a capability")]
    UnknownCapability(String),
    /// Devices by CDI name.
    #[error("CDI_devices: {0:?} can't be given: this release knows devices by path only")]
    CdiDevice(String),
    /// Not every mount of the container was resolved.
    #[error("{wanted} mounts wanted, {resolved} resolved")]
    MountCount {
        /// Mounts in the container's spec.
        wanted: usize,
        /// Mounts looked up.
        resolved: usize,
    },
    /// A path that is not UTF-8.
    #[error("path {0:?} is not UTF-8; OCI runtimes read it from JSON")]
    PathNotUtf8(PathBuf),
    /// The mount's source does not propagate as the mount needs it.
    #[error(
        "mount {container_path:?}: {wanted} needs a source on a {needed} mount, but {source_path:?} is on a {found} one (`mount --make-rshared` on the node changes that)"
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
    #[error("mount {0:?}: recursive_read_only needs readonly and private propagation")]
    RecursiveReadOnly(PathBuf),
    /// A seccomp profile of the node was named but not handed in.
    #[error("seccomp profile {0:?} was not read")]
    SeccompMissing(PathBuf),
    /// A seccomp profile of the node makes no sense.
    #[error("seccomp profile {path:?}: {field}: {reason}")]
    Seccomp {
        /// The profile.
        path: PathBuf,
        /// Where in it, `syscalls[3].action` for example.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// An AppArmor profile on a node without AppArmor.
    #[error("apparmor profile {0:?}: AppArmor is not enabled on this node")]
    ApparmorOff(String),
    /// An AppArmor profile that the kernel does not have.
    #[error("apparmor profile {0:?} is not loaded on this node (`apparmor_parser` loads it)")]
    ApparmorNotLoaded(String),
    /// A resource limit of the configuration has no such name.
    #[error("rlimit {0:?} is not a resource limit")]
    UnknownRlimit(String),
    /// A configuration that was read back holds no process.
    #[error("the container's config.json has no process")]
    NoProcess,
    /// A configuration could not be written as JSON.
    #[error("the configuration can't be written as JSON: {0}")]
    Json(String),
}
