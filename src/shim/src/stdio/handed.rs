//! The ends of a command's streams that a session gets: whoever has them moves the bytes, and the shim none.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use peapod_streaming_protocol::CommandStreams;

use crate::error::Error;

/// What a session gets: nothing, if the command belongs to none.
#[derive(Debug, Default)]
pub(crate) struct HandedStreams {
    /// Of the command, as they were asked for.
    wanted: CommandStreams,
    /// In the order stdin, stdout, stderr.
    ends: Vec<OwnedFd>,
}

impl HandedStreams {
    /// Those of a command that is to have these.
    pub(super) fn of(wanted: CommandStreams) -> Self {
        Self { wanted, ends: Vec::new() }
    }

    /// A command's terminal, if it belongs to a session; else false.
    pub(super) fn add_terminal(&mut self, terminal: &OwnedFd) -> Result<bool, Error> {
        for _ in 0..self.wanted.count() {
            self.add(terminal.try_clone().map_err(Error::io("hand over", Path::new("a terminal")))?)?;
        }
        Ok(self.wanted != CommandStreams::default())
    }

    /// The next of them.
    pub(super) fn add(&mut self, end: OwnedFd) -> Result<(), Error> {
        peapod_sys::set_nonblocking(&end).map_err(Error::io("hand over", Path::new("a stream")))?;
        self.ends.push(end);
        Ok(())
    }

    /// Which they are.
    pub(crate) fn streams(&self) -> CommandStreams {
        self.wanted
    }

    /// They themselves.
    pub(crate) fn ends(&self) -> Vec<BorrowedFd<'_>> {
        self.ends.iter().map(AsFd::as_fd).collect()
    }

    /// Others of the outputs: whoever has one keeps the command from being told that nobody reads.
    pub(crate) fn outputs(&self) -> Vec<OwnedFd> {
        let outputs = self.ends.iter().skip(usize::from(self.wanted.stdin));
        outputs.filter_map(|end| end.try_clone().ok()).collect()
    }

    /// As the kernel names the pipes: by that the processes are known which have the other ends.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        let name = |end: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", end.as_raw_fd())).ok();
        self.ends.iter().filter_map(name).collect()
    }
}

pub(super) fn failed() -> impl FnOnce(rustix::io::Errno) -> Error {
    Error::errno("make a pipe for", Path::new("a session"))
}
