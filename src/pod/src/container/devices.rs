//! Devices of the node that a container gets.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use peapod_spec::container::Device;
use peapod_spec::{DeviceKind, HostDevice};

use crate::error::Error;

/// Most devices that one container gets.
const MOST: usize = 4096;
/// How deep folders of devices are.
const DEPTH: usize = 8;
/// What below /dev is no device of the node but a file system of its own, or a person's terminal.
const NOT_THE_NODES: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console"];

/// The devices of the request, folders expanded, then for a privileged container all of the node's.
pub(super) fn resolve(devices: &[Device], privileged: bool) -> Result<Vec<HostDevice>, Error> {
    let mut found = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        let invalid = |reason: String| Error::Invalid {
            field: format!("devices[{index}].host_path"),
            reason: format!("{}: {reason}", device.host_path.display()),
        };
        let metadata = std::fs::metadata(&device.host_path).map_err(|error| invalid(error.to_string()))?;
        if metadata.is_dir() {
            walk(&device.host_path, &device.container_path, &device.permissions, DEPTH, &mut found);
        } else if let Some(host) = describe(&metadata, device.container_path.clone(), &device.permissions) {
            found.push(host);
        } else {
            return Err(invalid("is neither a device nor a folder of devices".to_owned()));
        }
    }
    if privileged {
        walk(Path::new("/dev"), Path::new("/dev"), "rwm", DEPTH, &mut found);
    }
    Ok(found)
}

/// Adds the devices of a folder; what vanishes meanwhile is left out.
fn walk(host: &Path, container: &Path, permissions: &str, depth: usize, found: &mut Vec<HostDevice>) {
    let Ok(entries) = std::fs::read_dir(host) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if found.len() >= MOST || NOT_THE_NODES.iter().any(|other| Path::new(other) == path) {
            continue;
        }
        let inside: PathBuf = container.join(entry.file_name());
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            if depth > 0 {
                walk(&path, &inside, permissions, depth - 1, found);
            }
        } else if let Some(device) = describe(&metadata, inside, permissions) {
            found.push(device);
        }
    }
}

fn describe(metadata: &std::fs::Metadata, container_path: PathBuf, permissions: &str) -> Option<HostDevice> {
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
        uid: metadata.uid(),
        gid: metadata.gid(),
        permissions: permissions.to_owned(),
    })
}
