//! The way through a tree, looked at while others go on changing it.
//!
//! Constant memory, whatever the tree: folders far above the one that is looked at are closed, and found again by `..`.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::open::{self, Buffer};
use crate::bounds::TREE_OPEN_FOLDERS;

/// What is done with each entry of a tree.
pub(super) trait Visit {
    /// Asked before each entry: whether there is still time.
    fn goes_on(&mut self) -> bool;

    /// `name` in the folder `dir` looks like this.
    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, stat: &Statx);
}

/// Why not all of a tree was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// Whoever asked has no more time.
    TimeIsUp,
    /// Somebody moved what was being looked at.
    Moved,
    /// A folder can't be opened or listed. All others were gone through.
    Unreadable(PathBuf, Errno),
}

/// Visits all that is below a folder. No link is followed, no mount is entered, and what others are mounted on is left
/// out. `None`: everything was seen.
pub(super) fn walk(dir: OwnedFd, visit: &mut impl Visit) -> rustix::io::Result<Option<Unseen>> {
    let root = Place::of(&rustix::fs::fstat(&dir)?);
    let open = VecDeque::from([(dir, root)]);
    let mut walk = Walk { root, open, above: 0, unseen: None, visit };
    walk.run();
    Ok(walk.unseen)
}

/// Where the kernel shows what is open.
pub(super) fn of_descriptor(of: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", of.as_raw_fd()))
}

/// Where `name` in an open folder is now, for messages.
pub(super) fn path_in(dir: BorrowedFd<'_>, name: &CStr) -> PathBuf {
    let dir = std::fs::read_link(of_descriptor(dir)).unwrap_or_default();
    dir.join(OsStr::from_bytes(name.to_bytes()))
}

/// Which inode it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    dev: u64,
    ino: u64,
}

impl Place {
    #[allow(clippy::unnecessary_cast, reason = "the types of a stat's fields differ between architectures")]
    fn of(stat: &Stat) -> Self {
        Self { dev: stat.st_dev as u64, ino: stat.st_ino as u64 }
    }

    fn of_entry(stat: &Statx) -> Self {
        Self { dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), ino: stat.stx_ino }
    }
}

struct Walk<'a, V> {
    root: Place,
    /// The folder that is being listed, and those above it, the nearest last.
    open: VecDeque<(OwnedFd, Place)>,
    /// How many folders above them are closed.
    above: u64,
    /// The first reason.
    unseen: Option<Unseen>,
    visit: &'a mut V,
}

/// What the listing stopped at.
enum ListingStop {
    Folder(CString),
    TimeIsUp,
}

impl<V: Visit> Walk<'_, V> {
    fn run(&mut self) {
        let mut buffer = Buffer::new();
        loop {
            match self.list(&mut buffer) {
                Ok(Some(ListingStop::Folder(name))) => self.descend(&name),
                Ok(None) => {
                    if !self.ascend(&mut buffer) {
                        return;
                    }
                }
                Ok(Some(ListingStop::TimeIsUp)) => return self.unseen(Unseen::TimeIsUp),
                Err(errno) => {
                    let dir = self.open.back().map(|(dir, _)| path_in(dir.as_fd(), c""));
                    return self.unseen(Unseen::Unreadable(dir.unwrap_or_default(), errno));
                }
            }
        }
    }

    fn unseen(&mut self, why: Unseen) {
        self.unseen.get_or_insert(why);
    }

    /// Visits entries up to the next folder.
    fn list(&mut self, buffer: &mut Buffer) -> rustix::io::Result<Option<ListingStop>> {
        let Self { root, open, visit, .. } = self;
        let Some((dir, _)) = open.back() else { return Ok(None) };
        buffer.list(dir, |name, _| {
            if !visit.goes_on() {
                return Some(ListingStop::TimeIsUp);
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            // Gone meanwhile.
            let Ok(stat) = rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS) else { return None };
            // A name leads to what is mounted there, which may be of the same file system.
            if Place::of_entry(&stat).dev != root.dev || stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
                return None;
            }
            visit.entry(dir.as_fd(), name, &stat);
            let folder = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory;
            folder.then(|| ListingStop::Folder(name.to_owned()))
        })
    }

    fn descend(&mut self, name: &CStr) {
        let Some((dir, _)) = self.open.back() else { return };
        match open::folder(dir, name).and_then(|child| Ok((Place::of(&rustix::fs::fstat(&child)?), child))) {
            Ok((place, child)) => {
                self.open.push_back((child, place));
                if self.open.len() > TREE_OPEN_FOLDERS {
                    self.open.pop_front();
                    self.above += 1;
                }
            }
            // Gone, something else by now, or a mount point of the same file system.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
            Err(errno) => {
                let path = path_in(dir.as_fd(), name);
                self.unseen(Unseen::Unreadable(path, errno));
            }
        }
    }

    /// Goes on behind the folder that was listed to its end. False if that was the root, or if the way back is lost.
    fn ascend(&mut self, buffer: &mut Buffer) -> bool {
        let Some((child, place)) = self.open.pop_back() else { return false };
        if !self.open.is_empty() {
            return true;
        }
        if self.above == 0 {
            return false;
        }
        self.above -= 1;
        match self.parent(child.as_fd(), place, buffer) {
            // Moved meanwhile, and so is the way back.
            Ok(Some(parent)) if (parent.1 == self.root) == (self.above == 0) => {
                self.open.push_back(parent);
                true
            }
            _ => {
                self.unseen(Unseen::Moved);
                false
            }
        }
    }

    /// The folder above, its listing behind that child.
    fn parent(
        &mut self,
        child: BorrowedFd<'_>,
        place: Place,
        buffer: &mut Buffer,
    ) -> rustix::io::Result<Option<(OwnedFd, Place)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let dir = rustix::fs::openat2(child, c"..", flags, Mode::empty(), resolve)?;
        let parent = Place::of(&rustix::fs::fstat(&dir)?);
        let found = buffer.list_inodes(&dir, |ino| {
            if ino == place.ino { Some(true) } else { (!self.visit.goes_on()).then_some(false) }
        })?;
        Ok((found == Some(true) && parent.dev == self.root.dev && parent != place).then_some((dir, parent)))
    }
}
