//! Operations of pods, one file each.

mod clean_up;
mod files;
mod network;
mod release;
mod remove;
mod set_up;

pub(crate) use clean_up::{clean_up, run_delete};
pub(crate) use files::of as files_of;
pub(crate) use release::release;
pub(crate) use remove::remove_files;
pub(crate) use set_up::{init_user, set_up};
