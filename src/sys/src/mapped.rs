//! Folders whose files are seen with the owners that they have in a user namespace, by a mount and not by changing
//! them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::mount::map_owners;

/// Folders, seen so at another place, read-only. Unmounted when this is dropped; an overlay that was made of them goes
/// on without it.
#[derive(Debug)]
pub struct MappedFolders {
    at: PathBuf,
    folders: Vec<PathBuf>,
}

/// A mount of a folder's own, attached nowhere, that shows its files with the owners of a user namespace and is
/// read-only.
///
/// # Errors
/// The kernel's: `EINVAL` where the folder's file system can't do it.
pub fn mapped(folder: &Path, users: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, folder, flags)?;
    map_owners(&mount, users)?;
    Ok(mount)
}

impl MappedFolders {
    /// Sees these folders, all of one mount, with the owners of a user namespace. The place is made for it; what an
    /// earlier try has left mounted there is unmounted. The names of each folder and the one that it is in are part of
    /// its path there, too: who looks for them among an overlay's options finds them.
    ///
    /// # Errors
    /// No folders, or folders of several mounts; the kernel's.
    pub fn mount(folders: &[PathBuf], users: impl AsFd, at: &Path) -> io::Result<Self> {
        let (above, mount) = above(folders)?;
        for folder in folders {
            if mount_id(folder)? != mount {
                let (folder, above) = (folder.display(), above.display());
                return Err(io::Error::other(format!("{folder} is on another mount than {above}")));
            }
        }
        let tree = mapped(above, users).map_err(|error| unmappable(&error, above))?;
        let inside = |folder: &PathBuf| at.join(folder.strip_prefix(above).unwrap_or(Path::new("")));
        let mapped = Self { at: at.to_owned(), folders: folders.iter().map(inside).collect() };
        Self::clear(at)?;
        std::fs::create_dir(at)?;
        move_mount(&tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        Ok(mapped)
    }

    /// The folders as they are seen so, in their order.
    #[must_use]
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// Takes away what a process that was killed has left at such a place. Nothing there is success.
    ///
    /// # Errors
    /// The kernel's.
    pub fn clear(at: &Path) -> io::Result<()> {
        use nix::errno::Errno;
        match umount2(at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // EINVAL: no mount point.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        match std::fs::remove_dir(at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for MappedFolders {
    fn drop(&mut self) {
        // Who goes on in that place finds it, and clears it.
        let _ = Self::clear(&self.at);
    }
}

/// What is mounted to see the folders, and the mount that it is on: the deepest folder in which all of them are, and at
/// least two above each, as far as the mount goes.
fn above(folders: &[PathBuf]) -> io::Result<(&Path, u64)> {
    let deepest = common(folders).ok_or_else(|| io::Error::other("no folders"))?;
    let mount = mount_id(deepest)?;
    let names = |above: &Path| {
        let names = folders.iter().filter_map(|folder| Some(folder.strip_prefix(above).ok()?.components().count()));
        names.min().unwrap_or(0)
    };
    let mut above = deepest;
    while names(above) < 2
        && let Some(parent) = above.parent()
        && mount_id(parent)? == mount
    {
        above = parent;
    }
    Ok((above, mount))
}

/// The deepest folder in which all of them are, itself included.
fn common(folders: &[PathBuf]) -> Option<&Path> {
    let (first, others) = folders.split_first()?;
    first.ancestors().find(|above| others.iter().all(|other| other.starts_with(above)))
}

fn mount_id(path: &Path) -> io::Result<u64> {
    Ok(statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Why [`mapped`] has failed, for a person.
#[must_use]
pub fn unmappable(error: &io::Error, folder: &Path) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::EINVAL) => "its file system can't map owners: ext4, xfs, btrfs and others can".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("{} can't be mounted for users of a pod's own: {why}", folder.display()))
}
