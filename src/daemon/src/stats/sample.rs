//! What all that runs uses, as metrics tell it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use peapod_cgroup::Stats;
use peapod_pod::{ContainerView, PodEntry, Snapshot};

use super::devices::device_name;
use super::layers::LayerUsage;
use super::network::InterfaceUsage;
use super::processes::ProcessCounts;

/// All READY pods.
#[derive(Debug)]
pub(crate) struct NodeSample {
    /// When it was begun, in nanoseconds since the epoch.
    pub(crate) timestamp: i64,
    pub(crate) pods: Vec<PodSample>,
    /// The file system of writable layers; none if it can't be asked.
    pub(crate) disk: Option<Disk>,
}

/// A pod.
#[derive(Debug)]
pub(crate) struct PodSample {
    pub(crate) entry: Arc<PodEntry>,
    /// None in the node's network, and of a pod in which nothing runs.
    pub(crate) interfaces: Vec<InterfaceUsage>,
    pub(crate) containers: Vec<ContainerSample>,
}

/// A container that runs.
#[derive(Debug)]
pub(crate) struct ContainerSample {
    pub(crate) view: Arc<ContainerView>,
    /// When it was read, in nanoseconds since the epoch.
    pub(crate) timestamp: i64,
    pub(crate) stats: Stats,
    pub(crate) layer: Option<LayerUsage>,
    pub(crate) processes: Option<ProcessCounts>,
    /// Names of the devices in `stats`, in their order.
    pub(crate) devices: Vec<Arc<str>>,
}

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Of the device that it is on.
    pub(crate) device: Arc<str>,
    pub(crate) bytes: u64,
    /// None where they are made as they are needed.
    pub(crate) inodes: Option<u64>,
    pub(crate) free_inodes: Option<u64>,
}

/// A sample, and of what.
pub(super) struct LastSample {
    pub(super) taken: Instant,
    pub(super) of: Arc<Snapshot>,
    pub(super) sample: Arc<NodeSample>,
}

/// The file system that a path is on. Blocks.
pub(super) fn disk(path: &Path) -> Option<Disk> {
    let found = rustix::fs::statvfs(path).ok()?;
    let device = rustix::fs::stat(path).ok()?.st_dev;
    let inodes = (found.f_files != 0).then_some(found.f_files);
    Some(Disk {
        device: device_name(rustix::fs::major(device), rustix::fs::minor(device)),
        bytes: found.f_blocks.saturating_mul(found.f_frsize),
        inodes,
        free_inodes: inodes.map(|_| found.f_ffree),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_a_size() {
        let found = disk(Path::new("/")).unwrap();
        assert!(found.bytes > 1 << 20 && !found.device.is_empty(), "{found:?}");
        assert!(found.free_inodes <= found.inodes, "{found:?}");
        assert_eq!(disk(Path::new("/nowhere")), None);
    }
}
