//! Folders of an image's volumes: found in its layers, or made in a container's writable layer.

use crate::model::Rootfs;
use crate::rootfs::Writable;
use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// As `mkdir -p` makes them.
const MODE: Mode = Mode::from_raw_mode(0o755);

impl Rootfs {
    /// Where these absolute paths lead to within the image, each without symbolic links. What is in no layer is made in
    /// the container's writable layer, the last folder of each path with that owner. `None` where the image has
    /// something else than a folder, or a link to nowhere.
    ///
    /// Blocks for a moment. Nobody else may have mounted the writable layer meanwhile.
    ///
    /// # Errors
    /// The kernel's.
    pub fn folders(
        &self,
        paths: &[PathBuf],
        writable: &Writable<'_>,
        owner: (u32, u32),
    ) -> io::Result<Vec<Option<PathBuf>>> {
        let image = self.open()?;
        let found: Result<Vec<_>, Errno> = paths.iter().map(|path| find(&image, path)).collect();
        match found {
            Ok(found) => found.iter().map(|folder| place(&image, folder.as_ref())).collect(),
            Err(Errno::NOENT) => {
                let merged = self.open_writable(writable)?;
                let made = paths.iter().map(|path| place(&merged, make(&merged, path, owner)?.as_ref())).collect();
                drop(merged);
                writable.forget_volatile()?;
                made
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn open(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path.strip_prefix("/").unwrap_or(path), FOLDER, Mode::empty(), resolve)
}

/// `NOENT` if it is in no layer.
fn find(root: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>, Errno> {
    match open(root, path) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error),
    }
}

fn make(root: &OwnedFd, path: &Path, (uid, gid): (u32, u32)) -> io::Result<Option<OwnedFd>> {
    let mut so_far = PathBuf::from("/");
    let mut parent: Option<OwnedFd> = None;
    for part in path.strip_prefix("/").unwrap_or(path) {
        so_far.push(part);
        let next = match find(root, &so_far) {
            Ok(Some(folder)) => folder,
            Ok(None) => return Ok(None),
            Err(Errno::NOENT) => {
                let parent: BorrowedFd<'_> = rustix::fd::AsFd::as_fd(parent.as_ref().unwrap_or(root));
                match rustix::fs::mkdirat(parent, part, MODE) {
                    Ok(()) => {}
                    // A link to nowhere.
                    Err(Errno::EXIST) => return Ok(None),
                    Err(error) => return Err(error.into()),
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let made = rustix::fs::openat(parent, part, flags, Mode::empty())?;
                if so_far == path {
                    rustix::fs::fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
                }
                // Whatever the umask is.
                rustix::fs::fchmod(&made, MODE)?;
                made
            }
            Err(error) => return Err(error.into()),
        };
        parent = Some(next);
    }
    Ok(parent)
}

/// The folder's path within the root.
fn place(root: &OwnedFd, folder: Option<&OwnedFd>) -> io::Result<Option<PathBuf>> {
    let Some(folder) = folder else { return Ok(None) };
    let path = |fd: &OwnedFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let (root, folder) = (path(root)?, path(folder)?);
    let inside = folder.strip_prefix(&root).map_err(|_| io::Error::other("a folder of the image is outside of it"))?;
    Ok(Some(Path::new("/").join(inside)))
}
