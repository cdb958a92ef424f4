//! Where a shim finds sealed views of what containers reach and the node needs: its OCI runtime's file, and
//! `/dev/null`, seen through a read-only mount that nothing can make writable. A shim that gets none, or to which it
//! looks wrong, runs the runtime as it is, and makes the other by itself.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, StatVfsMountFlags, fcntl_get_seals, fstat, fstatvfs, major, minor};

/// The environment variable that names the runtime's.
pub const RUNTIME_ENV: &str = "PEAPOD_SEALED_RUNTIME";
/// The one that names that of `/dev/null`: a path.
pub const NULL_ENV: &str = "PEAPOD_SEALED_NULL";

/// What a view and the file that it shows have in common: size, and time of the last change in seconds and nanoseconds.
pub type Fingerprint = (u64, i64, i64);

/// The fingerprint of a file.
#[must_use]
pub fn fingerprint(metadata: &Metadata) -> Fingerprint {
    (metadata.size(), metadata.mtime(), metadata.mtime_nsec())
}

/// Whether a file can be changed by nobody who has it open: not its content, mode, owner, times or attributes. By the
/// same sign crun, and runc before 1.2, see that they need not copy themselves: they lie on a read-only mount, and are
/// no file in memory, as those are judged by their seals, which leave mode and owner open.
#[must_use]
pub fn is_sealed(file: &File) -> bool {
    is_read_only(file) && fcntl_get_seals(file).is_err()
}

/// Whether a file is `/dev/null` of which nobody who has it open can change mode, owner, times or attributes. It can be
/// written to as ever.
#[must_use]
pub fn is_sealed_null(file: &File) -> bool {
    let is_null = fstat(file).is_ok_and(|stat| {
        let kind = FileType::from_raw_mode(stat.st_mode);
        kind == FileType::CharacterDevice && (major(stat.st_rdev), minor(stat.st_rdev)) == (1, 3)
    });
    is_null && is_read_only(file)
}

fn is_read_only(file: &File) -> bool {
    fstatvfs(file).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY))
}

/// The variable's value: `view:program`. The view is named by a number of the daemon's, and has no colon.
#[must_use]
pub fn value(view: &Path, program: &Path) -> OsString {
    let mut text = view.as_os_str().to_owned();
    text.push(":");
    text.push(program);
    text
}

/// The view's and the program's path.
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
        let (view, program) = (PathBuf::from("/proc/7/fd/9"), PathBuf::from("/opt/a:b/crun"));
        assert_eq!(parse(&value(&view, &program)), Some((view, program)));
        for wrong in ["", "/a", "/a:", ":/b", "a:/b", "/a:b"] {
            assert_eq!(parse(wrong.as_ref()), None, "{wrong}");
        }
    }

    #[test]
    fn what_can_be_changed_is_not_sealed() {
        assert!(!is_sealed(&File::open("/proc/self/exe").unwrap()));
        // A process's own entries in /proc lie on a writable mount as well.
        assert!(!is_sealed(&File::open("/proc/self/status").unwrap()));
        for path in ["/dev/null", "/dev/zero", "/proc/self/exe"] {
            assert!(!is_sealed_null(&File::open(path).unwrap()), "{path}");
        }
    }
}
