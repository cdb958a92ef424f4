//! `mount_setattr(2)`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The kernel's `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;

/// Makes a mount read-only, given by a descriptor from `open_tree` or `fsmount`.
///
/// # Errors
/// What the kernel says.
pub fn make_read_only(mount: impl AsFd) -> io::Result<()> {
    set(mount.as_fd(), &MountAttr { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, userns_fd: 0 })
}

/// Has a mount, given by a descriptor from `open_tree` and attached nowhere yet, show its files with the owners that
/// they have in a user namespace, and makes it read-only.
///
/// # Errors
/// What the kernel says: `EINVAL` where the file system can't do it.
pub fn map_owners(mount: impl AsFd, users: impl AsFd) -> io::Result<()> {
    let userns_fd = u64::from(users.as_fd().as_raw_fd().cast_unsigned());
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_IDMAP;
    set(mount.as_fd(), &MountAttr { set: attributes, clear: 0, propagation: 0, userns_fd })
}

fn set(mount: BorrowedFd<'_>, attr: &MountAttr) -> io::Result<()> {
    // SAFETY: the path is a C string, the structure is the kernel's by layout and size, and both outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
