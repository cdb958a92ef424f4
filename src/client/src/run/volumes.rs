//! A running pod's directory on this node, with its logs and emptyDir volumes, and what its volumes are mounts of.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use peapod_api::v1;

use crate::labels;
use crate::manifest::{Container, HostPathType, Pod, Volume, VolumeSource};

/// Why a volume can't be mounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("cannot make {}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("volume {volume}: the hostPath {} is not there; its type could be DirectoryOrCreate", path.display())]
    Missing { volume: String, path: PathBuf },
    #[error("volume {volume}: the hostPath {} is {found}, and its type asks for {wanted}", path.display())]
    Type { volume: String, path: PathBuf, found: &'static str, wanted: &'static str },
    #[error("volume {volume}: cannot look at the hostPath {}", path.display())]
    Look { volume: String, path: PathBuf, source: io::Error },
}

/// The directory; it stays until it is removed.
#[derive(Clone, Debug)]
pub(crate) struct PodDir {
    pub(crate) path: PathBuf,
}

impl PodDir {
    /// Makes `<base>/<uid>` for the user alone, with the directories of the pod's logs and emptyDir volumes.
    pub(crate) fn create(base: &Path, uid: &str, pod: &Pod) -> Result<Self, VolumeError> {
        let this = Self { path: base.join(uid) };
        make(base, 0o700)?;
        make(&this.path, 0o700)?;
        for container in pod.init_containers.iter().chain(&pod.containers) {
            make(&this.path.join("logs").join(&container.name), 0o755)?;
        }
        for volume in pod.volumes.iter().filter(|volume| volume.source == VolumeSource::EmptyDir) {
            let path = this.volume(&volume.name);
            make(&path, 0o777)?;
            // Whatever the umask is: containers run as any user.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777))
                .map_err(|source| VolumeError::Make { path, source })?;
        }
        Ok(this)
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.path.join("volumes").join(name)
    }

    /// The directory of a pod that runs, or ran, if `peapod run` made it.
    pub(crate) fn of(pod: &v1::PodSandbox) -> Option<Self> {
        let path = Path::new(pod.annotations.get(labels::RUN_DIR)?);
        let uid = &pod.metadata.as_ref()?.uid;
        // Named after the pod, with logs in it: nothing else may be removed on an annotation's word.
        let ours = path.is_absolute() && path.file_name()?.to_str()? == uid && path.join("logs").is_dir();
        ours.then(|| Self { path: path.to_owned() })
    }

    /// Tells the `peapod run` of this pod that ends of containers are wanted from now on.
    pub(crate) fn announce_stop(&self) {
        // Without it a container may be started once more, to be stopped with the pod.
        let _ = fs::File::create_new(self.path.join("stopping"));
    }

    /// Whether somebody announced it.
    pub(super) fn is_stopping(&self) -> bool {
        self.path.join("stopping").exists()
    }

    /// What a container mounts.
    pub(super) fn mounts(&self, pod: &Pod, container: &Container) -> Vec<v1::Mount> {
        let place = |name: &str| pod.volumes.iter().find(|volume| volume.name == name);
        container
            .mounts
            .iter()
            .filter_map(|mount| place(&mount.volume).map(|volume| (mount, volume)))
            .map(|(mount, volume)| v1::Mount {
                container_path: mount.path.clone(),
                host_path: match &volume.source {
                    VolumeSource::EmptyDir => self.volume(&volume.name).display().to_string(),
                    VolumeSource::HostPath { path, .. } => path.clone(),
                },
                readonly: mount.read_only,
                ..Default::default()
            })
            .collect()
    }

    /// Removes the directory with all that is in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        Ok(peapod_sys::remove_tree(&self.path)?)
    }
}

/// Checks every hostPath, and makes those that are to be made.
pub(super) fn check_host_paths(volumes: &[Volume]) -> Result<(), VolumeError> {
    for volume in volumes {
        if let VolumeSource::HostPath { path, kind } = &volume.source {
            check(&volume.name, Path::new(path), *kind)?;
        }
    }
    Ok(())
}

fn check(volume: &str, path: &Path, kind: HostPathType) -> Result<(), VolumeError> {
    let (volume, path) = (volume.to_owned(), path.to_owned());
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match kind {
                HostPathType::DirectoryOrCreate => make(&path, 0o755),
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

fn make(path: &Path, mode: u32) -> Result<(), VolumeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| VolumeError::Make { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_are_what_their_type_says() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "").unwrap();
        assert!(check("v", &at("file"), HostPathType::Any).is_ok());
        assert!(check("v", &at("file"), HostPathType::File).is_ok());
        assert!(check("v", &at("new/dir"), HostPathType::DirectoryOrCreate).is_ok() && at("new/dir").is_dir());
        assert!(check("v", &at("made"), HostPathType::FileOrCreate).is_ok() && at("made").is_file());
        assert!(check("v", Path::new("/dev/null"), HostPathType::CharDevice).is_ok());
        let wrong = check("v", &at("file"), HostPathType::Directory).unwrap_err().to_string();
        assert!(wrong.contains("is a file, and its type asks for a directory"), "{wrong}");
        for kind in [HostPathType::Any, HostPathType::Directory, HostPathType::Socket] {
            assert!(matches!(check("v", &at("none"), kind), Err(VolumeError::Missing { .. })));
        }
    }
}
