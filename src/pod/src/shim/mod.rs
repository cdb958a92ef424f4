//! A pod's shim, seen from the daemon: started, called, listened to.

mod calls;
mod checkpoint_calls;
mod error;
mod launch;
mod old_copy;
mod sandbox_calls;
mod sealed;
mod session_calls;
mod spawner;
mod task_options;
mod version;

pub(crate) use calls::{NewTask, Overlay, Shim, TaskRuntime, TaskState};
pub(crate) use checkpoint_calls::CheckpointCalls;
pub(crate) use error::ShimError;
pub(crate) use launch::{Launched, Launcher, ShimGroup};
pub(crate) use old_copy::settle as settle_old_copy;
pub(crate) use sandbox_calls::{OwnNamespaces, SandboxSetup, Tmpfs};
pub use session_calls::SessionAddress;
pub(crate) use session_calls::SessionCalls;
pub(crate) use task_options::{NewVolume, TaskCgroup};
pub(crate) use version::Foreign;
