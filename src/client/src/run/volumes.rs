//! A pod's volumes are made: on a thread of their own, as disks may be slow and folders large, and other pods of the
//! run want their probes and stops meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use super::facts::{LaunchFacts, ThisNode};
use super::off_thread::off_thread;
use super::payload::{self, PayloadFile};
use super::pod_dir::{PodDir, make};
use super::volume_error::VolumeError;
use super::{host_paths, kernel_mounts, ownership};
use crate::bounds::VOLUME_FILES_BYTES;
use crate::connect::QUICK;
use crate::manifest::{FileContent, FileSet, Pod, Volume, VolumeSource};

/// Whether what volumes show is there: hostPaths, and claims of which there is no document.
pub(super) async fn check(dir: &PodDir, pod: &Pod) -> Result<(), VolumeError> {
    let (dir, pod) = (dir.clone(), pod.clone());
    let checked = off_thread(move || {
        host_paths::check(&pod.volumes)?;
        pod.volumes.iter().try_for_each(|volume| check_claim(volume, &dir.volume(&pod, volume)))
    });
    checked.await.unwrap_or(Err(VolumeError::Thread))
}

fn check_claim(volume: &Volume, path: &Path) -> Result<(), VolumeError> {
    match &volume.source {
        VolumeSource::Claim { name, declared: false, .. } if !path.is_dir() => {
            Err(VolumeError::NoClaim { volume: volume.name.clone(), claim: name.clone(), path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

/// All volumes of one pod, on their way.
pub(super) struct VolumeMaker {
    thread: JoinHandle<Result<(), VolumeError>>,
    given_up: Arc<AtomicBool>,
}

impl VolumeMaker {
    /// Begins to make them.
    pub(super) fn begin(dir: &PodDir, pod: &Pod, uid: &str, node: &ThisNode) -> Self {
        let given_up = Arc::new(AtomicBool::new(false));
        let (dir, pod, uid, node) = (dir.clone(), pod.clone(), uid.to_owned(), node.clone());
        let stop = given_up.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let facts = LaunchFacts { pod: &pod, uid: &uid, node: &node, addresses: &[] };
            VolumeWork { dir: &dir, facts: &facts, files_left: VOLUME_FILES_BYTES, given_up: &stop }.all()
        });
        Self { thread, given_up }
    }

    /// Waits until they are there.
    pub(super) async fn made(&mut self) -> Result<(), VolumeError> {
        (&mut self.thread).await.unwrap_or(Err(VolumeError::Thread))
    }

    /// Makes no more of them. Afterwards the pod's folder can be removed, unless a disk hangs.
    pub(super) async fn give_up(mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        // How it ends is of no interest any more.
        let _ = tokio::time::timeout(QUICK, self.made()).await;
    }
}

/// What the thread knows.
struct VolumeWork<'a> {
    dir: &'a PodDir,
    facts: &'a LaunchFacts<'a>,
    /// How many bytes the files of further volumes may have.
    files_left: usize,
    given_up: &'a AtomicBool,
}

impl VolumeWork<'_> {
    fn all(mut self) -> Result<(), VolumeError> {
        for volume in &self.facts.pod.volumes {
            if self.given_up.load(Ordering::Relaxed) {
                break;
            }
            self.make(volume)?;
        }
        Ok(())
    }

    fn make(&mut self, volume: &Volume) -> Result<(), VolumeError> {
        let pod = self.facts.pod;
        let path = self.dir.volume(pod, volume);
        let fill = |doing| move |source| VolumeError::Fill { volume: volume.name.clone(), doing, source };
        match &volume.source {
            VolumeSource::HostPath { .. } | VolumeSource::Image { .. } => return Ok(()),
            VolumeSource::EmptyDir { mode } => make_open(&path, *mode)?,
            VolumeSource::MemoryDir { mode, size } => {
                make_open(&path, *mode)?;
                // Never more than the node has.
                let node = u64::try_from(self.facts.node.memory).ok().filter(|memory| *memory > 0);
                let size = size.or(node).map(|size| size.min(node.unwrap_or(u64::MAX)));
                kernel_mounts::memory(&path, *mode, size).map_err(fill("mount a folder in memory"))?;
            }
            VolumeSource::Files(set) => {
                let files = self.contents(set);
                let files = files.ok_or_else(|| VolumeError::TooLarge { volume: volume.name.clone() })?;
                make_open(&path, 0o777)?;
                if set.in_memory {
                    kernel_mounts::memory(&path, 0o777, None).map_err(fill("mount a folder in memory"))?;
                }
                payload::write(&path, &files).map_err(fill("write its files"))?;
            }
            VolumeSource::Claim { .. } => {
                check_claim(volume, &path)?;
                if !path.is_dir() {
                    make_open(&path, 0o777)?;
                }
            }
        }
        match pod.security.fs_group {
            Some(group) => ownership::give(&path, group, volume.source.is_read_only(), self.given_up)
                .map_err(fill("give it to fsGroup")),
            None => Ok(()),
        }
    }

    /// What is written, now that it is known; nothing if it is too much.
    fn contents(&mut self, set: &FileSet) -> Option<Vec<PayloadFile>> {
        let mut files = Vec::new();
        for file in &set.files {
            let bytes: Arc<[u8]> = match &file.content {
                FileContent::Bytes(bytes) => bytes.clone(),
                FileContent::Field(field) => self.facts.field(field).into_bytes().into(),
                FileContent::Amount(amount) => self.facts.amount(amount, None).into_bytes().into(),
            };
            self.files_left = self.files_left.checked_sub(bytes.len())?;
            files.push(PayloadFile { path: file.path.clone(), mode: file.mode, user: file.user, bytes });
        }
        Some(files)
    }
}

/// The same whatever the umask is: containers run as any user.
fn make_open(path: &Path, mode: u32) -> Result<(), VolumeError> {
    make(path, mode)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| VolumeError::Make { path: path.to_owned(), source })
}
