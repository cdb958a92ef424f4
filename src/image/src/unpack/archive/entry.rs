//! What an archive says about one thing in it.

use super::sparse::Sparse;
use rustix::fs::{Timespec, Timestamps};

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::unpack) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    CharDevice,
    BlockDevice,
    Fifo,
}

impl Kind {
    /// `None` for what layers don't have: parts of files that another volume began, and letters that no known program
    /// writes. GNU tar makes files of the latter; Docker and containerd refuse them, as we do.
    pub(super) fn of(flag: u8, name: &[u8]) -> Option<Self> {
        Some(match flag {
            // Programs before ustar had no letter for directories. GNU tar goes by the slash for all letters of files,
            // Go (and so Docker) for NUL alone, and makes a file `d` of the others.
            0 | b'0' | b'7' | b'S' if name.ends_with(b"/") => Self::Directory,
            0 | b'0' | b'7' | b'S' => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::Symlink,
            b'3' => Self::CharDevice,
            b'4' => Self::BlockDevice,
            // D is a directory with a list of its files, which GNU tar's incremental backups have.
            b'5' | b'D' => Self::Directory,
            b'6' => Self::Fifo,
            _ => return None,
        })
    }
}

/// Whether entries of this letter have content, whatever size their header tells. POSIX gives links, devices,
/// directories and FIFOs none, and every reader goes by that: a header follows at once.
pub(super) fn has_content(flag: u8) -> bool {
    !matches!(flag, b'1'..=b'6')
}

/// An entry, as all its headers together describe it.
#[derive(Debug)]
pub(in crate::unpack) struct ArchiveEntry {
    /// As it stands there, however hostile.
    pub(in crate::unpack) name: Vec<u8>,
    /// Of links.
    pub(in crate::unpack) target: Vec<u8>,
    pub(in crate::unpack) kind: Kind,
    pub(in crate::unpack) mode: u32,
    pub(in crate::unpack) uid: u32,
    pub(in crate::unpack) gid: u32,
    pub(in crate::unpack) modified: Timespec,
    pub(in crate::unpack) accessed: Option<Timespec>,
    /// Of devices.
    pub(in crate::unpack) device: Option<(u32, u32)>,
    pub(in crate::unpack) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Of a file that has holes.
    pub(in crate::unpack) sparse: Option<Sparse>,
}

impl ArchiveEntry {
    pub(in crate::unpack) fn times(&self) -> Timestamps {
        Timestamps { last_access: self.accessed.unwrap_or(self.modified), last_modification: self.modified }
    }
}
