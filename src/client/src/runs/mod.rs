//! What is written down of each `peapod run`: which process looks after its pods, of which files they are, and what it
//! had to say if nobody watches.

mod applied;
mod beginning;
mod folder;
mod log;
mod options;
pub(crate) mod owner;
mod pod_folders;
mod prepared;
mod record;
mod requests;
mod subjects;

pub(crate) use applied::AppliedFiles;
pub(crate) use beginning::{LAST_WORDS, settled};
pub(crate) use folder::is_own;
pub(crate) use log::RunLog;
pub(crate) use options::RunOptions;
#[cfg(test)]
pub(crate) use pod_folders::is_left;
pub(crate) use pod_folders::{is_uid, open_base, open_folder};
pub(crate) use prepared::PreparedRun;
pub(crate) use record::{KnownRun, RunRecord, abandon, all, ended, find, forget_lost, known};
pub(crate) use requests::LeaveRequest;
pub(crate) use subjects::{KnownWorkload, RunSubjects, correct};
