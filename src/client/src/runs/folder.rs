//! The folder of one run, taken for one only where nobody else can have put it there: a process is signalled and a tree
//! is removed on its word.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, openat, unlinkat};

/// The folder of all runs, beside those of pods.
pub(super) const RUNS: &str = "runs";

/// `<run dir>/runs/<id>`, open with what it lies in.
pub(super) struct RunFolder {
    base: OwnedFd,
    runs: OwnedFd,
    folder: OwnedFd,
    id: String,
}

impl RunFolder {
    /// Nothing if it is not there, is reached through a link, or another user may write into it.
    pub(super) fn open(base: &Path, id: &str) -> Option<Self> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let base = open(base, folder_flags() & !OFlags::NOFOLLOW, Mode::empty()).ok()?;
        let runs = private(&base, RUNS)?;
        let folder = private(&runs, id)?;
        Some(Self { base, runs, folder, id: id.to_owned() })
    }

    /// A file in it to read; never a pipe, which could be waited for.
    pub(super) fn file(&self, name: &str) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, name, flags, Mode::empty()).ok()?;
        is_own(&file, FileType::RegularFile).then(|| file.into())
    }

    /// Removes it with all that is in it. What stays is no more than a few lines.
    pub(super) fn remove(self) {
        let _ = peapod_sys::remove_tree_at(&self.runs, self.id.as_bytes());
        // Not empty while there are others.
        let _ = unlinkat(&self.base, RUNS, AtFlags::REMOVEDIR);
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn private(parent: impl AsFd, name: &str) -> Option<OwnedFd> {
    let folder = openat(parent, name, folder_flags(), Mode::empty()).ok()?;
    is_own(&folder, FileType::Directory).then_some(folder)
}

/// Whether it is of this kind, and of this user, and nobody else may write it.
pub(crate) fn is_own(file: impl AsFd, kind: FileType) -> bool {
    let own = rustix::process::geteuid().as_raw();
    fstat(file).is_ok_and(|found| {
        FileType::from_raw_mode(found.st_mode) == kind && found.st_uid == own && found.st_mode & 0o022 == 0
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn only_what_nobody_else_may_write_is_a_runs_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (base, other) = (dir.path().join("base"), dir.path().join("other"));
        let is_one = || RunFolder::open(&base, "ab").is_some();
        fs::create_dir_all(other.join("runs/ab")).unwrap();
        fs::create_dir(&base).unwrap();
        assert!(!is_one());
        symlink(other.join("runs"), base.join("runs")).unwrap();
        assert!(!is_one(), "through a linked runs");
        fs::remove_file(base.join("runs")).unwrap();
        fs::create_dir(base.join("runs")).unwrap();
        symlink(other.join("runs/ab"), base.join("runs/ab")).unwrap();
        assert!(!is_one(), "through a linked id");
        fs::remove_file(base.join("runs/ab")).unwrap();
        fs::create_dir(base.join("runs/ab")).unwrap();
        assert!(is_one());
        for part in ["runs", "runs/ab"] {
            for mode in [0o720, 0o702] {
                fs::set_permissions(base.join(part), Permissions::from_mode(mode)).unwrap();
                assert!(!is_one(), "{part} {mode:o}");
            }
            fs::set_permissions(base.join(part), Permissions::from_mode(0o700)).unwrap();
        }
        let folder = RunFolder::open(&base, "ab").unwrap();
        fs::write(other.join("file"), "x").unwrap();
        symlink(other.join("file"), base.join("runs/ab/link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, base.join("runs/ab/pipe"), Mode::from_raw_mode(0o600)).unwrap();
        assert!(folder.file("link").is_none() && folder.file("pipe").is_none() && folder.file("none").is_none());
        folder.remove();
        assert!(!base.join("runs").exists() && other.join("file").exists());
    }
}
