//! Container logs as CRI runtimes write them to files on this node.

mod file;
mod follow;
pub(crate) mod line;
mod merge;

pub(crate) use file::LogFile;
pub(crate) use follow::follow;
pub(crate) use line::{Joiner, LogLine};
pub(crate) use merge::LogMerge;
