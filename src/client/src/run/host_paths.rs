//! What a hostPath leads to, held against its type.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::volume_error::VolumeError;
use crate::manifest::{HostPathType, Volume, VolumeSource};

/// Checks every hostPath, and makes those that are to be made.
pub(super) fn check(volumes: &[Volume]) -> Result<(), VolumeError> {
    for volume in volumes {
        if let VolumeSource::HostPath { path, kind } = &volume.source {
            check_one(&volume.name, Path::new(path), *kind)?;
        }
    }
    Ok(())
}

fn check_one(volume: &str, path: &Path, kind: HostPathType) -> Result<(), VolumeError> {
    let (volume, path) = (volume.to_owned(), path.to_owned());
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match kind {
                HostPathType::DirectoryOrCreate => super::pod_dir::make(&path, 0o755),
                HostPathType::FileOrCreate => {
                    fs::File::create_new(&path).map(drop).map_err(|source| VolumeError::Make { path, source })
                }
                _ => Err(VolumeError::Missing { volume, path }),
            };
        }
        Err(source) => return Err(VolumeError::Look { volume, path, source }),
    };
    let kind_found = found.file_type();
    let (fits, wanted) = match kind {
        HostPathType::Any => (true, "anything"),
        HostPathType::Directory | HostPathType::DirectoryOrCreate => (kind_found.is_dir(), "a directory"),
        HostPathType::File | HostPathType::FileOrCreate => (kind_found.is_file(), "a file"),
        HostPathType::Socket => (kind_found.is_socket(), "a socket"),
        HostPathType::CharDevice => (kind_found.is_char_device(), "a character device"),
        HostPathType::BlockDevice => (kind_found.is_block_device(), "a block device"),
    };
    if fits { Ok(()) } else { Err(VolumeError::Type { volume, path, found: name_of(kind_found), wanted }) }
}

fn name_of(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        "a file"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "something else"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_are_what_their_type_says() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "").unwrap();
        assert!(check_one("v", &at("file"), HostPathType::Any).is_ok());
        assert!(check_one("v", &at("file"), HostPathType::File).is_ok());
        assert!(check_one("v", &at("new/dir"), HostPathType::DirectoryOrCreate).is_ok() && at("new/dir").is_dir());
        assert!(check_one("v", &at("made"), HostPathType::FileOrCreate).is_ok() && at("made").is_file());
        assert!(check_one("v", Path::new("/dev/null"), HostPathType::CharDevice).is_ok());
        let wrong = check_one("v", &at("file"), HostPathType::Directory).unwrap_err().to_string();
        assert!(wrong.contains("is a file, and its type asks for a directory"), "{wrong}");
        for kind in [HostPathType::Any, HostPathType::Directory, HostPathType::Socket] {
            assert!(matches!(check_one("v", &at("none"), kind), Err(VolumeError::Missing { .. })));
        }
    }
}
