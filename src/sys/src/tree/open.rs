//! Folders of a tree: opened without leaving it, and listed through a buffer that all of them share.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, RawDir, RawDirEntry, ResolveFlags};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// No link is followed, no mount is entered.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);
/// Some hundred entries; a name has 255 bytes at most.
const BUFFER: usize = 16 << 10;

/// The folder `name` of `dir`, to be listed. `XDEV` if it is a mount point.
pub(super) fn folder(dir: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(dir, name, FOLDER, Mode::empty(), INSIDE)
}

/// The folder at the top of a tree, to be listed.
pub(super) fn top(root: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(root, FOLDER, Mode::empty())
}

/// Room for a part of a listing, allocated once for a whole tree.
pub(super) struct Buffer(Box<[MaybeUninit<u8>]>);

impl Buffer {
    pub(super) fn new() -> Self {
        Self(Box::new_uninit_slice(BUFFER))
    }

    /// Goes on with the listing of a folder where its descriptor stands, until `each` answers something: then the
    /// descriptor stands behind that entry. `None` at the end of the listing.
    pub(super) fn list<T>(
        &mut self,
        dir: impl AsFd,
        mut each: impl FnMut(&CStr, FileType) -> Option<T>,
    ) -> rustix::io::Result<Option<T>> {
        self.entries(dir, |entry| each(entry.file_name(), entry.file_type()))
    }

    /// The same by inode number.
    pub(super) fn list_inodes<T>(
        &mut self,
        dir: impl AsFd,
        mut each: impl FnMut(u64) -> Option<T>,
    ) -> rustix::io::Result<Option<T>> {
        self.entries(dir, |entry| each(entry.ino()))
    }

    fn entries<T>(
        &mut self,
        dir: impl AsFd,
        mut each: impl FnMut(&RawDirEntry<'_>) -> Option<T>,
    ) -> rustix::io::Result<Option<T>> {
        let mut entries = RawDir::new(dir.as_fd(), &mut self.0);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                // The folder itself was removed meanwhile: nothing is in it.
                Err(Errno::NOENT) => return Ok(None),
                other => other?,
            };
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            if let Some(found) = each(&entry) {
                let behind = entry.next_entry_cookie();
                rustix::fs::seek(&dir, rustix::fs::SeekFrom::Start(behind))?;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
