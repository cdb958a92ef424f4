//! One extended attribute for all of a tree, set while others go on changing it.

use std::ffi::{CStr, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, Statx, XattrFlags, getxattr, lgetxattr, lsetxattr, openat2, setxattr,
};
use rustix::io::Errno;

use super::walk::{Unseen, Visit, of_descriptor, path_in, walk};

/// How far a tree was labelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labelled {
    /// All that was seen has it, now or since an earlier call.
    Whole,
    /// The root has it not: another call goes on with what is left.
    Part(Unseen),
    /// The file system has no such attributes.
    Unsupported,
}

/// An attribute can't be set.
#[derive(Debug)]
pub struct NotLabelled {
    /// Of what.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for NotLabelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for NotLabelled {}

/// Gives `root`, a folder or a file, and all below it the extended attribute. The root comes last: where that has it
/// nothing else is looked at, and of the rest what has it is left alone. No link is followed, no mount is entered.
/// `go_on` is asked at each entry, and told how many were given it.
///
/// # Errors
/// `root` can't be opened, as when a symbolic link is on its way, or an attribute can't be set; then some may have it.
pub fn label_tree(
    root: &Path,
    name: &str,
    value: &[u8],
    go_on: impl FnMut(u64) -> bool,
) -> Result<Labelled, NotLabelled> {
    let failed = |errno: Errno| NotLabelled { path: root.to_owned(), source: errno.into() };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = openat2(CWD, root, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).map_err(failed)?;
    // That link leads to what was opened, and no further.
    let path = of_descriptor(top.as_fd());
    let mut is = vec![0; value.len() + 1];
    if getxattr(&path, name, &mut is[..]).is_ok_and(|len| is_value(&is[..len], value)) {
        return Ok(Labelled::Whole);
    }
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&top).map_err(failed)?.st_mode);
    if kind == FileType::Directory {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(&top, c".", flags, Mode::empty()).map_err(failed)?;
        let mut label = TreeLabels { name, value, go_on, set: 0, failed: None };
        let unseen = walk(dir, &mut label).map_err(failed)?;
        match (label.failed, unseen) {
            (Some((_, Errno::NOTSUP)), _) => return Ok(Labelled::Unsupported),
            (Some((path, errno)), _) => return Err(NotLabelled { path, source: errno.into() }),
            (None, Some(unseen)) => return Ok(Labelled::Part(unseen)),
            (None, None) => {}
        }
    }
    match setxattr(&path, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(Labelled::Whole),
        Err(Errno::NOTSUP) => Ok(Labelled::Unsupported),
        Err(errno) => Err(failed(errno)),
    }
}

struct TreeLabels<'a, F> {
    name: &'a str,
    value: &'a [u8],
    go_on: F,
    set: u64,
    failed: Option<(PathBuf, Errno)>,
}

impl<F: FnMut(u64) -> bool> Visit for TreeLabels<'_, F> {
    fn goes_on(&mut self) -> bool {
        self.failed.is_none() && (self.go_on)(self.set)
    }

    fn entry(&mut self, dir: BorrowedFd<'_>, name: &CStr, _: &Statx) {
        let path = of_descriptor(dir).join(OsStr::from_bytes(name.to_bytes()));
        let mut is = vec![0; self.value.len() + 1];
        if lgetxattr(&path, self.name, &mut is[..]).is_ok_and(|len| is_value(&is[..len], self.value)) {
            return;
        }
        match lsetxattr(&path, self.name, self.value, XattrFlags::empty()) {
            Ok(()) => self.set += 1,
            // Gone meanwhile.
            Err(Errno::NOENT) => {}
            Err(errno) => self.failed = Some((path_in(dir, name), errno)),
        }
    }
}

/// Some write the NUL behind it, and some do not.
fn is_value(is: &[u8], value: &[u8]) -> bool {
    is.strip_suffix(&[0]).unwrap_or(is) == value
}
