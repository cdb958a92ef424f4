//! What the shim leaves in a container's bundle for those who come after it: how it ended, and, should the shim die,
//! what there is to kill and to delete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use peapod_shim_protocol::exit::Exit;
use peapod_shim_protocol::{RUNTIME_FILE, VOLUMES_FOLDER};

use crate::error::Error;
use crate::files::{self, read, text};
use crate::older;
use crate::runtime::{Binary, PID_FILE};

const CGROUP: &str = "cgroup";

/// Writes how it ended; whole, or not at all.
pub(crate) fn exit(bundle: &Path, exit: &Exit) -> Result<(), Error> {
    write(&bundle.join(Exit::FILE), exit.to_text().as_bytes())
}

/// Writes which group it is in, or will be; `None` when there is nothing to kill as a whole.
pub(crate) fn cgroup(bundle: &Path, path: Option<&str>) -> Result<(), Error> {
    write(&bundle.join(CGROUP), path.unwrap_or_default().as_bytes())
}

/// Writes which runtime made it.
pub(crate) fn runtime(bundle: &Path, binary: &Binary) -> Result<(), Error> {
    write(&bundle.join(RUNTIME_FILE), &binary.to_bytes())
}

/// The path of its group; `None` when there is nothing to kill as a whole.
pub(crate) fn read_cgroup(bundle: &Path) -> Option<String> {
    text(&bundle.join(CGROUP)).filter(|path| !path.is_empty()).or_else(|| older::cgroup(bundle))
}

/// The runtime that made it; `None` when there is nothing that it could have to be asked about.
pub(crate) fn read_runtime(bundle: &Path) -> Option<Binary> {
    Binary::parse(&read(&bundle.join(RUNTIME_FILE))?)
}

/// Where a container's root file system is mounted.
pub(crate) fn rootfs(bundle: &Path) -> PathBuf {
    bundle.join("rootfs")
}

/// Where a volume of that name is mounted. Makes the folder around it.
pub(crate) fn volume(bundle: &Path, name: &str) -> Result<PathBuf, Error> {
    let folder = bundle.join(VOLUMES_FOLDER);
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("make", &folder)(error)),
        _ => Ok(folder.join(name)),
    }
}

/// Whether an id is a name for files and for the runtime.
pub(crate) fn check_id(id: &str) -> Result<(), Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let dots = id.chars().all(|c| c == '.');
    if id.is_empty() || id.len() > 128 || dots || !id.chars().all(fine) {
        return Err(Error::Invalid { field: "id", why: format!("{id:?} must be letters, digits, - _ . + alone") });
    }
    Ok(())
}

/// Nothing is left to kill or to delete. The exit stays.
pub(crate) fn remove_records(bundle: &Path) {
    for name in [CGROUP, RUNTIME_FILE, PID_FILE] {
        let _ = fs::remove_file(bundle.join(name));
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    files::write(path, bytes).map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let written = Binary {
            program: "/usr/bin/crun".into(),
            root: "/run/r".into(),
            systemd_cgroup: true,
            arguments: Vec::new(),
        };
        runtime(dir.path(), &written).unwrap();
        assert_eq!(read_runtime(dir.path()), Some(written));
        cgroup(dir.path(), Some("/kubepods/a")).unwrap();
        assert_eq!(read_cgroup(dir.path()).as_deref(), Some("/kubepods/a"));
        cgroup(dir.path(), None).unwrap();
        assert_eq!(read_cgroup(dir.path()), None);
        remove_records(dir.path());
        assert!(read_runtime(dir.path()).is_none());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn ids_are_names() {
        for id in ["a", "0123abcdef", "a-b_c.d+e"] {
            assert!(check_id(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }
}
