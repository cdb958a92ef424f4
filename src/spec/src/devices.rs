//! Devices of a container: nodes to make, and what its cgroup may do with them.

use std::collections::BTreeSet;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use crate::SpecError;
use crate::inputs::{DeviceKind, HostDevice, Inputs};
use crate::json::text;

/// The runtime makes these by itself, also where the node has another device of that name.
const RUNTIME_MAKES: [&str; 8] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/console", "/dev/ptmx"];

/// Nodes and cgroup rules. A privileged container may use every device, whether it has a node for it or not.
pub(crate) fn devices(inputs: &Inputs<'_>) -> Result<(Vec<LinuxDevice>, Vec<LinuxDeviceCgroup>), SpecError> {
    let privileged = inputs.container.security.privileged;
    if let Some(name) = inputs.container.cdi_devices.first() {
        return Err(SpecError::CdiDevice(name.clone()));
    }
    let mut rules = vec![everything(privileged)];
    let mut nodes = Vec::new();
    let mut seen = BTreeSet::new();
    for device in inputs.devices {
        let path = text(&device.container_path)?;
        if !seen.insert(path) {
            continue;
        }
        if !privileged {
            rules.push(rule(device));
        }
        // Below a mount of the client the node would be made on the node's own disk, in its `/dev` for example.
        let mounted =
            inputs.container.mounts.iter().any(|mount| device.container_path.starts_with(&mount.container_path));
        if !mounted && !RUNTIME_MAKES.contains(&path) {
            nodes.push(node(device));
        }
    }
    Ok((nodes, rules))
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
