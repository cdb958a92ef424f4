//! A directory that an archive is unpacked into, and from which no name leads out.

use super::directories::{Directories, Directory, DirectoryError};
use super::error::{ArchiveError, EntryError, LimitError, printable};
use super::implicit::Writer;
use super::meter::Meter;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Why an entry could not be applied.
#[derive(Debug)]
pub(super) enum ApplyError {
    Refused(EntryError),
    Disk(Errno),
    /// Complete with what it is about.
    Archive(ArchiveError),
}

impl ApplyError {
    /// The same, said of the entry `name`.
    pub(super) fn about(self, name: &[u8]) -> ArchiveError {
        match self {
            Self::Refused(problem) => ArchiveError::Entry { name: printable(name), problem },
            Self::Disk(errno) => ArchiveError::Disk { name: printable(name), source: errno.into() },
            Self::Archive(error) => error,
        }
    }
}

impl From<Errno> for ApplyError {
    fn from(errno: Errno) -> Self {
        Self::Disk(errno)
    }
}

impl From<EntryError> for ApplyError {
    fn from(problem: EntryError) -> Self {
        Self::Refused(problem)
    }
}

impl From<ArchiveError> for ApplyError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<LimitError> for ApplyError {
    fn from(excess: LimitError) -> Self {
        Self::Archive(excess.into())
    }
}

impl From<DirectoryError> for ApplyError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Entry(error) => error.into(),
            DirectoryError::Limit(error) => error.into(),
        }
    }
}

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    Nothing,
    Directory,
    Whiteout,
    Symlink,
    Other,
}

pub(super) struct Tree {
    root: OwnedFd,
    /// Archives list a directory's entries one after the other, so its descriptor is kept.
    last: Option<Opened>,
    directories: Directories,
    pub(super) meter: Rc<Meter>,
}

struct Opened {
    path: Vec<u8>,
    fd: OwnedFd,
    directory: Directory,
}

/// Links are read from the layer's root, as a process in the container would read them and as Docker and containerd do:
/// an absolute one begins there, and there is nothing above it.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_XDEV);
/// For paths of our own making.
const NO_LINKS: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);
/// How often a path is looked up again that the kernel could not check.
const AGAIN: usize = 1000;
const HANDLE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const MADE: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Tree {
    pub(super) fn new(root: OwnedFd, meter: Rc<Meter>) -> rustix::io::Result<Self> {
        let inode = rustix::fs::fstat(&root)?.st_ino;
        Ok(Self { root, last: None, directories: Directories::new(inode), meter })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The archive described the root.
    pub(super) fn root_described(&mut self, times: Timestamps) {
        self.directories.described(Directories::root(), times);
    }

    /// Something with a name of so many bytes is about to be made.
    pub(super) fn inode(&self, name: &[u8]) -> Result<(), ArchiveError> {
        self.meter.inode(&self.root, name.len())
    }

    /// So many bytes are about to be written.
    pub(super) fn bytes(&self, count: u64) -> Result<(), ArchiveError> {
        self.meter.bytes(&self.root, count)
    }

    /// The directory `path`, made with everything above it where it is missing.
    pub(super) fn directory(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, ApplyError> {
        self.opened(path).map(|(fd, _)| fd)
    }

    fn opened(&mut self, path: &[u8]) -> Result<(BorrowedFd<'_>, Directory), ApplyError> {
        if !matches!(&self.last, Some(last) if last.path == path) {
            let (fd, directory) = match self.open(path) {
                Err(ApplyError::Disk(Errno::NOENT) | ApplyError::Refused(EntryError::NotDirectory)) => {
                    self.make(path)?
                }
                other => self.known(other?)?,
            };
            self.last = Some(Opened { path: path.to_vec(), fd, directory });
        }
        match &self.last {
            Some(last) => Ok((last.fd.as_fd(), last.directory)),
            None => Err(ApplyError::Disk(Errno::NOENT)),
        }
    }

    /// The directory `path` if it is there. Links are followed, from the root.
    pub(super) fn open(&self, path: &[u8]) -> Result<OwnedFd, ApplyError> {
        let path = if path.is_empty() { b"." } else { path };
        let open = || rustix::fs::openat2(&self.root, path, HANDLE, Mode::empty(), INSIDE);
        // A rename anywhere on the node may come between a link's `..` and its check.
        let mut opened = open();
        for _ in 0..AGAIN {
            if opened.as_ref().err() != Some(&Errno::AGAIN) {
                break;
            }
            opened = open();
        }
        opened.map_err(|errno| match errno {
            Errno::XDEV | Errno::LOOP => EntryError::LinkOut.into(),
            Errno::NOTDIR => EntryError::NotDirectory.into(),
            Errno::NAMETOOLONG => EntryError::Long.into(),
            other => ApplyError::Disk(other),
        })
    }

    /// All directories here were made by us, so each is known.
    fn known(&self, fd: OwnedFd) -> Result<(OwnedFd, Directory), ApplyError> {
        let inode = rustix::fs::fstat(&fd)?.st_ino;
        let directory = self.directories.of_inode(inode).ok_or(ApplyError::Disk(Errno::STALE))?;
        Ok((fd, directory))
    }

    /// Makes `path` level by level, each resolved from the root so that links on the way keep their meaning.
    fn make(&mut self, path: &[u8]) -> Result<(OwnedFd, Directory), ApplyError> {
        let mut current = self.known(self.open(b"")?)?;
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i).chain([path.len()]);
        let mut start = 0;
        for end in ends {
            let (prefix, name) = (&path[..end], &path[start..end]);
            start = end + 1;
            current = match self.open(prefix) {
                Ok(found) => self.known(found)?,
                Err(ApplyError::Disk(Errno::NOENT) | ApplyError::Refused(EntryError::NotDirectory)) => {
                    self.make_one(&current.0, current.1, name)?
                }
                Err(other) => return Err(other),
            };
        }
        Ok(current)
    }

    fn make_one(&mut self, at: &OwnedFd, above: Directory, name: &[u8]) -> Result<(OwnedFd, Directory), ApplyError> {
        let before = present(at, name)?;
        match before {
            Present::Nothing => {}
            // A directory on top of what the same layer hides: everything below stays hidden.
            Present::Whiteout => rustix::fs::unlinkat(at, name, AtFlags::empty())?,
            Present::Symlink => return Err(EntryError::LinkOut.into()),
            Present::Directory | Present::Other => return Err(EntryError::NotDirectory.into()),
        }
        let (made, directory) = self.create(at, above, name)?;
        rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
        if before == Present::Whiteout {
            set_opaque(&made, b"")?;
        }
        Ok((made, directory))
    }

    /// Makes one directory, for nobody but its owner yet.
    fn create(&mut self, at: impl AsFd, above: Directory, name: &[u8]) -> Result<(OwnedFd, Directory), ApplyError> {
        self.directories.check(above, name)?;
        self.inode(name)?;
        self.meter.directory(&self.root)?;
        rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o700))?;
        let made = rustix::fs::openat(&at, name, MADE, Mode::empty())?;
        let directory = self.directories.made(above, name, rustix::fs::fstat(&made)?.st_ino);
        Ok((made, directory))
    }

    /// The directory `name` in `path` as the archive describes it, with what was there before.
    pub(super) fn describe(
        &mut self,
        path: &[u8],
        name: &[u8],
        times: Timestamps,
    ) -> Result<(OwnedFd, Present), ApplyError> {
        let (at, above) = self.opened(path)?;
        let at = at.try_clone_to_owned().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::MFILE))?;
        let before = present(&at, name)?;
        let (made, directory) = match before {
            Present::Directory => self.known(rustix::fs::openat(&at, name, MADE, Mode::empty())?)?,
            Present::Nothing => self.create(&at, above, name)?,
            Present::Whiteout | Present::Symlink | Present::Other => {
                self.clear(path, name)?;
                self.create(&at, above, name)?
            }
        };
        self.directories.described(directory, times);
        Ok((made, before))
    }

    /// Takes away what stands at `name` in the directory `path`, a whole directory too. Nothing there is fine.
    pub(super) fn clear(&mut self, path: &[u8], name: &[u8]) -> Result<(), ApplyError> {
        let dir = self.open(path)?;
        // What is kept open may have been found through what goes now.
        self.last = None;
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR | Errno::PERM) => Ok(peapod_sys::remove_tree_at(&dir, name).map_err(|left| left.errno)?),
            Err(other) => Err(other.into()),
        }
    }

    /// Gives all directories their times, and lists those that the archive did not describe: their owner, mode and
    /// times are those of the layer below.
    pub(super) fn finish(&self, mut implicit: Writer) -> Result<(), ArchiveError> {
        self.directories.walk::<ArchiveError>(|path, inode, times| {
            let failed = |error: Errno| ApplyError::from(error).about(path);
            let relative = if path.is_empty() { b"." } else { path };
            let dir = match rustix::fs::openat2(&self.root, relative, HANDLE, Mode::empty(), NO_LINKS) {
                // A later entry took its place.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(false),
                other => other.map_err(failed)?,
            };
            if rustix::fs::fstat(&dir).map_err(failed)?.st_ino != inode {
                return Ok(false);
            }
            match times {
                // An O_PATH descriptor takes no times itself.
                Some(times) => rustix::fs::utimensat(&dir, ".", times, AtFlags::empty()).map_err(failed)?,
                None => implicit.add(path).map_err(|source| ArchiveError::Disk { name: printable(path), source })?,
            }
            Ok(true)
        })?;
        implicit.finish().map_err(|source| ArchiveError::Disk { name: String::new(), source })
    }
}

/// What stands at `name` in `dir`, links not followed.
pub(super) fn present(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<Present> {
    let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Present::Nothing),
        other => other?,
    };
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Present::Directory,
        FileType::Symlink => Present::Symlink,
        _ if is_whiteout(&stat) => Present::Whiteout,
        _ => Present::Other,
    })
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Marks the directory `name` so that overlay shows nothing of what lower layers have in it.
pub(super) fn set_opaque(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    let name = if name.is_empty() { b"." } else { name };
    let target = rustix::fs::openat(dir, name, MADE, Mode::empty())?;
    rustix::fs::fsetxattr(&target, "trusted.overlay.opaque", b"y", XattrFlags::empty())
}
