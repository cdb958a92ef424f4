//! Putting owner, mode, extended attributes and times of an entry on what was made of it.

use super::archive::ArchiveEntry;
use super::error::EntryError;
use super::tree::ApplyError;
use rustix::fs::{AtFlags, Gid, Mode, Uid, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd};

/// Owner first: a change of owner clears set-user-id bits and capabilities. The times are the caller's to set, last of
/// all.
pub(super) fn apply(entry: &ArchiveEntry, file: impl AsFd) -> Result<(), ApplyError> {
    let file = file.as_fd();
    rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in &entry.xattrs {
        taken(rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty()), value)?;
    }
    Ok(())
}

/// The same for what can't be opened (links, devices, FIFOs): by its name in an open directory.
pub(super) fn apply_at(entry: &ArchiveEntry, dir: impl AsFd, name: &[u8], link: bool) -> Result<(), ApplyError> {
    let dir = dir.as_fd();
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    if !link {
        // Just made by us and not a link, so following means nothing.
        rustix::fs::chmodat(dir, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    if !entry.xattrs.is_empty() {
        let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        for (name, value) in &entry.xattrs {
            match rustix::fs::lsetxattr(path.as_slice(), name.as_slice(), value, XattrFlags::empty()) {
                // user.* attributes are for files and directories alone.
                Err(Errno::PERM) if name.starts_with(b"user.") => {}
                other => taken(other, value)?,
            }
        }
    }
    Ok(rustix::fs::utimensat(dir, name, &entry.times(), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// A file system without such attributes holds the image all the same; a damaged one is the image's fault.
fn taken(result: rustix::io::Result<()>, value: &[u8]) -> Result<(), ApplyError> {
    /// ext4 has one block for all attributes of a file, and says of what doesn't fit that the disk is full.
    const LARGE: usize = 1 << 10;
    match result {
        Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
        Err(Errno::NOSPC) if value.len() >= LARGE => Err(EntryError::Attribute.into()),
        Err(Errno::INVAL | Errno::RANGE | Errno::TOOBIG) => Err(EntryError::Attribute.into()),
        Err(other) => Err(other.into()),
    }
}
