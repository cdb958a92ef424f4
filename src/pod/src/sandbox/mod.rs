//! Operations of pods, one file each.

mod clean_up;
mod files;
mod network;
mod operations;
mod pod_group;
mod release;
mod remove;
mod set_up;

pub(crate) use files::of as files_of;
pub(crate) use operations::SandboxOperations;
pub(crate) use release::PodHoldings;
pub(crate) use set_up::{ReadySandbox, SandboxInput, init_user};
