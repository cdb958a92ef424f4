//! A pod's shim, seen from the daemon: started, called, listened to.

mod calls;
mod error;
mod launch;

pub(crate) use calls::{NewTask, SandboxSetup, Shim, TaskState};
pub(crate) use error::ShimError;
pub(crate) use launch::{Launched, Launcher};
