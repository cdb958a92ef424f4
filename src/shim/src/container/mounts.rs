//! What is mounted for a container in its bundle: the root file system, and volumes beside it.

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::mount::{MountError, NewMount, unmount};
use crate::users::{PodUsers, is_mapping, namespace_of};
use crate::{bundle, log};

/// A mount that the master asks for.
pub(crate) struct WantedMount {
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) options: Vec<String>,
}

/// The mounts of a create: unmounted if that fails. Whatever comes of it, the layer may be mounted again: after a
/// failed create, and after a start that is taken back.
pub(super) struct ContainerMounts {
    /// In the order in which they were made.
    mounted: Vec<PathBuf>,
    /// Of overlays.
    work: Vec<PathBuf>,
}

impl ContainerMounts {
    /// The root file system, whose mounts lie over each other, and volumes by their names, in that bundle; in a pod
    /// with users of its own all are seen with these.
    pub(super) fn make(
        dir: &Path,
        rootfs: &[WantedMount],
        volumes: &[(String, WantedMount)],
        users: Option<&PodUsers>,
    ) -> Result<Self, Error> {
        let options = rootfs.iter().flat_map(|mount| &mount.options);
        let work = options.filter_map(|option| option.strip_prefix("workdir=")).map(PathBuf::from).collect();
        let mut mounts = Self { mounted: Vec::new(), work };
        let target = bundle::rootfs(dir);
        for mount in rootfs {
            mounts.add(mount, &target, users)?;
        }
        for (name, mount) in volumes {
            mounts.add(mount, &bundle::volume(dir, name)?, users)?;
        }
        Ok(mounts)
    }

    fn add(&mut self, mount: &WantedMount, target: &Path, users: Option<&PodUsers>) -> Result<(), Error> {
        let (mapping, options): (Vec<_>, Vec<_>) = mount.options.iter().cloned().partition(|option| is_mapping(option));
        let users = namespace_of(users, &mapping)?;
        NewMount { kind: &mount.kind, source: &mount.source, target, options: &options, users }.make()?;
        self.mounted.push(target.to_path_buf());
        Ok(())
    }

    /// They are the container's from now on.
    pub(super) fn keep(mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.mounted)
    }
}

impl Drop for ContainerMounts {
    fn drop(&mut self) {
        if let Err(error) = unmount_all(&self.mounted) {
            log::warn("a failed create leaves a mount", &[("error", &error)]);
        }
        self.work.iter().for_each(|work| remove_volatile_mark(work));
    }
}

/// Unmounts all, the last one first. Goes on when one can't be; the first error is the answer.
pub(super) fn unmount_all(mounted: &[PathBuf]) -> Result<(), MountError> {
    let mut outcome = Ok(());
    for target in mounted.iter().rev() {
        outcome = outcome.and(unmount(target));
    }
    outcome
}

/// A volatile overlay leaves a mark that forbids to use its upper directory again, as a crash of the node may have left
/// half of it. Nothing of that outlives a crash here: the master begins anew.
fn remove_volatile_mark(work: &Path) {
    if let Err(error) = peapod_sys::remove_tree(&work.join("work/incompat")) {
        log::warn("a create leaves an overlay's mark", &[("path", &work.display()), ("error", &error)]);
    }
}
