//! Container logs as CRI runtimes write them to files on this node.

mod containers;
mod file;
mod follow;
pub(crate) mod line;
mod merge;
mod printer;
pub(crate) mod set_aside;

pub(crate) use containers::LogLook;
use file::LogFile;
pub(crate) use follow::follow;
pub(crate) use line::{Joiner, LogLine};
use merge::LogMerge;
pub(crate) use printer::LogPrinter;
