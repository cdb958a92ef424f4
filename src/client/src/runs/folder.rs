//! The folder of one run, taken for one only where nobody else can have put it there: a process is signalled and a tree
//! is removed on its word.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, open, openat, unlinkat};
use serde::Deserialize;

/// No record is longer.
const LONGEST: u64 = 1 << 20;

/// The folder of all runs, beside those of pods.
pub(super) const RUNS: &str = "runs";

/// What is known of a run: the last to go of a folder, by which others find it.
pub(super) const FACTS: &str = "run.json";

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

    /// Keeps it from being taken for one that was left, as long as what this answers is open; nothing if it was taken
    /// for one this moment, and is gone.
    pub(super) fn keep(self) -> io::Result<Option<OwnedFd>> {
        // Who looks whether somebody keeps it holds it for a moment.
        flock(&self.folder, FlockOperation::LockShared)?;
        Ok((fstat(&self.folder)?.st_nlink > 0).then_some(self.folder))
    }

    /// Removes it if nobody keeps it and no process looks after such a run, as far as can be told.
    pub(super) fn remove_lost(self) {
        let is_free = |file: &dyn AsFd| flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_ok();
        let facts = self.file(FACTS);
        if is_free(&self.folder) && facts.as_ref().is_none_or(|facts| is_free(facts)) {
            self.remove();
        }
    }

    /// Removes it with all that is in it. What stays is no more than a few lines.
    pub(super) fn remove(self) {
        if self.empty().is_ok() {
            let _ = peapod_sys::remove_tree_at(&self.runs, self.id.as_bytes());
        }
        // Not empty while there are others.
        let _ = unlinkat(&self.base, RUNS, AtFlags::REMOVEDIR);
    }

    /// All but what is known of the run: should this process be killed meanwhile, the next one finds it.
    fn empty(&self) -> io::Result<()> {
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if ![&b"."[..], b"..", FACTS.as_bytes()].contains(&name) {
                peapod_sys::remove_tree_at(&self.folder, name)?;
            }
        }
        Ok(())
    }
}

/// What a file says, if that makes sense.
pub(super) fn read<T: for<'de> Deserialize<'de>>(file: &File) -> Option<T> {
    serde_json::from_reader(io::Read::take(file, LONGEST)).ok()
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

    #[test]
    fn what_is_known_of_a_run_is_the_last_to_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs/ab");
        fs::create_dir_all(path.join("deeper")).unwrap();
        for name in [FACTS, "log", "deeper/x"] {
            fs::write(path.join(name), "").unwrap();
        }
        RunFolder::open(dir.path(), "ab").unwrap().empty().unwrap();
        let left: Vec<_> = path.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [FACTS]);
        RunFolder::open(dir.path(), "ab").unwrap().remove();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn one_that_is_kept_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("runs/ab")).unwrap();
        let open = || RunFolder::open(dir.path(), "ab");
        let (kept, also) = (open().unwrap().keep().unwrap(), open().unwrap().keep().unwrap());
        drop(kept.unwrap());
        open().unwrap().remove_lost();
        assert!(open().is_some());
        drop(also);
        let late = open().unwrap();
        open().unwrap().remove_lost();
        assert!(open().is_none() && late.keep().unwrap().is_none(), "it was gone before it was kept");
    }
}
