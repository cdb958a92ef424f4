//! Mounts of this node that a pod's volumes need, and their end.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use peapod_sys::mountinfo::Mounts;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};

/// Mounts a folder in memory on another one, whose files never come to a disk where the kernel keeps them from swap.
pub(super) fn memory(folder: &Path, mode: u32, size: Option<u64>) -> io::Result<()> {
    let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
    let mount = |further: &str| -> io::Result<()> {
        let options = std::ffi::CString::new(format!("mode={mode:o}{size}{further}"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        Ok(rustix::mount::mount("tmpfs", folder, "tmpfs", flags, options.as_c_str())?)
    };
    match mount(",noswap") {
        // Linux has it since 6.4.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => mount(""),
        other => other,
    }
}

/// Shows an open file or folder at a path as well.
pub(super) fn bind(source: impl AsFd, target: &Path) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(source, "", flags)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(&tree, "", rustix::fs::CWD, target, flags)?)
}

/// Ends what is mounted at a path, if something is.
pub(super) fn unmount(target: &Path) -> io::Result<()> {
    match rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        // Nothing is mounted there, or there is no such path.
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Ends all that is mounted below a folder.
pub(super) fn unmount_below(folder: &Path) -> io::Result<()> {
    // A link in the folder's place leads to mounts of others.
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    let folder = match fs::canonicalize(above) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?.join(name),
    };
    let mut below: Vec<PathBuf> = Vec::new();
    let mut table = Mounts::open()?;
    while let Some(mount) = table.next_mount()? {
        let target = mount.target();
        if target.starts_with(&folder) && *target != *folder {
            below.push(target.into_owned());
        }
    }
    // What was mounted last lies on top.
    below.iter().rev().try_for_each(|target| unmount(target))
}
