//! Removing a tree.
//!
//! Neither the stack, nor memory, nor descriptors grow with it: a folder that lies too deep is moved up into one that
//! is open anyway, and comes to its turn there. A removal that dies in between leaves a smaller tree, which the next
//! one removes.

use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, IFlags, Mode, OFlags};
use rustix::io::Errno;

use super::open::{self, Buffer};
use crate::bounds::{TREE_LISTINGS, TREE_OPEN_FOLDERS};

/// Flags of an inode that forbid to remove it, to remove from it, or to move something of another project into it.
const FORBIDDING: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND).union(IFlags::PROJECT_INHERIT);

/// Something of a tree is still there, at least this.
#[derive(Debug)]
pub struct NotRemoved {
    /// Why the first such entry could not be removed.
    pub errno: Errno,
    /// The first entry's own name.
    pub name: CString,
}

impl fmt::Display for NotRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, why) = (self.name.to_string_lossy(), io::Error::from(self.errno));
        match self.errno {
            Errno::XDEV | Errno::BUSY => write!(f, "{name:?} is a mount point: unmount it first"),
            _ => write!(f, "{name:?} can't be removed: {why}"),
        }
    }
}

impl std::error::Error for NotRemoved {}

impl From<NotRemoved> for io::Error {
    fn from(left: NotRemoved) -> Self {
        Self::new(Self::from(left.errno).kind(), left)
    }
}

/// Removes what is at `path` with all that is in it; nothing there is success. Blocks, for as long as there are
/// entries.
///
/// Links are removed and not followed, mounts are not entered, immutable and append-only entries lose their flag if
/// this process may take it. Goes on after a failure with everything else, and can be called again.
///
/// # Errors
/// The first of what could not be removed.
pub fn remove_tree(path: &Path) -> Result<(), NotRemoved> {
    remove(path, None).map(|_| ())
}

/// The same for so long and no longer. Answers whether all of it is gone; else what is left is a smaller tree.
///
/// # Errors
/// The first of what could not be removed, once all else is gone or nothing else goes.
pub(super) fn remove_tree_within(path: &Path, time: Duration) -> Result<bool, NotRemoved> {
    remove(path, Some(Instant::now() + time))
}

fn remove(path: &Path, until: Option<Instant>) -> Result<bool, NotRemoved> {
    let failed = |errno| NotRemoved { errno, name: CString::new(path.as_os_str().as_bytes()).unwrap_or_default() };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(failed(Errno::INVAL)) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    match rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(parent) => remove_at(parent.as_fd(), name.as_bytes(), until),
        Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(failed(errno)),
    }
}

/// Removes the entry `name` of a folder with all that is in it, as [`remove_tree`] does.
///
/// # Errors
/// The first of what could not be removed.
pub fn remove_tree_at(dir: impl AsFd, name: &[u8]) -> Result<(), NotRemoved> {
    remove_at(dir.as_fd(), name, None).map(|_| ())
}

fn remove_at(dir: BorrowedFd<'_>, name: &[u8], until: Option<Instant>) -> Result<bool, NotRemoved> {
    let invalid = || NotRemoved { errno: Errno::INVAL, name: CString::default() };
    let name = CString::new(name).map_err(|_| invalid())?;
    if name.is_empty() || name.as_bytes().contains(&b'/') || matches!(name.as_bytes(), b"." | b"..") {
        return Err(invalid());
    }
    let mut removal = Removal { above: dir, levels: Vec::new(), moved: 0, found: PassOutcome::default(), until };
    let is_done = removal.run(&name);
    match removal.found.left {
        // Without progress another try would be as long.
        Some(left) if is_done || !removal.found.progress => Err(left),
        _ => Ok(is_done),
    }
}

struct Removal<'a> {
    /// Where the tree is.
    above: BorrowedFd<'a>,
    /// Open folders, each in the one before it.
    levels: Vec<OpenFolder>,
    /// Folders that were moved up; the next one's name.
    moved: u64,
    found: PassOutcome,
    /// When it stops; never if there is none.
    until: Option<Instant>,
}

#[derive(Default)]
struct PassOutcome {
    /// The first entry that can't be removed.
    left: Option<NotRemoved>,
    /// Whether any entry went.
    progress: bool,
}

/// A folder that is being emptied.
struct OpenFolder {
    dir: OwnedFd,
    name: CString,
    /// Since its listing was begun: what is left in it may be new.
    changed: bool,
    /// Listings without a folder moved here, which only somebody else's new entries make necessary.
    listings: u32,
}

impl OpenFolder {
    /// Removes what is listed, up to the next folder with something in it, or until it is late.
    fn next(
        &mut self,
        buffer: &mut Buffer,
        found: &mut PassOutcome,
        until: Option<Instant>,
    ) -> rustix::io::Result<Next> {
        let dir = self.dir.as_fd();
        let next = buffer.list(dir, |name, kind| {
            if is_late(until) {
                return Some(Next::Late);
            }
            match take(dir, name, kind) {
                Ok(RemovalOutcome::Gone) => {
                    self.changed = true;
                    found.progress = true;
                    None
                }
                Ok(RemovalOutcome::Full) => Some(Next::Folder(name.to_owned())),
                Err(errno) => {
                    found.failed(name, errno);
                    None
                }
            }
        });
        Ok(next?.unwrap_or(Next::End))
    }
}

/// What comes next in a folder.
enum Next {
    Folder(CString),
    /// All of it was listed.
    End,
    /// The removal's time is over.
    Late,
}

fn is_late(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// What became of an entry.
enum RemovalOutcome {
    Gone,
    /// A folder with something in it.
    Full,
}

impl Removal<'_> {
    /// Answers whether it came to its end.
    fn run(&mut self, name: &CStr) -> bool {
        let mut buffer = Buffer::new();
        match take(self.above, name, FileType::Unknown) {
            Ok(RemovalOutcome::Gone) => return true,
            Ok(RemovalOutcome::Full) => self.enter(name),
            Err(errno) => self.failed(name, errno),
        }
        while let Some(level) = self.levels.last_mut() {
            match level.next(&mut buffer, &mut self.found, self.until) {
                Ok(Next::Folder(child)) if self.levels.len() < TREE_OPEN_FOLDERS => self.enter(&child),
                Ok(Next::Folder(child)) => self.move_up(&child),
                Ok(Next::End) => self.leave(),
                Ok(Next::Late) => return false,
                Err(errno) => {
                    if let Some(level) = self.levels.pop() {
                        self.failed(&level.name, errno);
                    }
                }
            }
        }
        true
    }

    fn enter(&mut self, name: &CStr) {
        let parent = self.levels.last().map_or(self.above, |level| level.dir.as_fd());
        match open::folder(parent, name) {
            Ok(dir) => self.levels.push(OpenFolder { dir, name: name.to_owned(), changed: false, listings: 0 }),
            Err(Errno::NOENT) => {}
            Err(errno) => self.failed(name, errno),
        }
    }

    /// Removes the last level, which was listed to its end.
    fn leave(&mut self) {
        let Some(mut level) = self.levels.pop() else { return };
        let (parent, above) = match self.levels.last_mut() {
            Some(level) => (level.dir.as_fd(), Some(&mut level.changed)),
            None => (self.above, None),
        };
        match unlink(parent, &level.name, AtFlags::REMOVEDIR) {
            Ok(()) => {
                self.found.progress = true;
                if let Some(changed) = above {
                    *changed = true;
                }
            }
            Err(Errno::NOTEMPTY | Errno::EXIST) if level.changed && level.listings < TREE_LISTINGS => {
                match rustix::fs::seek(&level.dir, rustix::fs::SeekFrom::Start(0)) {
                    Ok(_) => {
                        level.changed = false;
                        level.listings += 1;
                        self.levels.push(level);
                    }
                    Err(errno) => self.failed(&level.name, errno),
                }
            }
            // Because of what was noted already.
            Err(Errno::NOTEMPTY | Errno::EXIST) if self.found.left.is_some() => {}
            Err(errno) => self.failed(&level.name, errno),
        }
    }

    /// Moves a folder of the last level to the first one that takes it: a full or limited disk may refuse it in some.
    fn move_up(&mut self, child: &CStr) {
        let Some((last, above)) = self.levels.split_last_mut() else { return };
        let mut refused = Errno::MLINK;
        for level in above {
            for _ in 0..2 {
                let Ok(name) = CString::new(format!(".deep-{}", self.moved)) else { return };
                self.moved += 1;
                match moved(&last.dir, child, &level.dir, &name) {
                    Ok(()) => {
                        level.changed = true;
                        level.listings = 0;
                        last.changed = true;
                        return;
                    }
                    Err(Errno::NOENT) => return,
                    // Of that name there is something already, if only from a removal that died.
                    Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                    Err(errno) => {
                        refused = errno;
                        break;
                    }
                }
            }
        }
        self.failed(child, refused);
    }

    fn failed(&mut self, name: &CStr, errno: Errno) {
        self.found.failed(name, errno);
    }
}

impl PassOutcome {
    fn failed(&mut self, name: &CStr, errno: Errno) {
        self.left.get_or_insert_with(|| NotRemoved { errno, name: name.to_owned() });
    }
}

/// Removes an entry unless it is a folder with something in it.
fn take(dir: BorrowedFd<'_>, name: &CStr, kind: FileType) -> rustix::io::Result<RemovalOutcome> {
    if kind != FileType::Directory {
        match unlink(dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {}
            other => return other.map(|()| RemovalOutcome::Gone),
        }
    }
    match unlink(dir, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(RemovalOutcome::Full),
        other => other.map(|()| RemovalOutcome::Gone),
    }
}

fn unlink(dir: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> rustix::io::Result<()> {
    let outcome = match rustix::fs::unlinkat(dir, name, flags) {
        Err(Errno::PERM) => {
            permit(dir, name);
            rustix::fs::unlinkat(dir, name, flags)
        }
        other => other,
    };
    if outcome == Err(Errno::NOENT) { Ok(()) } else { outcome }
}

fn moved(from: &OwnedFd, name: &CStr, to: &OwnedFd, new: &CStr) -> rustix::io::Result<()> {
    match rustix::fs::renameat(from, name, to, new) {
        Err(Errno::PERM | Errno::XDEV) => {
            permit(from.as_fd(), name);
            clear(to);
            rustix::fs::renameat(from, name, to, new)
        }
        other => other,
    }
}

/// Takes the flags of a folder and of one of its entries that forbid to remove the entry. Whether it helped shows when
/// that is tried.
fn permit(dir: BorrowedFd<'_>, name: &CStr) {
    clear(dir);
    let handle = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(entry) = rustix::fs::openat(dir, name, handle, Mode::empty()) else { return };
    let Ok(found) = rustix::fs::fstat(&entry) else { return };
    // To open anything else may do something.
    if !matches!(FileType::from_raw_mode(found.st_mode), FileType::RegularFile | FileType::Directory) {
        return;
    }
    let readable = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let path = format!("/proc/self/fd/{}", entry.as_raw_fd());
    if let Ok(file) = rustix::fs::open(path, readable, Mode::empty()) {
        clear(file);
    }
}

fn clear(file: impl AsFd) {
    if let Ok(flags) = rustix::fs::ioctl_getflags(&file)
        && flags.intersects(FORBIDDING)
    {
        let _ = rustix::fs::ioctl_setflags(&file, flags.difference(FORBIDDING));
    }
}
