//! The groups of a subtree. A container that may write to its groups nests them as it likes: deeper than paths are
//! long, and frozen at every level.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::GroupError;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A group on the way down, and what of it is still to be visited.
struct WalkLevel {
    name: OsString,
    below: Vec<OsString>,
}

/// Calls `visit` for a directory and all below it, children first. One directory is open at a time, and the paths that
/// `visit` gets are short, whatever the depth. Goes on over errors and answers the first; a group that vanishes on the
/// way is skipped.
pub(crate) fn walk(root: &Path, visit: &mut impl FnMut(&Path) -> Result<(), GroupError>) -> Result<(), GroupError> {
    let of = |doing| move |errno: Errno| GroupError::of(doing, root)(errno.into());
    let mut first = Ok(());
    let mut dir = match rustix::fs::openat(CWD, root, FOLDER, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(of("open")(errno)),
    };
    let mut levels = vec![WalkLevel { name: OsString::new(), below: below(&dir).map_err(of("list"))? }];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.below.pop() {
            match rustix::fs::openat(&dir, &name, FOLDER, Mode::empty()).and_then(|dir| Ok((below(&dir)?, dir))) {
                Ok((below, child)) => {
                    levels.push(WalkLevel { name, below });
                    dir = child;
                }
                Err(Errno::NOENT) => {}
                Err(errno) => first = first.and(Err(of("list what is below")(errno))),
            }
            continue;
        }
        let Some(level) = levels.pop() else { break };
        if levels.is_empty() {
            return first.and(visit(root));
        }
        // No group changes its parent: this is where we came from.
        dir = rustix::fs::openat(&dir, c"..", FOLDER, Mode::empty()).map_err(of("go back in"))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(&level.name);
        first = first.and(visit(&path).map_err(|error| error.below(root)));
    }
    first
}

/// The names of the groups right below.
fn below(dir: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        match entry {
            Ok(entry) if entry.file_type() == FileType::Directory => {
                let name = entry.file_name().to_bytes();
                if name != b"." && name != b".." {
                    names.push(OsString::from_vec(name.to_vec()));
                }
            }
            Ok(_) => {}
            // It was removed meanwhile: nothing is in it.
            Err(Errno::NOENT) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(names)
}
