//! What is written down of each `peapod run`: which process looks after its pods, of which files they are, and what it
//! had to say if nobody watches.

mod beginning;
mod folder;
mod log;
mod prepared;
mod record;
mod requests;
mod subjects;

pub(crate) use beginning::{LAST_WORDS, settled};
pub(crate) use folder::is_own;
pub(crate) use log::RunLog;
pub(crate) use prepared::PreparedRun;
pub(crate) use record::{AppliedFiles, KnownRun, RunRecord, abandon, all, ended, find, forget_lost, known};
pub(crate) use requests::LeaveRequest;
pub(crate) use subjects::{KnownWorkload, RunSubjects};
