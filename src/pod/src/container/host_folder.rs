//! Folders of the node that a volume names and that are not there: made as every runtime of the field makes them, by
//! `mkdir -p` for everyone to read. Manifests of network agents and log shippers count on it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, SFlag};

use crate::bounds::MADE_FOLDERS;

/// Where links are followed on the way: distributions have theirs there (`/var/run`), and what a container can write to
/// is deeper.
const LINKS_IN: [&str; 2] = ["/", "/var"];
/// How many such links lead to each other.
const HOPS: usize = 8;

/// Why a folder is not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("{} is a symbolic link, and a folder is not made through one that a container might have placed: \
             make it on the node",
        peapod_text::excerpt(.0))]
    Link(PathBuf),
    #[error("{} is no folder", peapod_text::excerpt(.0))]
    NoFolder(PathBuf),
    #[error("more than {MADE_FOLDERS} folders of it are not there: make them on the node")]
    TooDeep,
    #[error("{step} {}: {source}", peapod_text::excerpt(path))]
    Io { step: &'static str, path: PathBuf, source: io::Error },
}

/// What to do about folders that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// Nothing: it is only looked whether they could be made.
    Leave,
    /// Make them.
    Make,
}

/// Goes to an absolute path in normal form, and makes what is missing of it if that is wanted. Where that is, without
/// symbolic links.
pub(super) fn go(path: &Path, absent: Absent) -> Result<PathBuf, FolderError> {
    let mut path = path.to_path_buf();
    for _ in 0..HOPS {
        match walk(&path, absent)? {
            None => return Ok(path),
            Some(elsewhere) => path = elsewhere,
        }
    }
    Err(FolderError::Link(path))
}

/// One try; the path to try next, if there is a link on the way that may be followed.
fn walk(path: &Path, absent: Absent) -> Result<Option<PathBuf>, FolderError> {
    let mut at = PathBuf::from("/");
    let mut folder = open(None, OsStr::new("/")).map_err(|errno| FolderError::io("open", &at, errno))?;
    let mut parts = path.strip_prefix("/").unwrap_or(path).iter();
    while let Some(part) = parts.next() {
        let parent = at.clone();
        at.push(part);
        folder = match open(Some(&folder), part) {
            Ok(next) => next,
            Err(Errno::ENOENT) if 1 + parts.clone().count() > MADE_FOLDERS => return Err(FolderError::TooDeep),
            Err(Errno::ENOENT) if absent == Absent::Leave => return Ok(None),
            Err(Errno::ENOENT) => make(&folder, part).map_err(|errno| FolderError::io("make", &at, errno))?,
            Err(Errno::ENOTDIR | Errno::ELOOP) if is_link(&folder, part) => {
                if !LINKS_IN.iter().any(|trusted| Path::new(trusted) == parent) {
                    return Err(FolderError::Link(at));
                }
                let target = nix::fcntl::readlinkat(&folder, part).map_err(|e| FolderError::io("read", &at, e))?;
                return Ok(Some(peapod_spec::normal_path(parent.join(target).join(parts.as_path()))));
            }
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(FolderError::NoFolder(at)),
            Err(errno) => return Err(FolderError::io("open", &at, errno)),
        };
    }
    Ok(None)
}

fn open(parent: Option<&OwnedFd>, name: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match parent {
        Some(parent) => nix::fcntl::openat(parent, name, flags, Mode::empty()),
        None => nix::fcntl::open(name, flags, Mode::empty()),
    }
}

fn make(parent: &OwnedFd, name: &OsStr) -> nix::Result<OwnedFd> {
    let mode = Mode::from_bits_truncate(0o755);
    match nix::sys::stat::mkdirat(parent, name, mode) {
        // Somebody else was quicker.
        Err(Errno::EEXIST) => return open(Some(parent), name),
        other => other?,
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let made = nix::fcntl::openat(parent, name, flags, Mode::empty())?;
    // Whatever the umask is.
    nix::sys::stat::fchmod(&made, mode)?;
    Ok(made)
}

fn is_link(parent: &OwnedFd, name: &OsStr) -> bool {
    nix::sys::stat::fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|found| SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFLNK)
}

impl FolderError {
    fn io(step: &'static str, path: &Path, errno: Errno) -> Self {
        Self::Io { step, path: path.to_path_buf(), source: errno.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn folders_are_made_for_everyone_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let path = dir.join("a/b/c");
        assert_eq!(go(&path, Absent::Leave).unwrap(), path);
        assert!(!dir.join("a").exists());
        go(&path, Absent::Make).unwrap();
        go(&path, Absent::Make).unwrap();
        for made in [&path, &dir.join("a")] {
            assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o7777, 0o755);
        }
    }

    #[test]
    fn nothing_is_made_through_links_or_below_files() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("node")).unwrap();
        symlink(dir.join("node"), dir.join("planted")).unwrap();
        symlink("/nowhere", dir.join("dangling")).unwrap();
        std::fs::write(dir.join("file"), "").unwrap();
        let refused = |name: &str| go(&dir.join(name), Absent::Make).unwrap_err().to_string();
        assert!(refused("planted/cron.d").contains("symbolic link"));
        assert!(refused("dangling").contains("symbolic link"));
        assert!(refused("file/below").contains("is no folder"));
        assert!(refused(&"x/".repeat(MADE_FOLDERS + 1)).contains("more than"));
        assert_eq!(std::fs::read_dir(dir.join("node")).unwrap().count(), 0);
        assert!(!dir.join("x").exists());
    }
}
