//! Devices of a container: nodes to make, and what its cgroup may do with them.

use std::collections::BTreeSet;
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use crate::SpecError;
use crate::inputs::{DeviceKind, HostDevice, Inputs};
use crate::json::text;

/// Devices that the OCI runtime makes in every container, with their numbers. It makes them by itself, whatever a
/// device of that name in config.json is. `/dev/console` is the terminal of a container that has one.
const STANDARD: [(&str, u32, u32); 7] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
    ("/dev/ptmx", 5, 2),
];
/// Its links.
const LINKS: [&str; 5] = ["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/core"];
/// File systems in which a device could not be opened, or would be the node's or the whole pod's.
const FILE_SYSTEMS: [&str; 5] = ["/proc", "/sys", "/dev/pts", "/dev/shm", "/dev/mqueue"];
/// Files of the pod, which are mounted in every container.
const FILES: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/// Nodes and cgroup rules. A privileged container may use every device, whether it has a node for it or not.
pub(crate) fn devices(inputs: &Inputs<'_>) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>), SpecError> {
    let privileged = inputs.container.security.privileged;
    if let Some(name) = inputs.container.cdi_devices.first() {
        return Err(SpecError::CdiDevice(name.clone()));
    }
    let mounts: BTreeSet<&Path> = inputs.container.mounts.iter().map(|mount| mount.container_path.as_path()).collect();
    let mut rules = vec![everything(privileged)];
    let mut nodes = Vec::new();
    let mut seen = BTreeSet::new();
    for device in inputs.devices {
        let path = text(&device.container_path)?;
        if !seen.insert(path) {
            continue;
        }
        // Below a mount of the client the node would be made on the node's own disk, in its `/dev` for example.
        let mounted = device.container_path.ancestors().any(|above| mounts.contains(above));
        let made = !mounted && is_made_already(device, inputs.container.tty)?;
        if !privileged {
            rules.push(rule(device));
        }
        if !mounted && !made {
            nodes.push(node(device));
        }
    }
    Ok((nodes, rules))
}

/// Whether the container has this very device under this name anyway. An error if it has something else there.
fn is_made_already(device: &HostDevice, tty: bool) -> Result<bool, SpecError> {
    let refuse = |why| Err(SpecError::DeviceName { path: device.container_path.clone(), why });
    let path = device.container_path.as_path();
    if let Some((_, major, minor)) = STANDARD.iter().find(|(name, ..)| path == Path::new(name)) {
        if (device.kind, device.major, device.minor) == (DeviceKind::Char, *major, *minor) {
            return Ok(true);
        }
        return refuse("every container has its own of this name; ask for another container_path");
    }
    if tty && path == Path::new("/dev/console") {
        return refuse("it is the container's terminal; ask for another container_path");
    }
    if LINKS.iter().any(|link| path.starts_with(link)) {
        return refuse("every container has a link of this name; ask for another container_path");
    }
    // There, and where they or /dev are mounted.
    let clash = |system: &&str| path.starts_with(system) || Path::new(system).starts_with(path);
    if FILE_SYSTEMS.iter().any(clash) {
        return refuse("a file system of the container is mounted there; ask for another container_path");
    }
    if FILES.iter().any(clash) {
        return refuse("a file of the pod is mounted there; ask for another container_path");
    }
    Ok(false)
}

fn node(device: &HostDevice) -> LinuxDevice {
    let mut node = LinuxDevice::default();
    node.set_path(device.container_path.clone())
        .set_typ(kind(device.kind))
        .set_major(device.major.into())
        .set_minor(device.minor.into())
        .set_file_mode(Some(device.mode & 0o7777))
        .set_uid(Some(device.uid))
        .set_gid(Some(device.gid));
    node
}

fn rule(device: &HostDevice) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(kind(device.kind)))
        .set_major(Some(device.major.into()))
        .set_minor(Some(device.minor.into()))
        .set_access(Some(device.permissions.clone()));
    rule
}

/// Whether it is the node of this device.
pub(crate) fn is_node(node: &LinuxDevice, device: &HostDevice) -> bool {
    (node.typ(), node.major(), node.minor()) == (kind(device.kind), i64::from(device.major), i64::from(device.minor))
}

/// Whether it allows something with this device, or everything.
pub(crate) fn is_rule(found: &LinuxDeviceCgroup, device: &HostDevice) -> bool {
    let number = |rule: &LinuxDeviceCgroup| (rule.allow(), rule.typ(), rule.major(), rule.minor());
    number(found) == number(&rule(device)) || *found == everything(true)
}

fn everything(allow: bool) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow).set_access(Some("rwm".to_owned()));
    rule
}

const fn kind(kind: DeviceKind) -> LinuxDeviceType {
    match kind {
        DeviceKind::Char => LinuxDeviceType::C,
        DeviceKind::Block => LinuxDeviceType::B,
    }
}
