//! Folders of an image's volumes: found in its layers, or made in a container's writable layer.

use crate::model::Rootfs;
use crate::rootfs::Writable;
use peapod_sys::{MappedFolders, fail_point};
use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// As `mkdir -p` makes them.
const MODE: Mode = Mode::from_raw_mode(0o755);

/// Whose the folders are that are made, as the node's users and groups.
#[derive(Clone, Copy, Debug)]
pub struct FolderOwners<'a> {
    /// Of each path's last folder.
    pub owner: (u32, u32),
    /// Of those above it: root of the container.
    pub root: (u32, u32),
    /// A container with users of its own sees what the layers hold with the owners of this namespace, and so is that
    /// what is copied up to the writable layer; with a place where they can be mounted for it.
    pub mapped: Option<(BorrowedFd<'a>, &'a Path)>,
}

impl Rootfs {
    /// Where these absolute paths lead to within the image, each without symbolic links. What is in no layer is made in
    /// the container's writable layer, the last folder of each path with its owner. `None` where the image has
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
        owners: &FolderOwners<'_>,
    ) -> io::Result<Vec<Option<PathBuf>>> {
        let image = self.open()?;
        let found: Result<Vec<_>, Errno> = paths.iter().map(|path| find(&image, path)).collect();
        match found {
            Ok(found) => found.iter().map(|folder| place(&image, folder.as_ref())).collect(),
            Err(Errno::NOENT) => {
                let mapped = owners.mapped.map(|(users, at)| MappedFolders::mount(&self.lower_dirs, users, at));
                let mapped = mapped.transpose()?;
                fail_point("volumes-layers");
                let merged = match &mapped {
                    None => self.open_writable(writable)?,
                    Some(mapped) => Self { lower_dirs: mapped.folders().to_vec() }.open_writable(writable)?,
                };
                let made = paths.iter().map(|path| place(&merged, make(&merged, path, owners)?.as_ref())).collect();
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

fn make(root: &OwnedFd, path: &Path, owners: &FolderOwners<'_>) -> io::Result<Option<OwnedFd>> {
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
                let (uid, gid) = if so_far == path { owners.owner } else { owners.root };
                rustix::fs::fchown(&made, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
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
