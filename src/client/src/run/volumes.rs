//! A pod's volumes are made: on a thread of their own, as disks may be slow and folders large, and other pods of the
//! run want their probes and stops meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use super::facts::LaunchFacts;
use super::launch::PodRun;
use super::off_thread::off_thread;
use super::payload::{self, PayloadError, PayloadFile};
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

/// What is done to the volumes of one pod, on its way.
pub(super) struct VolumeTask<T> {
    thread: JoinHandle<Result<T, VolumeError>>,
    given_up: Arc<AtomicBool>,
}

/// How it came out for each volume that was to have other files.
pub(super) type Renewed = Vec<Result<Volume, VolumeError>>;

/// Begins to make all volumes.
pub(super) fn make_all(run: &PodRun<'_>) -> VolumeTask<()> {
    VolumeTask::begin(run, |mut work| work.all())
}

/// Begins to replace the files of those that are wished otherwise than they are known: the same volumes, in the same
/// order.
pub(super) fn renew(run: &PodRun<'_>, known: Vec<Volume>, wished: Vec<Volume>) -> VolumeTask<Renewed> {
    VolumeTask::begin(run, move |work| work.renew(&known, &wished))
}

#[cfg(test)]
impl<T: Send + 'static> VolumeTask<T> {
    /// One with this end.
    pub(super) fn of(end: Result<T, VolumeError>) -> Self {
        Self { thread: tokio::task::spawn_blocking(|| end), given_up: Arc::default() }
    }
}

impl<T: Send + 'static> VolumeTask<T> {
    fn begin(run: &PodRun<'_>, work: impl FnOnce(VolumeWork<'_>) -> Result<T, VolumeError> + Send + 'static) -> Self {
        let given_up = Arc::new(AtomicBool::new(false));
        let (dir, pod, uid, node) = (run.dir.clone(), run.pod.clone(), run.uid.clone(), run.node.clone());
        let stop = given_up.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let facts = LaunchFacts { pod: &pod, uid: &uid, node: &node, addresses: &[] };
            work(VolumeWork { dir: &dir, facts: &facts, files_left: VOLUME_FILES_BYTES, given_up: &stop })
        });
        Self { thread, given_up }
    }

    /// Waits until it is done, once.
    pub(super) async fn done(&mut self) -> Result<T, VolumeError> {
        (&mut self.thread).await.unwrap_or(Err(VolumeError::Thread))
    }

    /// Does no more of it. Afterwards the pod's folder can be removed, unless a disk hangs.
    pub(super) async fn give_up(mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        // How it ends is of no interest any more.
        let _ = tokio::time::timeout(QUICK, self.done()).await;
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
    fn all(&mut self) -> Result<(), VolumeError> {
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
                let files = self.contents(volume, set)?;
                make_open(&path, 0o777)?;
                if set.in_memory {
                    kernel_mounts::memory(&path, 0o777, None).map_err(fill("mount a folder in memory"))?;
                }
                payload::write(&path, &files, |_| Ok(())).map_err(|error| filling(volume, error, "write its files"))?;
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

    /// Replaces the files of volumes under those who read them, of each all at once.
    fn renew(mut self, known: &[Volume], wished: &[Volume]) -> Result<Renewed, VolumeError> {
        // All of them before any is written: what is too much for the pod replaces nothing.
        let mut new = Vec::new();
        for (known, wished) in known.iter().zip(wished) {
            let VolumeSource::Files(set) = &wished.source else { continue };
            let files = self.contents(wished, set)?;
            if known != wished {
                new.push((wished, files));
            }
        }
        let go_on = new.iter().take_while(|_| !self.given_up.load(Ordering::Relaxed));
        Ok(go_on.map(|(volume, files)| self.replace(volume, files).map(|()| (*volume).clone())).collect())
    }

    fn replace(&self, volume: &Volume, files: &[PayloadFile]) -> Result<(), VolumeError> {
        let pod = self.facts.pod;
        let own = |folder: &Path| match pod.security.fs_group {
            Some(group) => ownership::give(folder, group, true, self.given_up),
            None => Ok(()),
        };
        let written = payload::write(&self.dir.volume(pod, volume), files, own);
        written.map_err(|error| filling(volume, error, "replace its files, which stay as they were"))
    }

    /// What is written, now that it is known; an error if it is too much.
    fn contents(&mut self, volume: &Volume, set: &FileSet) -> Result<Vec<PayloadFile>, VolumeError> {
        let mut files = Vec::new();
        for file in &set.files {
            let bytes: Arc<[u8]> = match &file.content {
                FileContent::Bytes(bytes) => bytes.clone(),
                FileContent::Field(field) => self.facts.field(field).into_bytes().into(),
                FileContent::Amount(amount) => self.facts.amount(amount, None).into_bytes().into(),
            };
            let left = self.files_left.checked_sub(bytes.len());
            self.files_left = left.ok_or_else(|| VolumeError::TooLarge { volume: volume.name.clone() })?;
            files.push(PayloadFile { path: file.path.clone(), mode: file.mode, user: file.user, bytes });
        }
        Ok(files)
    }
}

fn filling(volume: &Volume, error: PayloadError, writing: &'static str) -> VolumeError {
    let (doing, source) = match error {
        PayloadError::Write(source) => (writing, source),
        PayloadError::TidyUp(source) => ("put its folder in order, though its new files are in force", source),
    };
    VolumeError::Fill { volume: volume.name.clone(), doing, source }
}

/// The same whatever the umask is: containers run as any user.
fn make_open(path: &Path, mode: u32) -> Result<(), VolumeError> {
    make(path, mode)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|source| VolumeError::Make { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::super::facts::ThisNode;
    use super::*;
    use crate::manifest::{ManifestSource, Workload, load};
    use crate::runs::owner::OwnerFacts;

    /// A pod with volumes `a` and `b` of a file `k` each, which say this.
    fn pod(a: &str, b: &str) -> Pod {
        let map = |name: &str, text: &str| {
            format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{k: '{text}'}}}}\n---\n")
        };
        let spec = "{volumes: [{name: a, configMap: {name: a}}, {name: b, configMap: {name: b}}], \
                    containers: [{name: m, image: x}]}";
        let pod = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {spec}}}\n");
        let text = map("a", a) + &map("b", b) + &pod;
        let loaded = load(&[ManifestSource { name: String::new(), path: None, text }]).unwrap();
        let Ok([Workload::Pod(pod)]) = <[Workload; 1]>::try_from(loaded.workloads) else { panic!() };
        pod
    }

    #[test]
    fn files_are_replaced_where_they_differ_and_fit_all_together() {
        let (base, first, node) = (tempfile::tempdir().unwrap(), pod("1", "2"), ThisNode::default());
        let facts = OwnerFacts { run: "ab".into(), endpoint: "/run/x.sock".into() };
        let (dir, _owner) = PodDir::create(base.path(), (&first, "uid"), &facts).unwrap();
        let facts = LaunchFacts { pod: &first, uid: "uid", node: &node, addresses: &[] };
        let (go_on, stop) = (AtomicBool::new(false), AtomicBool::new(true));
        let work = |files_left, given_up| VolumeWork { dir: &dir, facts: &facts, files_left, given_up };
        let read = || first.volumes.iter().map(|one| fs::read_to_string(dir.volume(&first, one).join("k")).unwrap());
        let generation = || fs::read_link(dir.volume(&first, &first.volumes[0]).join("..data")).unwrap();
        work(2, &go_on).all().unwrap();
        let before = generation();
        let renew = |work: VolumeWork<'_>, wished: &Pod| work.renew(&first.volumes, &wished.volumes);
        // The volume that stays counts as well.
        let refused = renew(work(4, &go_on), &pod("1", "four"));
        assert!(matches!(refused, Err(VolumeError::TooLarge { volume }) if volume == "b"));
        assert!(renew(work(9, &stop), &pod("3", "four")).unwrap().is_empty());
        assert_eq!(read().collect::<Vec<_>>(), ["1", "2"]);
        let renewed = renew(work(5, &go_on), &pod("1", "four")).unwrap();
        assert_eq!(renewed.into_iter().map(|one| one.unwrap().name).collect::<Vec<_>>(), ["b"]);
        assert_eq!((read().collect::<Vec<_>>(), generation()), (vec!["1".into(), "four".into()], before));
    }
}
