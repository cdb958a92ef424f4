//! Devices of the node that a container gets.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use peapod_image::Rootfs;
use peapod_spec::container::{ContainerMount, Device};
use peapod_spec::{Config, DeviceKind, HostDevice, NodeOwner};
use peapod_text::excerpt;

use super::node_change::NodeChange;
use crate::bounds::{CONTAINER_DEVICES, DEVICE_ENTRIES};
use crate::error::Error;

/// How deep folders of devices are.
const DEPTH: usize = 8;
/// What below /dev is no device of the node but a file system of its own, or a person's terminal.
const NOT_THE_NODES: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console"];
/// What every container has of its own.
const EVERY_CONTAINERS: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"];

/// The devices of CDI that were looked up, those of the request, folders expanded, then for a privileged container all
/// of the node's.
pub(super) fn resolve(cdi: Vec<HostDevice>, devices: &[Device], privileged: bool) -> Result<Vec<HostDevice>, Error> {
    if cdi.len() > CONTAINER_DEVICES {
        let reason = format!("{} device nodes, and a container can have {CONTAINER_DEVICES}", cdi.len());
        return Err(Error::Invalid { field: "CDI_devices".to_owned(), reason });
    }
    let mut walk = DeviceWalk { found: cdi, looked_at: 0 };
    for (index, device) in devices.iter().enumerate() {
        let invalid = |reason: String| Error::Invalid {
            field: format!("devices[{index}].host_path"),
            reason: format!("{}: {reason}", excerpt(&device.host_path)),
        };
        let metadata = std::fs::metadata(&device.host_path).map_err(|error| invalid(error.to_string()))?;
        if metadata.is_dir() {
            walk.folder(&device.host_path, &device.container_path, &device.permissions, DEPTH);
        } else if let Some(host) =
            describe((&device.host_path, &metadata), device.container_path.clone(), &device.permissions)
        {
            walk.found.push(host);
        } else {
            return Err(invalid("is neither a device nor a folder of devices".to_owned()));
        }
        if walk.found.len() > CONTAINER_DEVICES || walk.looked_at > DEVICE_ENTRIES {
            return Err(invalid(format!(
                "a container can have {CONTAINER_DEVICES} devices, out of folders with {DEVICE_ENTRIES} entries"
            )));
        }
    }
    if let Some(path) = two_of_one_name(&walk.found) {
        return Err(refused(path, "two different devices are asked for under this name"));
    }
    if privileged {
        let asked_for = walk.found.len();
        walk.folder(Path::new("/dev"), Path::new("/dev"), "rwm", DEPTH);
        let mut seen = 0..;
        let every = |device: &HostDevice| EVERY_CONTAINERS.iter().any(|own| Path::new(own) == device.container_path);
        walk.found.retain(|device| seen.next().is_some_and(|at| at < asked_for) || !every(device));
        if walk.found.len() > CONTAINER_DEVICES {
            tracing::warn!(
                devices = walk.found.len(),
                "a privileged container gets the first {CONTAINER_DEVICES} only"
            );
            walk.found.truncate(CONTAINER_DEVICES);
        }
    }
    Ok(walk.found)
}

/// Whether the devices of the request are those for which the configuration was made.
pub(super) fn verify(config: &Config, devices: &[Device]) -> Result<(), NodeChange> {
    if devices.is_empty() {
        return Ok(());
    }
    let changed = |reason: String| NodeChange { field: "devices".to_owned(), reason };
    let found = resolve(Vec::new(), devices, false).map_err(|error| changed(error.to_string()))?;
    match found.iter().find(|device| !config.has_device(device)) {
        None => Ok(()),
        Some(device) => {
            Err(changed(format!("{} is device {}:{} now", excerpt(&device.container_path), device.major, device.minor)))
        }
    }
}

fn two_of_one_name(devices: &[HostDevice]) -> Option<&Path> {
    let mut seen = HashMap::new();
    for device in devices {
        let (path, number) = (device.container_path.as_path(), (device.kind, device.major, device.minor));
        if *seen.entry(path).or_insert(number) != number {
            return Some(path);
        }
    }
    None
}

/// Refuses a device at whose path the image has something: every OCI runtime would leave that there, and not say so.
///
/// Below `/dev` nothing is the image's, and below the client's mounts no device is made.
pub(super) fn not_in_the_image(
    devices: &[HostDevice],
    mounts: &[ContainerMount],
    rootfs: &Rootfs,
) -> Result<(), Error> {
    let mounts: HashSet<&Path> = mounts.iter().map(|mount| mount.container_path.as_path()).collect();
    let paths: Vec<&Path> = devices
        .iter()
        .map(|device| device.container_path.as_path())
        .filter(|path| !path.starts_with("/dev") && !path.ancestors().any(|above| mounts.contains(above)))
        .collect();
    match rootfs.first_taken(&paths) {
        Ok(None) => Ok(()),
        Ok(Some(path)) => Err(refused(path, "the image has something there; ask for another container_path")),
        Err(error) => Err(Error::failed("look for devices' paths in the image", &error)),
    }
}

fn refused(path: &Path, why: &str) -> Error {
    Error::Invalid { field: "devices".to_owned(), reason: format!("{}: {why}", excerpt(path)) }
}

struct DeviceWalk {
    found: Vec<HostDevice>,
    looked_at: usize,
}

impl DeviceWalk {
    /// Adds the devices of a folder; what vanishes meanwhile is left out.
    fn folder(&mut self, host: &Path, container: &Path, permissions: &str, depth: usize) {
        let Ok(entries) = std::fs::read_dir(host) else { return };
        for entry in entries.flatten() {
            self.looked_at += 1;
            if self.looked_at > DEVICE_ENTRIES {
                return;
            }
            let path = entry.path();
            if NOT_THE_NODES.iter().any(|other| Path::new(other) == path) {
                continue;
            }
            let inside: PathBuf = container.join(entry.file_name());
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                if depth > 0 {
                    self.folder(&path, &inside, permissions, depth - 1);
                }
            } else if let Some(device) = describe((&path, &metadata), inside, permissions) {
                self.found.push(device);
            }
        }
    }
}

fn describe(
    (path, metadata): (&Path, &std::fs::Metadata),
    container_path: PathBuf,
    permissions: &str,
) -> Option<HostDevice> {
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => DeviceKind::Char,
        kind if kind.is_block_device() => DeviceKind::Block,
        _ => return None,
    };
    let device = metadata.rdev();
    Some(HostDevice {
        container_path,
        kind,
        major: rustix::fs::major(device),
        minor: rustix::fs::minor(device),
        mode: metadata.mode() & 0o7777,
        uid: NodeOwner::Id(metadata.uid()),
        gid: NodeOwner::Id(metadata.gid()),
        permissions: permissions.to_owned(),
        host_path: Some(path.to_owned()),
    })
}
