//! One extended attribute for all of a tree, set while others go on changing it.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, Stat, XattrFlags, getxattr, lgetxattr, lsetxattr, openat2, setxattr,
};
use rustix::io::Errno;

use super::walk::{Visit, walk};

/// How far a tree was labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labelled {
    /// All that was seen has it.
    Whole,
    /// `go_on` said no, or somebody moved what was being looked at: another call goes on with what is left.
    Part,
    /// The file system has no such attributes.
    Unsupported,
}

/// Gives `root`, a folder or a file, and all below it the extended attribute; what has it already is left alone. No
/// link is followed, no mount is entered. `go_on` is asked at each entry.
///
/// # Errors
/// `root` can't be opened, as when a symbolic link is on its way, or an attribute can't be set; then some may have it.
pub fn label_tree(root: &Path, name: &str, value: &[u8], go_on: impl FnMut() -> bool) -> io::Result<Labelled> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = openat2(CWD, root, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&top)?.st_mode);
    if kind == FileType::Directory {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&top, c".", flags, Mode::empty())?;
        let mut label = TreeLabels { name, value, go_on, failed: None };
        let whole = walk(dir, &mut label)?;
        match label.failed {
            Some(Errno::NOTSUP) => return Ok(Labelled::Unsupported),
            Some(errno) => return Err(errno.into()),
            None if !whole => return Ok(Labelled::Part),
            None => {}
        }
    }
    // That link leads to what was opened, and no further.
    let path = of_descriptor(top.as_fd());
    let mut is = vec![0; value.len() + 1];
    if getxattr(&path, name, &mut is[..]).is_ok_and(|len| is_value(&is[..len], value)) {
        return Ok(Labelled::Whole);
    }
    match setxattr(&path, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(Labelled::Whole),
        Err(Errno::NOTSUP) => Ok(Labelled::Unsupported),
        Err(errno) => Err(errno.into()),
    }
}

struct TreeLabels<'a, F> {
    name: &'a str,
    value: &'a [u8],
    go_on: F,
    failed: Option<Errno>,
}

impl<F: FnMut() -> bool> Visit for TreeLabels<'_, F> {
    fn goes_on(&mut self) -> bool {
        self.failed.is_none() && (self.go_on)()
    }

    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, _: &Stat) {
        let path = of_descriptor(dir).join(OsStr::from_bytes(name.to_bytes()));
        let mut is = vec![0; self.value.len() + 1];
        if lgetxattr(&path, self.name, &mut is[..]).is_ok_and(|len| is_value(&is[..len], self.value)) {
            return;
        }
        match lsetxattr(&path, self.name, self.value, XattrFlags::empty()) {
            // Gone meanwhile, or a mount point of another kind.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => self.failed = Some(errno),
        }
    }
}

/// Where the kernel shows what is open.
fn of_descriptor(of: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", of.as_raw_fd()))
}

/// Some write the NUL behind it, and some do not.
fn is_value(is: &[u8], value: &[u8]) -> bool {
    is.strip_suffix(&[0]).unwrap_or(is) == value
}
