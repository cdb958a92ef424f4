//! The view of the OCI runtime that nobody can change: see [`peapod_shim_protocol::sealed`].

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use peapod_shim_protocol::sealed::{Fingerprint, RUNTIME_ENV, fingerprint, is_sealed, parse};
use rustix::fs::{Access, access};

/// A sealed view of a program.
#[derive(Debug)]
pub(crate) struct Sealed {
    program: PathBuf,
    view: File,
    fingerprint: Fingerprint,
}

impl Sealed {
    /// The one that the environment names. The daemon that made it may have ended, and its number be another's: then
    /// there is none.
    pub(crate) fn from_env() -> Option<Self> {
        let (view, program) = parse(&std::env::var_os(RUNTIME_ENV)?)?;
        Self::open(&view, program)
    }

    fn open(view: &Path, program: PathBuf) -> Option<Self> {
        let view = File::open(view).ok().filter(is_sealed)?;
        let fingerprint = fingerprint(&view.metadata().ok()?);
        Some(Self { program, view, fingerprint })
    }

    /// What to run instead of a program, if this shows it as it is now: it may have been replaced by a newer one. And
    /// if it can be run: no pod depends on it.
    pub(crate) fn of(&self, program: &Path) -> Option<PathBuf> {
        if program != self.program || fingerprint(&std::fs::metadata(program).ok()?) != self.fingerprint {
            return None;
        }
        let path = format!("/proc/self/fd/{}", self.view.as_raw_fd());
        access(&path, Access::EXEC_OK).ok()?;
        Some(path.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::PermissionsExt;

    use rustix::mount::{OpenTreeFlags, open_tree};

    use super::*;

    /// Needs root.
    #[test]
    #[ignore = "needs root"]
    fn a_view_is_used_as_long_as_it_shows_what_is_there() {
        // Not in memory, where seals are what counts.
        let dir = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
        let program = dir.path().join("runtime");
        fs::write(&program, "one").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mount: OwnedFd = open_tree(rustix::fs::CWD, &program, flags).unwrap();
        let at = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
        assert!(Sealed::open(&at, program.clone()).is_none(), "not read-only");
        peapod_sys::make_read_only(&mount).unwrap();

        let sealed = Sealed::open(&at, program.clone()).expect("a sealed view");
        assert_eq!(fs::read(sealed.of(&program).expect("the view")).unwrap(), b"one");
        assert_eq!(sealed.of(Path::new("/bin/true")), None);
        fs::set_permissions(&program, Permissions::from_mode(0o0)).unwrap();
        assert_eq!(sealed.of(&program), None, "can't be run");
        fs::write(&program, "another").unwrap();
        assert_eq!(sealed.of(&program), None);
        fs::remove_file(&program).unwrap();
        assert_eq!(sealed.of(&program), None);
        assert!(Sealed::open(&program, program.clone()).is_none(), "missing");
    }
}
