//! Devices' edits of a configuration.

use std::collections::HashMap;

use oci_spec::runtime::{Hook, Hooks, Linux, LinuxNetDeviceBuilder, Mount};

use crate::SpecError;
use crate::bounds::{GROUPS, HOOKS, MOUNTS};
use crate::edits::{Edits, HookMoment};
use crate::inputs::Inputs;
use crate::json::text;
use crate::mounts::{mapping, sort};
use crate::user::{UserError, UserIds};

/// Adds the groups of devices to those of a user, in order.
pub(crate) fn add_groups(ids: &mut UserIds, edits: &Edits) -> Result<(), SpecError> {
    ids.groups.extend(edits.groups.iter().filter(|id| **id != 0));
    ids.groups.sort_unstable();
    ids.groups.dedup();
    match ids.groups.last() {
        Some(&u32::MAX) => Err(UserError::OutOfRange(u32::MAX).into()),
        _ if ids.groups.len() > GROUPS => Err(UserError::TooManyGroups(ids.groups.len()).into()),
        _ => Ok(()),
    }
}

/// Sets variables in an environment.
pub(crate) fn set_variables(env: &mut Vec<String>, edits: &Edits) {
    if edits.env.is_empty() {
        return;
    }
    let name = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let mut places: HashMap<String, usize> = env.iter().enumerate().map(|(at, line)| (name(line), at)).collect();
    for line in &edits.env {
        let place = *places.entry(name(line)).or_insert(env.len());
        match env.get_mut(place) {
            Some(variable) => line.clone_into(variable),
            None => env.push(line.clone()),
        }
    }
}

/// Adds mounts, and those of devices that can be shown to their container in no other way.
pub(crate) fn set_mounts(mounts: &mut Vec<Mount>, inputs: &Inputs<'_>, of_nodes: Vec<Mount>) -> Result<(), SpecError> {
    let edits = inputs.devices.edits;
    let count = inputs.container.mounts.len() + edits.mounts.len();
    if count > MOUNTS {
        let what = "mounts, those of its CDI devices counted";
        return Err(SpecError::TooMany { field: "CDI_devices", what, count, most: MOUNTS });
    }
    for edit in &edits.mounts {
        text(&edit.container_path)?;
        text(&edit.source)?;
        let mut mount = Mount::default();
        mount
            .set_destination(edit.container_path.clone())
            .set_typ(Some(edit.kind.clone()))
            .set_source(Some(edit.source.clone()))
            .set_options(Some(edit.options.clone()));
        let is_mapped = edit.options.iter().any(|option| option == "idmap" || option == "ridmap");
        if let Some(users) = inputs.pod.namespaces.users.filter(|_| edit.kind == "bind" && !is_mapped) {
            mount.set_uid_mappings(Some(mapping(users.uids)?)).set_gid_mappings(Some(mapping(users.gids)?));
        }
        mounts.retain(|other| *other.destination() != edit.container_path);
        mounts.push(mount);
    }
    mounts.extend(of_nodes);
    sort(mounts);
    Ok(())
}

/// Sets what else there is of a container's kernel settings.
pub(crate) fn set_linux(linux: &mut Linux, edits: &Edits) -> Result<(), SpecError> {
    if !edits.net_devices.is_empty() {
        let mut devices = HashMap::new();
        for (on_node, name) in &edits.net_devices {
            let device = LinuxNetDeviceBuilder::default().name(name.clone()).build();
            devices.insert(on_node.clone(), device.map_err(|error| SpecError::Json(error.to_string()))?);
        }
        linux.set_net_devices(Some(devices));
    }
    if let Some(rdt) = &edits.intel_rdt {
        linux.set_intel_rdt(Some(rdt.clone()));
    }
    Ok(())
}

/// The hooks; `None` without any.
pub(crate) fn hooks(edits: &Edits) -> Result<Option<Hooks>, SpecError> {
    if edits.hooks.len() > HOOKS {
        let (count, what) = (edits.hooks.len(), "hooks of its CDI devices");
        return Err(SpecError::TooMany { field: "CDI_devices", what, count, most: HOOKS });
    }
    let mut hooks = Hooks::default();
    for (moment, hook) in &edits.hooks {
        add_hook(&mut hooks, *moment, hook.clone());
    }
    Ok((!edits.hooks.is_empty()).then_some(hooks))
}

/// Adds a hook behind those of its moment.
pub(crate) fn add_hook(hooks: &mut Hooks, moment: HookMoment, hook: Hook) {
    let list = match moment {
        HookMoment::Prestart => hooks.prestart_mut(),
        HookMoment::CreateRuntime => hooks.create_runtime_mut(),
        HookMoment::CreateContainer => hooks.create_container_mut(),
        HookMoment::StartContainer => hooks.start_container_mut(),
        HookMoment::Poststart => hooks.poststart_mut(),
        HookMoment::Poststop => hooks.poststop_mut(),
    };
    list.get_or_insert_default().push(hook);
}
