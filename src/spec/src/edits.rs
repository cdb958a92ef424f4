//! What devices change in a container beside their nodes: variables, mounts, groups, hooks.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use oci_spec::runtime::{Hook, Hooks, Linux, LinuxIntelRdt, LinuxNetDeviceBuilder, Mount};

use crate::SpecError;
use crate::bounds::{GROUPS, HOOKS, MOUNTS};
use crate::inputs::Inputs;
use crate::json::text;
use crate::mounts::{mapping, sort};
use crate::user::{UserError, UserIds};

/// What all devices of a container need, in the order in which they were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    /// Variables, `NAME=value`. Each takes the place of one of that name, whoever set it.
    pub env: Vec<String>,
    /// Mounts. Each takes the place of one at that path, whoever asked for it.
    pub mounts: Vec<EditMount>,
    /// Programs of the node, which the OCI runtime runs as root.
    pub hooks: Vec<(HookMoment, Hook)>,
    /// Groups of the container's process. Root's is none that a device gives.
    pub groups: Vec<u32>,
    /// Shares of caches and of the memory's bandwidth.
    pub intel_rdt: Option<LinuxIntelRdt>,
    /// Network devices of the node that move to the container: their names there, and inside.
    pub net_devices: BTreeMap<String, String>,
}

/// A mount that a device needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditMount {
    /// Of the node and without symbolic links, for a bind mount.
    pub source: PathBuf,
    /// In the container, absolute.
    pub container_path: PathBuf,
    /// The file system; `bind` for a bind mount.
    pub kind: String,
    /// As the OCI runtime takes them.
    pub options: Vec<String>,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookMoment {
    /// As `CreateRuntime`; older than that.
    Prestart,
    /// The container's namespaces are there; it is run in the node's.
    CreateRuntime,
    /// The same, run in the container's.
    CreateContainer,
    /// Right before the container's process, in the container.
    StartContainer,
    /// The container's process runs.
    Poststart,
    /// The container is removed.
    Poststop,
}

impl std::str::FromStr for HookMoment {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "prestart" => Self::Prestart,
            "createRuntime" => Self::CreateRuntime,
            "createContainer" => Self::CreateContainer,
            "startContainer" => Self::StartContainer,
            "poststart" => Self::Poststart,
            "poststop" => Self::Poststop,
            _ => return Err(()),
        })
    }
}

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
        let list = match moment {
            HookMoment::Prestart => hooks.prestart_mut(),
            HookMoment::CreateRuntime => hooks.create_runtime_mut(),
            HookMoment::CreateContainer => hooks.create_container_mut(),
            HookMoment::StartContainer => hooks.start_container_mut(),
            HookMoment::Poststart => hooks.poststart_mut(),
            HookMoment::Poststop => hooks.poststop_mut(),
        };
        list.get_or_insert_default().push(hook.clone());
    }
    Ok((!edits.hooks.is_empty()).then_some(hooks))
}
