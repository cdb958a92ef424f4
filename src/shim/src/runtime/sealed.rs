//! The copy of the OCI runtime that nobody can write: see [`peapod_shim_protocol::sealed`].

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use peapod_shim_protocol::sealed::{ENV, Print, SEALS, parse, print};
use rustix::fs::fcntl_get_seals;

/// A sealed copy of a program.
#[derive(Debug)]
pub(crate) struct Sealed {
    program: PathBuf,
    copy: File,
    print: Print,
}

impl Sealed {
    /// The one that the environment names. The daemon that made it may have ended, and its number be another's: then there is none.
    pub(crate) fn from_env() -> Option<Self> {
        let (copy, program) = parse(&std::env::var_os(ENV)?)?;
        Self::open(&copy, program)
    }

    fn open(copy: &Path, program: PathBuf) -> Option<Self> {
        let copy = File::open(copy).ok()?;
        if fcntl_get_seals(&copy) != Ok(SEALS) {
            return None;
        }
        let print = print(&copy.metadata().ok()?);
        Some(Self { program, copy, print })
    }

    /// What to run instead of a program, if this is the copy of it as it is now: it may have been replaced by a newer one.
    pub(crate) fn of(&self, program: &Path) -> Option<PathBuf> {
        if program != self.program || print(&std::fs::metadata(program).ok()?) != self.print {
            return None;
        }
        Some(format!("/proc/self/fd/{}", self.copy.as_raw_fd()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{MemfdFlags, Timespec, Timestamps, fcntl_add_seals, futimens, memfd_create};

    use super::*;

    #[test]
    fn a_copy_is_used_as_long_as_it_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("runtime");
        fs::write(&program, "one").unwrap();
        let metadata = fs::metadata(&program).unwrap();

        let memory = memfd_create("runtime", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let mut memory = File::from(memory);
        memory.write_all(b"one").unwrap();
        let time = Timespec { tv_sec: metadata.mtime(), tv_nsec: metadata.mtime_nsec() };
        futimens(&memory, &Timestamps { last_access: time, last_modification: time }).unwrap();
        let at = PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd()));
        assert!(Sealed::open(&at, program.clone()).is_none(), "not sealed");
        fcntl_add_seals(&memory, SEALS).unwrap();

        let sealed = Sealed::open(&at, program.clone()).expect("a sealed copy");
        assert_eq!(fs::read(sealed.of(&program).expect("the copy")).unwrap(), b"one");
        assert_eq!(sealed.of(Path::new("/bin/true")), None);
        fs::write(&program, "another").unwrap();
        assert_eq!(sealed.of(&program), None);
        fs::remove_file(&program).unwrap();
        assert_eq!(sealed.of(&program), None);
        assert!(Sealed::open(&program, program.clone()).is_none(), "missing");
    }
}
