//! What several plugins want of one container, put together: in their order, each seeing what those before it have made
//! of the container, and no two setting the same. Pure.

pub(crate) mod limits;
mod lists;
mod owners;
#[cfg(test)]
mod tests;
mod updates;

use peapod_text::excerpt;

use crate::api::{
    Container, ContainerAdjustment, CreateContainerResponse, Field, Hook, Hooks, LinuxContainer,
    LinuxContainerAdjustment, LinuxRdt, UpdateContainerResponse,
};
use crate::bounds::{ENTRIES, UPDATES};
use crate::name::PluginName;

pub use lists::removed;
pub(crate) use owners::{Claims, Conflict, Owners};
pub(crate) use updates::UpdateWishes;

/// Why plugins' wishes do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MergeError {
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("plugin {0} asks for an update of the container that is being made: it has to adjust it")]
    Own(String),
    #[error("plugins ask for {0} updates and evictions at once; {UPDATES} are the most")]
    TooMany(usize),
    #[error("plugin {plugin} set {field} to {}", excerpt(value))]
    Value { plugin: String, field: &'static str, value: String },
    #[error("plugin {plugin} makes it {count} {field} of plugins; {most} are the most")]
    TooManyEntries { plugin: String, field: &'static str, count: usize, most: usize },
}

/// Lists may not grow without end: entries are looked for in them one by one.
fn check_count(claims: &Claims<'_>, most: usize, lists: &[(&'static str, usize, usize)]) -> Result<(), MergeError> {
    let too_long = lists.iter().find(|(_, there, new)| there + new > most);
    too_long.map_or(Ok(()), |(field, there, new)| {
        let (plugin, count) = (claims.plugin.to_string(), there + new);
        Err(MergeError::TooManyEntries { plugin, field, count, most })
    })
}

/// The wishes of plugins of a container that is being made.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    /// As the next plugin sees it.
    container: Container,
    adjust: ContainerAdjustment,
    pub(crate) owners: Owners,
    pub(crate) updates: UpdateWishes,
}

impl Merge {
    pub(crate) fn of(container: Container) -> Self {
        let updates = UpdateWishes::of(&container.id);
        Self { container, adjust: ContainerAdjustment::new(), owners: Owners::default(), updates }
    }

    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    pub(crate) fn adjustment(&self) -> &ContainerAdjustment {
        &self.adjust
    }

    pub(crate) fn finish(self) -> (ContainerAdjustment, UpdateWishes) {
        (self.adjust, self.updates)
    }

    /// Adds what a plugin wants.
    pub(crate) fn add(&mut self, response: &CreateContainerResponse, plugin: &PluginName) -> Result<(), MergeError> {
        if let Some(new) = response.adjust.as_ref() {
            self.add_adjustment(new, plugin)?;
        }
        self.updates.add(&response.update, &response.evict, plugin, &mut self.owners, None)
    }

    fn add_adjustment(&mut self, new: &ContainerAdjustment, plugin: &PluginName) -> Result<(), MergeError> {
        let Self { container, adjust, owners, .. } = self;
        let id = container.id.clone();
        let claims = &mut Claims { owners, container: &id, plugin };
        let hooks = |of: &ContainerAdjustment| of.hooks.as_ref().map(count_hooks).unwrap_or_default();
        let lists = [
            ("annotations", adjust.annotations.len(), new.annotations.len()),
            ("mounts", adjust.mounts.len(), new.mounts.len()),
            ("variables", adjust.env.len(), new.env.len()),
            ("hooks", hooks(adjust), hooks(new)),
            ("rlimits", adjust.rlimits.len(), new.rlimits.len()),
            ("CDI devices", adjust.cdi_devices.len(), new.cdi_devices.len()),
        ];
        check_count(claims, ENTRIES, &lists)?;
        lists::merge_map(
            Field::Annotations,
            &mut adjust.annotations,
            &mut container.annotations,
            &new.annotations,
            claims,
        )?;
        let added = |key: &str| removed(key).is_none();
        let mounts = lists::merge(&mut adjust.mounts, &new.mounts, claims)?;
        let of_plugin = new.mounts.iter().filter(|mount| added(&mount.destination)).cloned();
        lists::show(&mut container.mounts, &mounts, of_plugin, |mount| &mount.destination);
        let variables = lists::merge(&mut adjust.env, &new.env, claims)?;
        let of_plugin = new.env.iter().filter(|variable| added(&variable.key));
        let of_plugin = of_plugin.map(|variable| format!("{}={}", variable.key, variable.value));
        lists::show(&mut container.env, &variables, of_plugin, |line| line.split('=').next().unwrap_or_default());
        add_args(container, adjust, &new.args, claims)?;
        if let Some(hooks) = new.hooks.as_ref().filter(|hooks| **hooks != Hooks::new()) {
            claims.share(Field::OciHooks);
            add_hooks(adjust.hooks.mut_or_insert_default(), hooks);
            add_hooks(container.hooks.mut_or_insert_default(), hooks);
        }
        for limit in &new.rlimits {
            claims.entry(Field::Rlimits, &limit.type_)?;
            for list in [&mut adjust.rlimits, &mut container.rlimits] {
                list.retain(|other| other.type_ != limit.type_);
                list.push(limit.clone());
            }
        }
        for device in &new.cdi_devices {
            claims.entry(Field::CdiDevices, &device.name)?;
            if !adjust.cdi_devices.contains(device) {
                adjust.cdi_devices.push(device.clone());
            }
        }
        if let Some(new) = new.linux.as_ref() {
            let (linux, shown) = (adjust.linux.mut_or_insert_default(), container.linux.mut_or_insert_default());
            add_linux(linux, shown, new, claims)?;
        }
        Ok(())
    }
}

fn add_args(
    container: &mut Container,
    adjust: &mut ContainerAdjustment,
    new: &[String],
    claims: &mut Claims<'_>,
) -> Result<(), MergeError> {
    let Some((first, rest)) = new.split_first() else { return Ok(()) };
    // An empty first word takes the arguments from whichever plugin has set them.
    let args = if first.is_empty() {
        claims.release(owners::Item { field: Field::Args, key: None });
        rest
    } else {
        new
    };
    claims.field(Field::Args)?;
    if args.is_empty() {
        let (plugin, value) = (claims.plugin.to_string(), "nothing: a container has a command".to_owned());
        return Err(MergeError::Value { plugin, field: "args", value });
    }
    adjust.args = args.to_vec();
    container.args = args.to_vec();
    Ok(())
}

fn count_hooks(hooks: &Hooks) -> usize {
    let Hooks { prestart, create_runtime, create_container, start_container, poststart, poststop, .. } = hooks;
    [prestart, create_runtime, create_container, start_container, poststart, poststop].map(Vec::len).iter().sum()
}

fn add_hooks(into: &mut Hooks, new: &Hooks) {
    let add = |into: &mut Vec<Hook>, new: &[Hook]| into.extend_from_slice(new);
    add(&mut into.prestart, &new.prestart);
    add(&mut into.create_runtime, &new.create_runtime);
    add(&mut into.create_container, &new.create_container);
    add(&mut into.start_container, &new.start_container);
    add(&mut into.poststart, &new.poststart);
    add(&mut into.poststop, &new.poststop);
}

/// What is said of a field that is set as a whole.
macro_rules! whole {
    ($new:ident, $claims:ident, $adjust:ident, $shown:ident: $($name:ident = $field:ident),*) => {
        $(if $new.$name.is_some() {
            $claims.field(Field::$field)?;
            $adjust.$name = $new.$name.clone();
            $shown.$name = $new.$name.clone();
        })*
    };
}

fn add_linux(
    adjust: &mut LinuxContainerAdjustment,
    shown: &mut LinuxContainer,
    new: &LinuxContainerAdjustment,
    claims: &mut Claims<'_>,
) -> Result<(), MergeError> {
    let lists = [
        ("devices", adjust.devices.len(), new.devices.len()),
        ("namespaces", adjust.namespaces.len(), new.namespaces.len()),
        ("kernel parameters", adjust.sysctl.len(), new.sysctl.len()),
        ("network devices", adjust.net_devices.len(), new.net_devices.len()),
    ];
    check_count(claims, ENTRIES, &lists)?;
    let devices = lists::merge(&mut adjust.devices, &new.devices, claims)?;
    let of_plugin = new.devices.iter().filter(|device| removed(&device.path).is_none()).cloned();
    lists::show(&mut shown.devices, &devices, of_plugin, |device| &device.path);
    let namespaces = lists::merge(&mut adjust.namespaces, &new.namespaces, claims)?;
    let of_plugin = new.namespaces.iter().filter(|namespace| removed(&namespace.type_).is_none()).cloned();
    lists::show(&mut shown.namespaces, &namespaces, of_plugin, |namespace| &namespace.type_);
    lists::merge_map(Field::Sysctl, &mut adjust.sysctl, &mut shown.sysctl, &new.sysctl, claims)?;
    lists::merge_map(
        Field::LinuxNetDevices,
        &mut adjust.net_devices,
        &mut shown.net_devices,
        &new.net_devices,
        claims,
    )?;
    if let Some(resources) = new.resources.as_ref() {
        limits::merge(adjust.resources.mut_or_insert_default(), resources, claims)?;
        limits::merge(shown.resources.mut_or_insert_default(), resources, claims)?;
    }
    if !new.cgroups_path.is_empty() {
        claims.field(Field::CgroupsPath)?;
        adjust.cgroups_path.clone_from(&new.cgroups_path);
        shown.cgroups_path.clone_from(&new.cgroups_path);
    }
    whole!(new, claims, adjust, shown: oom_score_adj = OomScoreAdj, io_priority = IoPriority,
        seccomp_policy = SeccompPolicy, scheduler = LinuxSched);
    if new.memory_policy.is_some() {
        claims.field(Field::MemoryPolicy)?;
        adjust.memory_policy = new.memory_policy.clone();
    }
    if let Some(rdt) = new.rdt.as_ref() {
        add_rdt(adjust.rdt.mut_or_insert_default(), rdt, claims)?;
        shown.rdt = adjust.rdt.clone();
    }
    Ok(())
}

fn add_rdt(into: &mut LinuxRdt, new: &LinuxRdt, claims: &mut Claims<'_>) -> Result<(), Conflict> {
    if new.remove {
        for field in [Field::RdtClosID, Field::RdtSchemata, Field::RdtEnableMonitoring] {
            claims.release(owners::Item { field, key: None });
        }
        *into = LinuxRdt { remove: true, ..LinuxRdt::default() };
    }
    if new.clos_id.is_some() {
        claims.field(Field::RdtClosID)?;
        into.clos_id = new.clos_id.clone();
    }
    if new.schemata.is_some() {
        claims.field(Field::RdtSchemata)?;
        into.schemata = new.schemata.clone();
    }
    if new.enable_monitoring.is_some() {
        claims.field(Field::RdtEnableMonitoring)?;
        into.enable_monitoring = new.enable_monitoring.clone();
    }
    Ok(())
}

/// PluginWishes of plugins when a container's limits change, or it has ended.
#[derive(Clone, Debug)]
pub(crate) struct UpdateMerge {
    /// The limits that are to be set, as plugins have changed them.
    pub(crate) own: Option<crate::api::LinuxResources>,
    owners: Owners,
    updates: UpdateWishes,
}

impl UpdateMerge {
    /// `own` is `None` where the container itself can't be updated.
    pub(crate) fn of(container: &str, own: Option<crate::api::LinuxResources>) -> Self {
        Self { own, owners: Owners::default(), updates: UpdateWishes::of(container) }
    }

    pub(crate) fn add(&mut self, response: &UpdateContainerResponse, plugin: &PluginName) -> Result<(), MergeError> {
        let Self { own, owners, updates } = self;
        updates.add(&response.update, &response.evict, plugin, owners, own.as_mut())
    }

    pub(crate) fn finish(self) -> (Option<crate::api::LinuxResources>, UpdateWishes) {
        (self.own, self.updates)
    }
}
