//! A running pod's directory on this node: its logs and volumes. Beside it are the claims, which stay.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use peapod_api::v1;

use super::env::{self, EnvFiles, EnvSyntaxError};
use super::facts::LaunchFacts;
use super::payload::{self, PayloadFile};
use super::{kernel_mounts, ownership, subpath};
use crate::bounds::ENV_FILE_BYTES;
use crate::manifest::{Container, EnvSource, FileContent, FileSet, Pod, Volume, VolumeSource};

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
    #[error(
        "volume {volume}: there is no PersistentVolumeClaim {claim} in these files, and no folder {} of an earlier one: \
         give the file of the claim as well", path.display()
    )]
    NoClaim { volume: String, claim: String, path: PathBuf },
    #[error("volume {volume}: cannot {doing}")]
    Fill { volume: String, doing: &'static str, source: io::Error },
    #[error("volume {volume}: cannot mount its part {part}")]
    Part { volume: String, part: String, source: io::Error },
    #[error("volume {volume}: the variables of {path}")]
    Variables { volume: String, path: String, source: EnvSyntaxError },
    #[error("volume {volume}: cannot read the variables of {path}")]
    Read { volume: String, path: String, source: io::Error },
}

/// The directory; it stays until it is removed.
#[derive(Clone, Debug)]
pub(crate) struct PodDir {
    pub(crate) path: PathBuf,
    /// Where it lies, beside the claims.
    base: PathBuf,
}

impl PodDir {
    /// Makes `<base>/<uid>` for the user alone, with the pod's logs and volumes. If that fails nothing is left but
    /// claims.
    pub(super) fn create(base: &Path, facts: &LaunchFacts<'_>) -> Result<Self, VolumeError> {
        let this = Self { path: base.join(facts.uid), base: base.to_owned() };
        this.fill(facts).inspect_err(|_| {
            // The first error is the one to tell.
            let _ = this.remove();
        })?;
        Ok(this)
    }

    fn fill(&self, facts: &LaunchFacts<'_>) -> Result<(), VolumeError> {
        make(&self.base, 0o700)?;
        make(&self.path, 0o700)?;
        for container in facts.pod.all_containers() {
            make(&self.path.join("logs").join(&container.name), 0o755)?;
        }
        for volume in &facts.pod.volumes {
            self.make_volume(volume, facts)?;
        }
        Ok(())
    }

    fn make_volume(&self, volume: &Volume, facts: &LaunchFacts<'_>) -> Result<(), VolumeError> {
        let path = self.volume(facts.pod, volume);
        let fill = |doing| move |source| VolumeError::Fill { volume: volume.name.clone(), doing, source };
        match &volume.source {
            VolumeSource::HostPath { .. } | VolumeSource::Image { .. } => return Ok(()),
            VolumeSource::EmptyDir { mode } => make_open(&path, *mode)?,
            VolumeSource::MemoryDir { mode, size } => {
                make_open(&path, *mode)?;
                // Never more than the node has.
                let node = u64::try_from(facts.node.memory).ok().filter(|memory| *memory > 0);
                let size = size.or(node).map(|size| size.min(node.unwrap_or(u64::MAX)));
                kernel_mounts::memory(&path, *mode, size).map_err(fill("mount a folder in memory"))?;
            }
            VolumeSource::Files(set) => {
                make_open(&path, 0o777)?;
                if set.in_memory {
                    kernel_mounts::memory(&path, 0o777, None).map_err(fill("mount a folder in memory"))?;
                }
                payload::write(&path, &contents(set, facts)).map_err(fill("write its files"))?;
            }
            VolumeSource::Claim { name, declared, .. } => {
                if !declared && !path.is_dir() {
                    let (volume, claim) = (volume.name.clone(), name.clone());
                    return Err(VolumeError::NoClaim { volume, claim, path });
                }
                if !path.is_dir() {
                    make_open(&path, 0o777)?;
                }
            }
        }
        match facts.pod.security.fs_group {
            Some(group) => {
                ownership::give(&path, group, volume.source.is_read_only()).map_err(fill("give it to fsGroup"))
            }
            None => Ok(()),
        }
    }

    /// Where a volume's files are; an image's are the runtime's.
    pub(super) fn volume(&self, pod: &Pod, volume: &Volume) -> PathBuf {
        match &volume.source {
            VolumeSource::HostPath { path, .. } => PathBuf::from(path),
            VolumeSource::Claim { name, .. } => self.base.join("claims").join(&pod.namespace).join(name),
            _ => self.path.join("volumes").join(&volume.name),
        }
    }

    /// The directory of a pod that runs, or ran, if `peapod run` made it.
    pub(crate) fn of(pod: &v1::PodSandbox) -> Option<Self> {
        let path = crate::targets::run_dir(pod)?;
        Some(Self { path: path.to_owned(), base: path.parent()?.to_owned() })
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

    /// Writes the pod's /etc/hosts.
    pub(super) fn make_hosts(&self, text: &str) -> Result<PathBuf, VolumeError> {
        self.write(&self.path.join("etc-hosts"), text, 0o644)
    }

    fn write(&self, path: &Path, text: &str, mode: u32) -> Result<PathBuf, VolumeError> {
        fs::write(path, text)
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
            .map_err(|source| VolumeError::Make { path: path.to_owned(), source })?;
        Ok(path.to_owned())
    }

    /// Shows a part of a volume at a place of its own, which nobody can move elsewhere.
    pub(super) fn bind_part(
        &self,
        (pod, volume): (&Pod, &Volume),
        part: &str,
        (container, index): (&Container, usize),
    ) -> Result<PathBuf, VolumeError> {
        let target = self.path.join("parts").join(&container.name).join(index.to_string());
        let failed = |source| VolumeError::Part { volume: volume.name.clone(), part: part.to_owned(), source };
        let source = subpath::open(&self.volume(pod, volume), part).map_err(failed)?;
        // That of an earlier attempt.
        kernel_mounts::unmount(&target).map_err(failed)?;
        let kind =
            rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&source).map_err(|e| failed(e.into()))?.st_mode);
        make(target.parent().unwrap_or(&self.path), 0o755)?;
        let fits = fs::symlink_metadata(&target).is_ok_and(|found| found.is_dir() == kind.is_dir());
        if !fits {
            let _ = fs::remove_dir(&target).or_else(|_| fs::remove_file(&target));
            let made = if kind.is_dir() { fs::create_dir(&target) } else { fs::File::create_new(&target).map(drop) };
            made.map_err(failed)?;
        }
        kernel_mounts::bind(&source, &target).map_err(failed)?;
        Ok(target)
    }

    /// Reads the files that a container's variables come from. One that is missing has no variables.
    pub(super) fn env_files(&self, pod: &Pod, container: &Container) -> Result<EnvFiles, VolumeError> {
        let mut files = EnvFiles::new();
        for variable in &container.process.env {
            let EnvSource::File { volume, path, .. } = &variable.source else { continue };
            let key = (volume.clone(), path.clone());
            let Some(from) = pod.volumes.iter().find(|known| known.name == *volume) else { continue };
            if files.contains_key(&key) {
                continue;
            }
            let read = |source| VolumeError::Read { volume: volume.clone(), path: path.clone(), source };
            match subpath::open_file(&self.volume(pod, from), path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => {
                    let text = opened.and_then(bounded).map_err(read)?;
                    let variables = env::parse_file(&text).map_err(|source| VolumeError::Variables {
                        volume: volume.clone(),
                        path: path.clone(),
                        source,
                    })?;
                    files.insert(key, variables);
                }
            }
        }
        Ok(files)
    }

    /// Removes the directory with all that is in it. What it shows of other places is left alone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        kernel_mounts::unmount_below(&self.path)?;
        Ok(peapod_sys::remove_tree(&self.path)?)
    }
}

fn bounded(file: fs::File) -> io::Result<String> {
    let mut text = String::new();
    file.take(ENV_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > ENV_FILE_BYTES {
        return Err(io::Error::other(format!("it has more than {} KiB", ENV_FILE_BYTES >> 10)));
    }
    Ok(text)
}

/// What is written, now that it is known.
fn contents(set: &FileSet, facts: &LaunchFacts<'_>) -> Vec<PayloadFile> {
    let file = |file: &crate::manifest::VolumeFile| PayloadFile {
        path: file.path.clone(),
        mode: file.mode,
        user: file.user,
        bytes: match &file.content {
            FileContent::Bytes(bytes) => bytes.clone(),
            FileContent::Field(field) => facts.field(field).into_bytes(),
            FileContent::Amount(amount) => facts.amount(amount, None).into_bytes(),
        },
    };
    set.files.iter().map(file).collect()
}

/// Makes a folder, and those above it.
pub(super) fn make(path: &Path, mode: u32) -> Result<(), VolumeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| VolumeError::Make { path: path.to_owned(), source })
}

/// The same whatever the umask is: containers run as any user.
fn make_open(path: &Path, mode: u32) -> Result<(), VolumeError> {
    make(path, mode)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| VolumeError::Make { path: path.to_owned(), source })
}
