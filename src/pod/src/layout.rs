//! Where things of pods and containers lie. Paths alone: nothing here looks at a file system.

use std::path::{Path, PathBuf};

use crate::id::{ContainerId, PodId};

/// The daemon's two folders.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// On the private tmpfs: what goes with a boot.
    run_root: PathBuf,
    /// On a disk: what survives a reboot.
    state_root: PathBuf,
}

impl Layout {
    pub(crate) fn new(run_root: &Path, state_root: &Path) -> Self {
        Self { run_root: run_root.to_owned(), state_root: state_root.to_owned() }
    }

    /// Both folders, that of what survives a reboot first.
    pub(crate) fn roots(&self) -> [&Path; 2] {
        [&self.state_root, &self.run_root]
    }

    /// The folder on the private tmpfs.
    pub(crate) fn run_root(&self) -> &Path {
        &self.run_root
    }

    /// The folder in which pods have theirs.
    pub(crate) fn pods(&self) -> PathBuf {
        self.run_root.join("pods")
    }

    /// The folder of shims' sockets.
    pub(crate) fn sockets(&self) -> PathBuf {
        self.run_root.join("s")
    }

    /// The folder in which containers have their writable layers.
    pub(crate) fn writables(&self) -> PathBuf {
        self.state_root.join("containers")
    }

    /// A pod's folder on the run root.
    pub(crate) fn pod_dir(&self, id: &PodId) -> PathBuf {
        self.pods().join(id.as_str())
    }

    /// A container's bundle.
    pub(crate) fn bundle(&self, pod: &PodId, id: &ContainerId) -> PathBuf {
        self.pod_dir(pod).join("containers").join(id.as_str())
    }

    /// The folder of a container's writable layer.
    pub(crate) fn writable(&self, id: &ContainerId) -> PathBuf {
        self.writables().join(id.as_str())
    }

    /// Where a pod's shim listens. Short, because a socket's path has 107 bytes.
    pub(crate) fn socket(&self, id: &PodId) -> PathBuf {
        let name = id.as_str();
        self.sockets().join(name.get(..16).unwrap_or(name))
    }
}
