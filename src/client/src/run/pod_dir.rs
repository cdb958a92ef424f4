//! A running pod's directory on this node: whose it is, its logs, and what its containers are shown. Beside it are the
//! claims, which stay.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use peapod_api::v1;
use rustix::fs::{Dir, FlockOperation, Mode, OFlags, flock};

use super::env::{self, EnvFiles};
use super::off_thread::off_thread;
use super::volume_error::VolumeError;
use super::{kernel_mounts, messages, report, subpath, termination};
use crate::bounds::ENV_FILE_BYTES;
use crate::logs::set_aside::keep_newest;
use crate::manifest::{Container, EnvSource, Pod, Volume, VolumeSource};
use crate::runs::owner::{FolderOwner, OWNER, OwnerFacts};
use crate::targets;

/// Whoever stops the pod from outside holds a lock on it.
const STOPPING: &str = "stopping";
/// Stands in what is left of a pod that has ended by itself.
const ENDED: &str = "ended";

/// The directory; it stays until it is removed.
#[derive(Clone, Debug)]
pub(crate) struct PodDir {
    pub(crate) path: PathBuf,
    /// Where it lies, beside the claims.
    base: PathBuf,
}

/// A part of a volume that a mount shows.
pub(super) struct VolumePart {
    /// The volume's name.
    pub(super) volume: String,
    /// Where its files are.
    pub(super) path: PathBuf,
    /// In it, and nowhere else.
    pub(super) part: String,
    /// Whose mount it is, and which one.
    pub(super) container: String,
    pub(super) index: usize,
}

impl PodDir {
    /// Makes `<base>/<uid>` for the user alone, with the pod's logs, as this process' own. If that fails nothing is
    /// left. It waits for disks, and for who looks at the folder, without holding up other pods.
    pub(super) async fn make(
        base: &Path,
        (pod, uid): (&Pod, &str),
        facts: OwnerFacts,
    ) -> Result<(Self, FolderOwner), VolumeError> {
        let (base, pod, uid) = (base.to_owned(), pod.clone(), uid.to_owned());
        let made = off_thread(move || Self::create(&base, (&pod, &uid), &facts));
        made.await.unwrap_or(Err(VolumeError::Thread))
    }

    /// The same, on this thread.
    pub(super) fn create(
        base: &Path,
        (pod, uid): (&Pod, &str),
        facts: &OwnerFacts,
    ) -> Result<(Self, FolderOwner), VolumeError> {
        let this = Self { path: base.join(uid), base: base.to_owned() };
        let made = FolderOwner::claim(&this.path, facts);
        let owner = made.map_err(|source| VolumeError::Make { path: this.path.clone(), source })?;
        for container in pod.all_containers() {
            make(&this.path.join("logs").join(&container.name), 0o755).inspect_err(|_| {
                // The first error is the one to tell.
                let _ = this.remove();
            })?;
        }
        Ok((this, owner))
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
        let path = targets::run_dir(pod)?;
        Some(Self { path: path.to_owned(), base: path.parent()?.to_owned() })
    }

    /// Tells the `peapod run` of this pod, if there is one, that ends of containers are wanted: as long as the file is
    /// open that this answers. Without it a container may be started once more, to be stopped with the pod.
    pub(crate) fn announce_stop(&self) -> io::Result<fs::File> {
        let file = fs::File::options().write(true).create(true).truncate(false).open(self.path.join(STOPPING))?;
        flock(&file, FlockOperation::LockShared)?;
        Ok(file)
    }

    /// Whether somebody announced it, and lives.
    pub(super) fn is_stopping(&self) -> bool {
        let mark = fs::File::open(self.path.join(STOPPING));
        mark.is_ok_and(|mark| flock(&mark, FlockOperation::NonBlockingLockExclusive).is_err())
    }

    /// Whether somebody has announced a stop once, or removed what was here.
    pub(super) fn was_asked_to_stop(&self) -> bool {
        self.path.join(STOPPING).exists() || !self.path.exists()
    }

    /// Before a container is started again: of what has ended only the last one's log is kept, as a kubelet does it.
    pub(super) fn forget_before(&self, container: &Container, attempt: u32) {
        let Some(old) = attempt.checked_sub(2) else { return };
        let log = self.path.join("logs").join(messages::log_path(container, old));
        // What can't be removed goes with the pod.
        let _ = keep_newest(&log, 0);
        for left in [log, termination::file(&self.path, &container.name, old)] {
            let _ = fs::remove_file(left);
        }
    }

    /// Writes the pod's /etc/hosts.
    pub(super) fn make_hosts(&self, text: &str) -> Result<PathBuf, VolumeError> {
        let path = self.path.join("etc-hosts");
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
            .map_err(|source| VolumeError::Make { path: path.clone(), source })?;
        Ok(path)
    }

    /// Shows a part of a volume at a place of its own, which nobody can move elsewhere.
    pub(super) fn bind_part(&self, shown: &VolumePart) -> Result<PathBuf, VolumeError> {
        let target = self.path.join("parts").join(&shown.container).join(shown.index.to_string());
        let failed = |source| {
            let source = subpath::explained(source, &shown.part);
            VolumeError::Part { volume: shown.volume.clone(), part: shown.part.clone(), source }
        };
        let source = subpath::open(&shown.path, &shown.part).map_err(failed)?;
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

    /// The files that a container's variables come from: the volume's name, where its files are, and the path in it.
    pub(super) fn wanted_env_files(&self, pod: &Pod, container: &Container) -> Vec<(String, PathBuf, String)> {
        let wanted = container.process.env.iter().filter_map(|variable| {
            let EnvSource::File { volume, path, .. } = &variable.source else { return None };
            let from = pod.volumes.iter().find(|known| known.name == *volume)?;
            Some((volume.clone(), self.volume(pod, from), path.clone()))
        });
        wanted.collect()
    }

    /// Removes all but what tells of a pod that has ended: its Secrets are not there for longer than it ran.
    pub(super) fn leave_logs(&self) -> io::Result<()> {
        if fs::write(self.path.join(ENDED), "").is_err() {
            // Nobody could tell it from a pod that somebody wants to keep.
            return self.remove();
        }
        kernel_mounts::unmount_below(&self.path)?;
        remove_inner(&self.path, &[OWNER, ENDED, "logs", report::NAME])
    }

    /// Whether it is there for nothing else than to tell of a pod that has ended.
    pub(super) fn tells_of_end(&self) -> bool {
        self.path.join(ENDED).exists()
    }

    /// Removes the directory with all that is in it. What it shows of other places is left alone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_folder(&self.path)
    }
}

/// Removes a pod's directory, whoever made it.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    kernel_mounts::unmount_below(path)?;
    match remove_inner(path, &[OWNER]) {
        // Somebody else removes it as well.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    Ok(peapod_sys::remove_tree(path)?)
}

/// Whose the folder is goes last: should this process be killed, the next one goes on.
fn remove_inner(path: &Path, kept: &[&str]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !kept.iter().any(|kept| kept.as_bytes() == name) {
            peapod_sys::remove_tree_at(&folder, name)?;
        }
    }
    Ok(())
}

/// Reads files of variables. One that is missing has no variables.
pub(super) fn read_env_files(wanted: Vec<(String, PathBuf, String)>) -> Result<EnvFiles, VolumeError> {
    let mut files = EnvFiles::new();
    for (volume, from, path) in wanted {
        let key = (volume.clone(), path.clone());
        if files.contains_key(&key) {
            continue;
        }
        match subpath::open_file(&from, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => {
                let text = opened.map_err(|error| subpath::explained(error, &path)).and_then(bounded);
                let text =
                    text.map_err(|source| VolumeError::Read { volume: volume.clone(), path: path.clone(), source })?;
                let read = env::parse_file(&text);
                files.insert(key, read.map_err(|source| VolumeError::Variables { volume, path, source })?);
            }
        }
    }
    Ok(files)
}

fn bounded(file: fs::File) -> io::Result<String> {
    let mut text = String::new();
    file.take(ENV_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > ENV_FILE_BYTES {
        return Err(io::Error::other(format!("it has more than {} KiB", ENV_FILE_BYTES >> 10)));
    }
    Ok(text)
}

/// Makes a folder, and those above it.
pub(super) fn make(path: &Path, mode: u32) -> Result<(), VolumeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| VolumeError::Make { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> (tempfile::TempDir, PodDir, Pod) {
        let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: m, image: x}]}}";
        let (base, pod) = (tempfile::tempdir().unwrap(), crate::manifest::read(text).unwrap());
        let facts = OwnerFacts { run: "ab".into(), endpoint: "/run/x.sock".into() };
        let (dir, _) = PodDir::create(base.path(), (&pod, "uid"), &facts).unwrap();
        (base, dir, pod)
    }

    #[tokio::test]
    async fn a_folder_that_is_waited_for_holds_up_no_other_pod() {
        let (base, dir, pod) = dir();
        let looks = fs::File::open(dir.path.join(OWNER)).unwrap();
        flock(&looks, FlockOperation::LockExclusive).unwrap();
        let (others, heard) = std::sync::mpsc::channel();
        let looker = std::thread::spawn(move || {
            let went_on = heard.recv_timeout(std::time::Duration::from_secs(20)).is_ok();
            drop(looks);
            went_on
        });
        let facts = OwnerFacts { run: "ab".into(), endpoint: "/run/x.sock".into() };
        let (made, ()) =
            tokio::join!(PodDir::make(base.path(), (&pod, "uid"), facts), async { others.send(()).unwrap() });
        assert!(looker.join().unwrap(), "other pods waited, too");
        made.unwrap();
    }

    #[test]
    fn a_stop_is_announced_by_who_lives() {
        let (_base, dir, _) = dir();
        assert!(!dir.is_stopping() && !dir.was_asked_to_stop());
        let (one, other) = (dir.announce_stop().unwrap(), dir.announce_stop().unwrap());
        assert!(dir.is_stopping());
        drop(one);
        assert!(dir.is_stopping());
        drop(other);
        assert!(!dir.is_stopping(), "nobody stops it any more");
        assert!(dir.was_asked_to_stop());
    }

    #[test]
    fn of_a_failure_the_logs_are_left_and_no_volumes() {
        let (_base, dir, _) = dir();
        fs::create_dir(dir.path.join("volumes")).unwrap();
        fs::write(dir.path.join("logs/m/0.log"), "word").unwrap();
        assert!(!dir.tells_of_end());
        dir.leave_logs().unwrap();
        assert!(dir.tells_of_end() && dir.path.join("logs/m/0.log").exists());
        assert!(!dir.path.join("volumes").exists());
        dir.remove().unwrap();
        assert!(!dir.path.exists());
    }

    #[test]
    fn whose_a_folder_was_is_the_last_to_go() {
        let (_base, dir, _) = dir();
        fs::create_dir(dir.path.join("volumes")).unwrap();
        remove_inner(&dir.path, &[OWNER]).unwrap();
        let left: Vec<_> = fs::read_dir(&dir.path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [OWNER]);
        dir.remove().unwrap();
        dir.remove().unwrap();
        assert!(!dir.path.exists());
    }

    #[test]
    fn of_many_starts_the_last_two_are_kept() {
        let (_base, dir, pod) = dir();
        let container = &pod.containers[0];
        for attempt in 0..5 {
            dir.forget_before(container, attempt);
            let log = dir.path.join("logs/m").join(format!("{attempt}.log"));
            fs::write(&log, "").unwrap();
            termination::LastWords::prepare(&dir.path, container, attempt, log).unwrap();
        }
        let names = |folder: &str| {
            let entries = fs::read_dir(dir.path.join(folder)).unwrap().flatten();
            let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(
            (names("logs/m"), names("termination")),
            (vec!["3.log".into(), "4.log".into()], vec!["m-3".into(), "m-4".into()])
        );
    }

    #[test]
    fn an_annotation_leads_to_no_link() {
        let (base, dir, _) = dir();
        let pod = |path: &Path, uid: &str| v1::PodSandbox {
            metadata: Some(v1::PodSandboxMetadata { uid: uid.to_owned(), ..Default::default() }),
            annotations: [(crate::labels::RUN_DIR.to_owned(), path.display().to_string())].into(),
            ..Default::default()
        };
        assert!(PodDir::of(&pod(&dir.path, "uid")).is_some() && PodDir::of(&pod(&dir.path, "other")).is_none());
        std::os::unix::fs::symlink(&dir.path, base.path().join("link")).unwrap();
        assert!(PodDir::of(&pod(&base.path().join("link"), "link")).is_none());
    }
}
