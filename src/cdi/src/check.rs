//! What the format demands of a file beyond its fields.

use std::collections::BTreeSet;

use peapod_text::excerpt;

use crate::bounds::{DEVICES, EDITS};
use crate::edits::{CdiEdits, CdiHook, CdiMount, CdiNetDevice, CdiNode, CdiRdt, RawFile};
use crate::{name, version};

/// Moments of a container's life at which programs run.
const HOOKS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Checks everything. The error names the device, if it is one's, and the field.
pub(crate) fn check(file: &RawFile) -> Result<(), String> {
    version::check(file)?;
    name::check_kind(&file.kind).map_err(|why| format!("kind: {why}"))?;
    if file.devices.is_empty() {
        return Err("it has no devices".to_owned());
    }
    if file.devices.len() > DEVICES {
        return Err(format!("it has {} devices, and {DEVICES} are the most", file.devices.len()));
    }
    let all = file.devices.iter().map(|device| &device.container_edits).chain([&file.container_edits]);
    let count: usize = all.map(CdiEdits::count).sum();
    if count > EDITS {
        return Err(format!("it has {count} edits, and {EDITS} are the most"));
    }
    edits(&file.container_edits)?;
    let mut names = BTreeSet::new();
    for device in &file.devices {
        name::check_device(&device.name)?;
        let of_device = |why: String| format!("device {}: {why}", excerpt(&device.name));
        if !names.insert(&device.name) {
            return Err(of_device("there are two of this name".to_owned()));
        }
        if device.container_edits.count() == 0 {
            return Err(of_device("its containerEdits are empty".to_owned()));
        }
        edits(&device.container_edits).map_err(of_device)?;
    }
    Ok(())
}

fn edits(edits: &CdiEdits) -> Result<(), String> {
    variables("env", &edits.env)?;
    for node in &edits.device_nodes {
        check_node(node).map_err(|why| format!("deviceNodes: {}: {why}", excerpt(&node.path)))?;
    }
    net_devices(&edits.net_devices)?;
    for hook in &edits.hooks {
        check_hook(hook).map_err(|why| format!("hooks: {}: {why}", excerpt(&hook.path)))?;
    }
    for mount in &edits.mounts {
        check_mount(mount).map_err(|why| format!("mounts: {}: {why}", excerpt(&mount.container_path)))?;
    }
    edits.intel_rdt.as_ref().map_or(Ok(()), check_rdt)
}

fn variables(field: &str, all: &[String]) -> Result<(), String> {
    let is_one = |text: &&String| text.find('=').is_some_and(|at| at > 0) && !text.contains('\0');
    match all.iter().find(|text| !is_one(text)) {
        None => Ok(()),
        Some(text) => Err(format!("{field}: {} is not NAME=value", excerpt(text))),
    }
}

fn check_node(node: &CdiNode) -> Result<(), String> {
    absolute("path", &node.path)?;
    absolute("hostPath", node.host_path())?;
    if !matches!(node.kind.as_str(), "" | "b" | "c" | "u" | "p") {
        return Err(format!("type {} should be b, c, u or p", excerpt(&node.kind)));
    }
    if node.permissions != "none" && !node.permissions.chars().all(|c| "rwm".contains(c)) {
        return Err(format!("permissions {} should be of r, w and m, or none", excerpt(&node.permissions)));
    }
    for (field, number) in [("major", node.major), ("minor", node.minor)] {
        if u32::try_from(number).is_err() {
            return Err(format!("{field} {number} is no number of a device"));
        }
    }
    Ok(())
}

fn net_devices(all: &[CdiNetDevice]) -> Result<(), String> {
    let (mut on_node, mut inside) = (BTreeSet::new(), BTreeSet::new());
    for CdiNetDevice { host_interface_name, name } in all {
        for text in [host_interface_name, name] {
            if text.is_empty() || text.contains(['\0', '/']) || text.chars().any(char::is_whitespace) {
                return Err(format!("netDevices: {} is no name of a network device", excerpt(text)));
            }
        }
        if !on_node.insert(host_interface_name) || !inside.insert(name) {
            let (one, other) = (excerpt(host_interface_name), excerpt(name));
            return Err(format!("netDevices: {one} as {other}: there are two of one of these names"));
        }
    }
    Ok(())
}

fn check_hook(hook: &CdiHook) -> Result<(), String> {
    if !HOOKS.contains(&hook.hook_name.as_str()) {
        return Err(format!("hookName {} should be one of {}", excerpt(&hook.hook_name), HOOKS.join(", ")));
    }
    absolute("path", &hook.path)?;
    variables("env", &hook.env)?;
    if hook.args.iter().any(|arg| arg.contains('\0')) {
        return Err("args: there is a NUL byte in one".to_owned());
    }
    match hook.timeout {
        Some(seconds) if !(1..=i64::from(i32::MAX)).contains(&seconds) => {
            Err(format!("timeout {seconds} should be a number of seconds above zero"))
        }
        _ => Ok(()),
    }
}

fn check_mount(mount: &CdiMount) -> Result<(), String> {
    absolute("containerPath", &mount.container_path)?;
    if mount.is_bind() {
        absolute("hostPath", &mount.host_path)?;
    } else if mount.host_path.is_empty() {
        return Err("hostPath is empty".to_owned());
    }
    let mut texts = [&mount.host_path, &mount.kind].into_iter().chain(&mount.options);
    if texts.any(|text| text.contains('\0')) { Err("there is a NUL byte in it".to_owned()) } else { Ok(()) }
}

fn check_rdt(rdt: &CdiRdt) -> Result<(), String> {
    let name = rdt.clos_id.as_str();
    if name != "/" && (matches!(name, "." | "..") || name.len() > 255 || name.contains(['/', '\n', '\0'])) {
        return Err(format!("intelRdt: closID {} is no file's name", excerpt(name)));
    }
    Ok(())
}

fn absolute(field: &str, path: &str) -> Result<(), String> {
    if path.starts_with('/') && !path.contains('\0') && path.len() < 4096 {
        return Ok(());
    }
    Err(format!("{field} {} is no absolute path", excerpt(path)))
}
