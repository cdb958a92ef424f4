//! The way through a tree, looked at while others go on changing it.
//!
//! Constant memory, whatever the tree: folders far above the one that is looked at are closed, and found again by `..`.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::open::{self, Buffer};
use crate::bounds::TREE_OPEN_FOLDERS;

/// What is done with each entry of a tree.
pub(super) trait Visit {
    /// Asked before each entry: whether there is still time.
    fn goes_on(&mut self) -> bool;

    /// `name` in the folder `dir` looks like this.
    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, stat: &Stat);
}

/// Visits all that is below a folder. No link is followed, no mount is entered. Whether everything was seen.
pub(super) fn walk(dir: OwnedFd, visit: &mut impl Visit) -> rustix::io::Result<bool> {
    let root = Place::of(&rustix::fs::fstat(&dir)?);
    let open = VecDeque::from([(dir, root)]);
    let mut walk = Walk { root, open, above: 0, whole: true, visit };
    walk.run();
    Ok(walk.whole)
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
}

struct Walk<'a, V> {
    root: Place,
    /// The folder that is being listed, and those above it, the nearest last.
    open: VecDeque<(OwnedFd, Place)>,
    /// How many folders above them are closed.
    above: u64,
    whole: bool,
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
                Ok(Some(ListingStop::TimeIsUp)) | Err(_) => {
                    self.whole = false;
                    return;
                }
            }
        }
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
            let Ok(stat) = rustix::fs::statat(dir, name, flags) else { return None };
            if Place::of(&stat).dev != root.dev {
                return None;
            }
            visit.entry(dir.as_fd(), name, &stat);
            let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
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
            Err(_) => self.whole = false,
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
                self.whole = false;
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
