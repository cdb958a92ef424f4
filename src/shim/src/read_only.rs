//! Files of the node that a container may reach, and must not change.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

/// Opens a file through a read-only mount of its own, which is nowhere in the tree and, when this returns, in no mount
/// namespace: nobody can mount it anew with other flags.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount: OwnedFd = open_tree(CWD, path, flags)?;
    peapod_sys::make_read_only(&mount)?;
    File::open(format!("/proc/self/fd/{}", mount.as_raw_fd()))
}
