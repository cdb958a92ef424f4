//! A part of a volume, found without ever leaving the volume: containers may have put links into it.

use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Links are followed as long as they stay inside.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Opens a file or folder of a volume for mounting. Folders that are missing are made like the volume's own.
pub(super) fn open(volume: &Path, part: &str) -> io::Result<OwnedFd> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mode = rustix::fs::fstat(&root)?.st_mode & 0o7777;
    let names: Vec<&str> = part.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    let mut at = beneath(&root, ".", OFlags::PATH)?;
    for end in 1..=names.len() {
        let path = names[..end].join("/");
        at = match beneath(&root, &path, OFlags::PATH) {
            Err(Errno::NOENT) => {
                make(&at, names[end - 1], mode)?;
                beneath(&root, &path, OFlags::PATH)?
            }
            other => other?,
        };
    }
    Ok(at)
}

/// Opens a file of a volume for reading.
pub(super) fn open_file(volume: &Path, part: &str) -> io::Result<std::fs::File> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    regular(&beneath(&root, part, OFlags::PATH)?)?.ok_or_else(|| io::Error::other("it is no file"))
}

/// Opens what was found, if it is a regular file. Containers make device nodes, and to open one can already do
/// something to the node.
pub(super) fn regular(found: &OwnedFd) -> io::Result<Option<std::fs::File>> {
    let stat = rustix::fs::fstat(found)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Ok(None);
    }
    std::fs::File::open(format!("/proc/self/fd/{}", found.as_raw_fd())).map(Some)
}

fn beneath(root: impl AsFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), INSIDE)
}

/// What went wrong with a part, in words where the system's would mislead.
pub(super) fn explained(error: io::Error, part: &str) -> io::Error {
    match Errno::from_io_error(&error) {
        Some(Errno::XDEV) => io::Error::other(format!("`{part}` leads out of the volume")),
        _ => error,
    }
}

fn make(folder: impl AsFd, name: &str, mode: u32) -> io::Result<()> {
    match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(mode)) {
        // Another container of the pod was quicker.
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = std::fs::File::from(rustix::fs::openat(&folder, name, flags, Mode::empty())?);
    made.set_permissions(Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn is_dir(fd: &OwnedFd) -> bool {
        FileType::from_raw_mode(rustix::fs::fstat(fd).unwrap().st_mode).is_dir()
    }

    #[test]
    fn parts_are_made_and_links_stay_inside() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(is_dir(&open(dir.path(), "a/b//c/").unwrap()) && at("a/b/c").is_dir());
        assert_eq!(fs::metadata(at("a/b")).unwrap().permissions().mode() & 0o7777, 0o777);
        symlink("../a", at("a/up")).unwrap();
        assert!(is_dir(&open(dir.path(), "a/up/b/new").unwrap()) && at("a/b/new").is_dir());
        fs::write(at("file"), "text").unwrap();
        assert!(!is_dir(&open(dir.path(), "file").unwrap()));
        symlink(outside.path(), at("out")).unwrap();
        symlink("../../../../../../etc", at("far")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        for part in ["out", "out/new", "far/passwd", "file/x", "dangling/x"] {
            assert!(open(dir.path(), part).is_err(), "{part}");
        }
        assert_eq!(explained(open(dir.path(), "out").unwrap_err(), "out").to_string(), "`out` leads out of the volume");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(open_file(dir.path(), "file").is_ok() && open_file(dir.path(), "a").is_err());
        assert!(open_file(dir.path(), "far/passwd").is_err());
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(open_file(dir.path(), "pipe").unwrap_err().to_string(), "it is no file");
    }
}
