//! From the request to a config.json.

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceCgroup, LinuxResources, Root, Spec};

use crate::capabilities::{self, CapabilitySet, Granted};
use crate::error::SpecError;
use crate::inputs::Inputs;
use crate::json::text;
use crate::kept::Config;
use crate::note::Note;
use crate::user::{ResolvedUser, UserIds, UserRequest, resolve_user};
use crate::user_namespace::IdRange;
use crate::volumes::image_volumes;
use crate::{apply_edits, devices, mounts, process, seccomp};

/// What the runtimes of the field have understood for years.
pub(crate) const OCI_VERSION: &str = "1.0.2";

/// A container's runtime configuration, and what was found out on the way to it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The configuration.
    pub config: Config,
    /// Who runs.
    pub user: ResolvedUser,
    /// What was asked for and is not given.
    pub notes: Vec<Note>,
}

/// Makes a container's runtime configuration.
///
/// # Errors
/// Request, image and node do not go together; the message names the field.
pub fn oci_config(inputs: &Inputs<'_>) -> Result<Configured, SpecError> {
    let mut notes = Vec::new();
    let security = &inputs.container.security;
    let mut user = resolve_user(&UserRequest {
        choice: &security.user,
        group: security.run_as_group,
        image_user: &inputs.image.defaults.user,
        passwd: inputs.image.passwd,
        group_file: inputs.image.group,
        supplemental: &security.supplemental_groups,
        policy: security.supplemental_groups_policy,
    })?;
    apply_edits::add_groups(&mut user.ids, inputs.devices.edits)?;
    has_ids(inputs, &user)?;
    let granted = capabilities::granted(security, CapabilitySet::from_mask(inputs.node.capabilities), &mut notes)?;
    // Looked at also where nothing is to be mounted, so that every mistake is found.
    image_volumes(inputs.image.defaults, inputs.container, &mut notes)?;
    let mut mounts = mounts::mounts(inputs, &mut notes)?;
    let process = process::process(inputs, &user, granted, &mut notes)?;
    let devices = devices::devices(inputs, &user.ids)?;
    apply_edits::set_mounts(&mut mounts, inputs, devices.mounts)?;
    let linux = linux(inputs, granted, devices.nodes, devices.rules)?;

    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned())
        .set_root(Some(root(inputs.rootfs, security.readonly_rootfs)?))
        .set_mounts(Some(mounts))
        .set_process(Some(process))
        // The pod's UTS namespace has its name already.
        .set_hostname(None)
        .set_hooks(apply_edits::hooks(inputs.devices.edits)?)
        .set_linux(Some(linux));
    let mut config = Config::of(spec);
    config.set_for_start(inputs.container, inputs.node, &inputs.start, &mut notes)?;
    Ok(Configured { config, user, notes })
}

/// Whether the pod has the ids as which the container is to run.
fn has_ids(inputs: &Inputs<'_>, user: &ResolvedUser) -> Result<(), SpecError> {
    let Some(users) = inputs.pod.namespaces.users else { return Ok(()) };
    let UserIds { uid, gid, groups } = &user.ids;
    let lacks = |what, range: IdRange, id| Err(SpecError::NoSuchId { what, id, count: range.count() });
    if users.uids.on_node(*uid).is_none() {
        return lacks("user", users.uids, *uid);
    }
    match [gid].into_iter().chain(groups).find(|id| users.gids.on_node(**id).is_none()) {
        Some(id) => lacks("group", users.gids, *id),
        None => Ok(()),
    }
}

fn root(path: &Path, readonly: bool) -> Result<Root, SpecError> {
    text(path)?;
    let mut root = Root::default();
    root.set_path(path.to_owned()).set_readonly(Some(readonly));
    Ok(root)
}

fn linux(
    inputs: &Inputs<'_>,
    granted: Granted,
    nodes: Vec<LinuxDevice>,
    rules: Vec<LinuxDeviceCgroup>,
) -> Result<Linux, SpecError> {
    let security = &inputs.container.security;
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(rules));
    let seccomp = seccomp::profile(inputs, granted.main)?;
    // "Privileged" means that nothing is hidden.
    let paths = |list: &[String]| Some(if security.privileged { Vec::new() } else { list.to_vec() });

    let mut linux = Linux::default();
    linux
        .set_cgroups_path(Some(inputs.cgroups_path.into()))
        .set_resources(Some(resources))
        .set_devices(Some(nodes).filter(|nodes| !nodes.is_empty()))
        .set_rootfs_propagation(mounts::rootfs_propagation(inputs.container))
        .set_mount_label(inputs.labels()?.map(|labels| labels.mounts))
        .set_seccomp(seccomp)
        .set_masked_paths(paths(&security.masked_paths))
        .set_readonly_paths(paths(&security.readonly_paths));
    apply_edits::set_linux(&mut linux, inputs.devices.edits)?;
    Ok(linux)
}
