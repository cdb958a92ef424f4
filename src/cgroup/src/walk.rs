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
    walk_while(root, || true, visit).map(drop)
}

/// The same, as long as `go_on`, which is asked at each directory on the way down and for each name in it. Answers
/// whether it went on to the end.
pub(crate) fn walk_while(
    root: &Path,
    mut go_on: impl FnMut() -> bool,
    visit: &mut impl FnMut(&Path) -> Result<(), GroupError>,
) -> Result<bool, GroupError> {
    let of = |doing| move |errno: Errno| GroupError::of(doing, root)(errno.into());
    let mut first = Ok(());
    let mut dir = match rustix::fs::openat(CWD, root, FOLDER, Mode::empty()) {
        Ok(dir) => dir,
        Err(Errno::NOENT) => return Ok(true),
        Err(errno) => return Err(of("open")(errno)),
    };
    let top = below(&dir, &mut go_on).map_err(of("list"))?;
    let mut levels = vec![WalkLevel { name: OsString::new(), below: top }];
    while let Some(level) = levels.last_mut() {
        if !go_on() {
            return first.map(|()| false);
        }
        if let Some(name) = level.below.pop() {
            let opened = rustix::fs::openat(&dir, &name, FOLDER, Mode::empty());
            match opened.and_then(|dir| Ok((below(&dir, &mut go_on)?, dir))) {
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
            return first.and(visit(root)).map(|()| true);
        }
        // No group changes its parent: this is where we came from.
        dir = rustix::fs::openat(&dir, c"..", FOLDER, Mode::empty()).map_err(of("go back in"))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(&level.name);
        first = first.and(visit(&path).map_err(|error| error.below(root)));
    }
    first.map(|()| true)
}

/// The names of the groups right below, or some of them.
fn below(dir: &OwnedFd, go_on: &mut impl FnMut() -> bool) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        if !go_on() {
            break;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_ends_when_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::create_dir_all(dir.path().join(name).join("below")).unwrap();
        }
        let visits = |most: usize| {
            let (mut asked, mut visited) = (0, 0);
            let go_on = || {
                asked += 1;
                asked <= most
            };
            let whole = walk_while(dir.path(), go_on, &mut |_| {
                visited += 1;
                Ok(())
            });
            (whole.unwrap(), visited)
        };
        assert_eq!(visits(usize::MAX), (true, 7));
        // In the middle of a list, too: what is left of it then is no whole.
        for most in 0..12 {
            let (whole, visited) = visits(most);
            assert!(!whole && visited < 7, "{most}: {visited}");
        }
        assert!(walk_while(&dir.path().join("gone"), || false, &mut |_| Ok(())).unwrap());
    }
}
