//! Removing trees, without following any link and without recursion on the stack of a hostile depth.

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes what is at `path`, if anything is.
pub(crate) fn remove_tree(path: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidInput));
    };
    match rustix::fs::open(parent, LIST, Mode::empty()) {
        Ok(parent) => Ok(remove_tree_at(&parent, name.as_bytes())?),
        Err(Errno::NOENT) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// Removes `name` in `dir` with all that is in it.
pub(super) fn remove_tree_at(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(other) => return Err(other),
    }
    // Names that are refused when unpacking keep the depth, and so the number of open descriptors, below 300.
    let mut stack = vec![Level::open(dir.as_fd(), name.to_vec())?];
    while let Some(mut level) = stack.pop() {
        if let Some(child) = level.children.pop() {
            let inner = Level::open(level.fd.as_fd(), child)?;
            stack.push(level);
            stack.push(inner);
            continue;
        }
        let parent = stack.last().map_or_else(|| dir.as_fd(), |parent| parent.fd.as_fd());
        match rustix::fs::unlinkat(parent, level.name.as_slice(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// A directory whose files are gone and whose directories are still to go.
struct Level {
    fd: OwnedFd,
    name: Vec<u8>,
    children: Vec<Vec<u8>>,
}

impl Level {
    fn open(parent: BorrowedFd<'_>, name: Vec<u8>) -> rustix::io::Result<Self> {
        let fd = rustix::fs::openat(parent, name.as_slice(), LIST, Mode::empty())?;
        let mut children = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let child = entry.file_name().to_bytes();
            if matches!(child, b"." | b"..") {
                continue;
            }
            match rustix::fs::unlinkat(&fd, child, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => children.push(child.to_vec()),
                Err(other) => return Err(other),
            }
        }
        Ok(Self { fd, name, children })
    }
}

#[cfg(test)]
mod tests {
    use super::remove_tree;

    #[test]
    fn a_tree_goes_and_what_its_links_lead_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, outside) = (dir.path().join("tree"), dir.path().join("outside"));
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "x").unwrap();
        for inner in ["a/b/c", "a/d", "e"] {
            std::fs::create_dir_all(tree.join(inner)).unwrap();
            std::fs::write(tree.join(inner).join("file"), "x").unwrap();
            std::os::unix::fs::symlink(&outside, tree.join(inner).join("link")).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
        remove_tree(&tree).unwrap();
        remove_tree(&dir.path().join("no/such")).unwrap();
    }
}
