//! A directory that an archive is unpacked into, and from which no name leads out.

use super::error::Problem;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Why an entry could not be placed.
#[derive(Debug)]
pub(super) enum PlaceError {
    Refused(Problem),
    Disk(Errno),
}

impl From<Errno> for PlaceError {
    fn from(errno: Errno) -> Self {
        Self::Disk(errno)
    }
}

impl From<Problem> for PlaceError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    Nothing,
    Directory,
    Whiteout,
    Other,
}

pub(super) struct Tree {
    root: OwnedFd,
    /// Archives list a directory's entries one after the other, so its descriptor is kept.
    last: Option<(Vec<u8>, OwnedFd)>,
    /// Directories that exist only because something is in them; the archive did not describe them.
    implicit: BTreeSet<Vec<u8>>,
    pub(super) inodes: u64,
    pub(super) bytes: u64,
}

const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);
const HANDLE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const BLOCK: u64 = 4096;

impl Tree {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, last: None, implicit: BTreeSet::from([Vec::new()]), inodes: 1, bytes: BLOCK }
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directories that the archive did not describe, as paths from the root; the root itself is an empty path.
    pub(super) fn into_implicit(self) -> BTreeSet<Vec<u8>> {
        self.implicit
    }

    /// The archive described this directory.
    pub(super) fn described(&mut self, path: &[u8]) {
        self.implicit.remove(path);
    }

    pub(super) fn count(&mut self, content: u64) {
        self.inodes += 1;
        self.bytes = self.bytes.saturating_add(content.div_ceil(BLOCK).saturating_mul(BLOCK));
    }

    /// The directory `path`, made with everything above it where it is missing.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, PlaceError> {
        let cached = matches!(&self.last, Some((last, _)) if last == path);
        if !cached {
            let found = match self.open(path) {
                Err(PlaceError::Disk(Errno::NOENT)) | Err(PlaceError::Refused(Problem::NotDirectory)) => {
                    self.make(path)?
                }
                other => other?,
            };
            self.last = Some((path.to_vec(), found));
        }
        match &self.last {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Err(PlaceError::Disk(Errno::NOENT)),
        }
    }

    /// The directory `path` if it is there. Links are followed as long as they stay inside.
    pub(super) fn open(&self, path: &[u8]) -> Result<OwnedFd, PlaceError> {
        let path = if path.is_empty() { b"." } else { path };
        rustix::fs::openat2(&self.root, path, HANDLE, Mode::empty(), INSIDE).map_err(|errno| match errno {
            Errno::XDEV | Errno::LOOP => Problem::LinkOut.into(),
            Errno::NOTDIR => Problem::NotDirectory.into(),
            other => PlaceError::Disk(other),
        })
    }

    /// Makes `path` level by level, each resolved from the root so that links on the way keep their meaning.
    fn make(&mut self, path: &[u8]) -> Result<OwnedFd, PlaceError> {
        let mut current = self.open(b"")?;
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i).chain([path.len()]);
        let mut start = 0;
        for end in ends {
            let (prefix, name) = (&path[..end], &path[start..end]);
            start = end + 1;
            current = match self.open(prefix) {
                Ok(found) => found,
                Err(PlaceError::Disk(Errno::NOENT) | PlaceError::Refused(Problem::NotDirectory)) => {
                    let hidden_below = match present(&current, name)? {
                        Present::Nothing => false,
                        // A directory on top of what the same layer hides: everything below stays hidden.
                        Present::Whiteout => {
                            rustix::fs::unlinkat(&current, name, AtFlags::empty())?;
                            true
                        }
                        Present::Directory | Present::Other => return Err(Problem::NotDirectory.into()),
                    };
                    rustix::fs::mkdirat(&current, name, Mode::from_raw_mode(0o755))?;
                    let made = self.open(prefix)?;
                    if hidden_below {
                        set_opaque(&current, name)?;
                    }
                    self.implicit.insert(prefix.to_vec());
                    self.count(BLOCK);
                    made
                }
                Err(other) => return Err(other),
            };
        }
        Ok(current)
    }

    /// Takes away what stands at `name` in `dir`, a whole directory too. Nothing there is fine.
    pub(super) fn clear(&mut self, dir_path: &[u8], name: &[u8]) -> Result<(), PlaceError> {
        let dir = self.open(dir_path)?;
        // What is cached may pass through what goes now.
        self.last = None;
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => {
                let mut gone = dir_path.to_vec();
                if !gone.is_empty() {
                    gone.push(b'/');
                }
                gone.extend_from_slice(name);
                self.implicit
                    .retain(|path| !(path.starts_with(&gone) && matches!(path.get(gone.len()), None | Some(b'/'))));
                peapod_sys::remove_tree_at(&dir, name).map_err(|left| left.errno.into())
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// What stands at `name` in `dir`, links not followed.
pub(super) fn present(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<Present> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(Present::Nothing),
        Err(other) => Err(other),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Ok(Present::Directory),
        Ok(stat) if is_whiteout(&stat) => Ok(Present::Whiteout),
        Ok(_) => Ok(Present::Other),
    }
}

pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Marks the directory `name` so that overlay shows nothing of what lower layers have in it.
pub(super) fn set_opaque(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = if name.is_empty() { b"." } else { name };
    let target = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    rustix::fs::fsetxattr(&target, "trusted.overlay.opaque", b"y", XattrFlags::empty())
}
