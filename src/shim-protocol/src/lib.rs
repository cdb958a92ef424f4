//! What a shim and its master say to each other: containerd's Task and Sandbox services, our extension, and the file in
//! which a shim leaves a container's end.

pub mod exit;
pub mod sealed;

pub use containerd_shim_protos as containerd;

/// Number of the protocol that this code speaks: the extension, and which of containerd's calls are served how. It
/// rises with each change that the other side has to know of.
///
/// 1. The first.
/// 2. Hello tells `oldest_master`.
/// 3. SetUp is CreateSandbox with an answer. A task's options tell its OOM score and its cgroup.
/// 4. OpenExec, OpenAttach and OpenPortForward open sessions of the streaming server.
/// 5. A task's options tell what is mounted beside its root file system. MakeNamespaces makes a user namespace.
///    Mounts of a task may say `uidmap=0:FIRST:COUNT` and `gidmap=0:FIRST:COUNT` of that namespace.
/// 6. Checkpoint writes a container into files, and Create makes one of them. PauseFor is Pause with a limit.
/// 7. A task's options may give it its cgroup, with its processes in a group below.
/// 8. A task's options tell more arguments of the OCI runtime, and a container that begins its sandbox.
pub const PROTOCOL: u32 = 8;

/// The oldest shims that give a container its cgroup.
pub const DELEGATION_SINCE: u32 = 7;

/// The oldest shims that open sessions.
pub const SESSIONS_SINCE: u32 = 4;

/// The oldest shims that write containers into files, and make them of such.
pub const CHECKPOINTS_SINCE: u32 = 6;

/// The oldest shims that begin an OCI runtime's sandbox, and give it arguments.
pub const ROOT_CONTAINERS_SINCE: u32 = 8;

/// The oldest shims that mount something beside a root file system.
pub const VOLUMES_SINCE: u32 = 5;

/// Where they do so, below the bundle.
pub const VOLUMES_FOLDER: &str = "volumes";

/// How the shim's `map-owners` exits where the folder's file system can't do it, whatever else changes on the node.
pub const UNMAPPABLE: u8 = 3;

/// The oldest shims that a daemon of this code drives. It may leave a number behind only after a release has spoken the
/// next one: then the shims of the release before are still driven.
pub const OLDEST_SHIM: u32 = 1;

/// The oldest masters that a shim of this code serves: for a daemon that is older than the shims it finds.
pub const OLDEST_MASTER: u32 = 1;

/// Type URL of [`extension::SandboxOptions`] in `CreateSandboxRequest.options`.
pub const SANDBOX_OPTIONS_URL: &str = "peapod.shim.v1.SandboxOptions";

/// Type URL of [`extension::TaskOptions`] in `CreateTaskRequest.options`.
pub const TASK_OPTIONS_URL: &str = "peapod.shim.v1.TaskOptions";

/// Type URL of [`extension::CheckpointOptions`] in `CheckpointTaskRequest.options`.
pub const CHECKPOINT_OPTIONS_URL: &str = "peapod.shim.v1.CheckpointOptions";

/// Type URL of an OCI `process` object (JSON) in `ExecProcessRequest.spec`.
pub const PROCESS_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// Type URL of an OCI `linux.resources` object (JSON) in `UpdateTaskRequest.resources`.
pub const RESOURCES_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/// File in a container's bundle that says which OCI runtime made it: lines with the program's absolute path, the folder
/// of its state, `systemd` or `cgroupfs`, and then its further arguments.
pub const RUNTIME_FILE: &str = "runtime";

/// Scheme of a stdout or stderr URI that names a CRI log file: `peapod-log:///var/log/pods/…/0.log`.
pub const LOG_SCHEME: &str = "peapod-log://";

pub use generated::shim_extension as extension;
pub use generated::shim_extension_ttrpc as extension_ttrpc;

#[allow(warnings, clippy::all, missing_docs, unused_qualifications, unreachable_pub)]
mod generated {
    /// Messages of our extension.
    pub mod shim_extension {
        include!(concat!(env!("OUT_DIR"), "/shim_extension.rs"));
    }
    /// The extension's ttrpc client and server.
    pub mod shim_extension_ttrpc {
        include!(concat!(env!("OUT_DIR"), "/shim_extension_ttrpc.rs"));
    }
}

#[cfg(test)]
mod fuzz;
