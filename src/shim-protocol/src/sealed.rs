//! Where a shim finds the sealed copy of its OCI runtime, if there is one: a file in memory that nobody can write, with the size and the
//! time of the runtime's own file. A shim that gets none, or to which it looks wrong, runs the runtime as it is.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::SealFlags;

/// The environment variable that says so.
pub const ENV: &str = "PEAPOD_SEALED_RUNTIME";

/// The seals: crun and runc take a copy of themselves for safe with exactly these.
pub const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// What a copy and the file that it was made of have in common: size, and time of the last change in seconds and nanoseconds.
pub type Print = (u64, i64, i64);

/// The print of a file.
#[must_use]
pub fn print(metadata: &Metadata) -> Print {
    (metadata.size(), metadata.mtime(), metadata.mtime_nsec())
}

/// The variable's value: `copy:program`. The copy is named by a number of the daemon's, and has no colon.
#[must_use]
pub fn value(copy: &Path, program: &Path) -> OsString {
    let mut text = copy.as_os_str().to_owned();
    text.push(":");
    text.push(program);
    text
}

/// The copy's and the program's path.
#[must_use]
pub fn parse(value: &OsStr) -> Option<(PathBuf, PathBuf)> {
    let bytes = value.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b':')?;
    let path = |bytes: &[u8]| Some(PathBuf::from(OsStr::from_bytes(bytes))).filter(|path| path.is_absolute());
    Some((path(bytes.get(..at)?)?, path(bytes.get(at + 1..)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (copy, program) = (PathBuf::from("/proc/7/fd/9"), PathBuf::from("/opt/a:b/crun"));
        assert_eq!(parse(&value(&copy, &program)), Some((copy, program)));
        for wrong in ["", "/a", "/a:", ":/b", "a:/b", "/a:b"] {
            assert_eq!(parse(wrong.as_ref()), None, "{wrong}");
        }
    }
}
