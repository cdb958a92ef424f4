//! Operations of containers, one file each.

mod adjusted;
mod cdi;
mod cgroup_owner;
mod configure;
mod context;
mod create;
mod devices;
mod exec;
mod exec_base;
mod host_folder;
mod image_mounts;
mod interrupt;
mod kept;
mod limits;
mod look_up;
mod look_up_slots;
pub(crate) mod made_by;
mod mounts;
mod node_change;
mod operations;
mod output;
mod recovered_state;
mod relabel;
mod remove;
mod sandboxed;
mod sandboxed_fields;
mod seccomp;
mod start;
mod stop_signal;
mod update;
mod users;
mod verify;

pub(crate) use configure::invalid;
pub(crate) use context::ContainerContext;
pub(crate) use create::create;
pub(crate) use exec::{ExecOperations, end_abandoned, process};
pub use exec::{ExecOutput, ExecRequest};
pub use exec_base::ExecBase;
pub(crate) use kept::unrecorded;
pub(crate) use operations::ContainerOperations;
pub use output::OutputSlot;
pub(crate) use output::OutputSlots;
pub(crate) use recovered_state::{Expected, RecoveredState};
pub(crate) use sandboxed_fields::check_pod;
pub(crate) use seccomp::SeccompPrograms;
pub(crate) use start::{RunningContainer, StartInput, start};
pub(crate) use update::{UpdateAttempt, UpdateInput};

use peapod_shim_protocol::exit::Exit;

use crate::read;

/// An exit file has five short lines.
const EXIT_FILE: u64 = 4096;

/// How a container ended, as its shim wrote it down; `None` if it did not, or not entirely.
pub(crate) async fn exit_file(bundle: &std::path::Path) -> Option<Exit> {
    let bundle = bundle.to_path_buf();
    tokio::task::spawn_blocking(move || exit_file_now(&bundle)).await.ok()?
}

/// The same without a wait, for the moment before anybody is served: the run root is a tmpfs.
pub(crate) fn exit_file_now(bundle: &std::path::Path) -> Option<Exit> {
    let bytes = read::whole(&bundle.join(Exit::FILE), EXIT_FILE).ok()?;
    Exit::parse(std::str::from_utf8(&bytes).ok()?).ok()
}
