//! Kills for lack of memory, told while they happen: a count that goes away with its group has to be read before.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{files, parse};

/// An open count of kills. Polling it for priority events tells of changes.
#[derive(Debug)]
pub struct OomWatch {
    file: File,
}

impl OomWatch {
    pub(crate) fn open(path: &Path) -> Option<Self> {
        File::open(path).ok().map(|file| Self { file })
    }

    /// The count now; `None` when the group is gone.
    #[must_use]
    pub fn kills(&self) -> Option<u64> {
        // Half a dozen lines of a word and a number.
        let mut text = [0; 512];
        let length = self.file.read_at(&mut text, 0).ok()?;
        parse::field(std::str::from_utf8(text.get(..length)?).ok()?, files::OOM_KILL)
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for OomWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
