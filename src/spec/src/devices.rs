//! Devices of a container: nodes to make, and what its cgroup may do with them.

use std::collections::BTreeSet;
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, Mount};

use crate::SpecError;
use crate::inputs::{DeviceKind, HostDevice, Inputs, NodeOwner};
use crate::json::text;
use crate::user::UserIds;

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

/// What becomes of a container's devices.
pub(crate) struct ContainerDevices {
    /// Made by the OCI runtime.
    pub(crate) nodes: Vec<LinuxDevice>,
    /// Of the container's cgroup.
    pub(crate) rules: Vec<LinuxDeviceCgroup>,
    /// Devices that are shown where the node has them under another name.
    pub(crate) mounts: Vec<Mount>,
}

/// Nodes and cgroup rules. A privileged container may use every device, whether it has a node for it or not.
pub(crate) fn devices(inputs: &Inputs<'_>, process: &UserIds) -> Result<ContainerDevices, SpecError> {
    let privileged = inputs.container.security.privileged;
    let of_edits = inputs.devices.edits.mounts.iter().map(|mount| mount.container_path.as_path());
    let of_client = inputs.container.mounts.iter().map(|mount| mount.container_path.as_path());
    let mounts: BTreeSet<&Path> = of_client.chain(of_edits).collect();
    let mut all = ContainerDevices { nodes: Vec::new(), rules: vec![everything(privileged)], mounts: Vec::new() };
    let mut seen = BTreeSet::new();
    for device in inputs.devices.nodes {
        let path = text(&device.container_path)?;
        if !seen.insert(path) {
            continue;
        }
        // Below a mount of the client the node would be made on the node's own disk, in its `/dev` for example.
        let mounted = device.container_path.ancestors().any(|above| mounts.contains(above));
        let made = !mounted && is_made_already(device, inputs.container.tty)?;
        if !privileged && device.kind != DeviceKind::Fifo && !device.permissions.is_empty() {
            all.rules.push(rule(device));
        }
        if mounted || made {
            continue;
        }
        match (inputs.pod.namespaces.users, &device.host_path) {
            (None, _) => all.nodes.push(node(device, process)),
            (Some(_), None) => {
                let why = "it is to be made, which the kernel allows the node's users alone; the node has none to show";
                return Err(SpecError::DeviceOfUsers { path: device.container_path.clone(), why });
            }
            // The OCI runtime shows the node's device of that name.
            (Some(_), Some(host)) if *host == device.container_path => all.nodes.push(node(device, process)),
            (Some(_), Some(host)) => all.mounts.push(shown(path, text(host)?)),
        }
    }
    Ok(all)
}

/// A device of the node under another name.
fn shown(path: &str, host: &str) -> Mount {
    let options = ["bind", "rprivate", "nosuid", "noexec", "rw"].map(str::to_owned).to_vec();
    let mut mount = Mount::default();
    mount
        .set_destination(path.into())
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(host.into()))
        .set_options(Some(options));
    mount
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

fn node(device: &HostDevice, process: &UserIds) -> LinuxDevice {
    let id = |owner, own| match owner {
        NodeOwner::Id(id) => id,
        NodeOwner::Process => own,
    };
    let mut node = LinuxDevice::default();
    node.set_path(device.container_path.clone())
        .set_typ(kind(device.kind))
        .set_major(device.major.into())
        .set_minor(device.minor.into())
        .set_file_mode(Some(device.mode & 0o7777))
        .set_uid(Some(id(device.uid, process.uid)))
        .set_gid(Some(id(device.gid, process.gid)));
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
        DeviceKind::Fifo => LinuxDeviceType::P,
    }
}
