//! An adjustment becomes part of a configuration.

use std::collections::HashMap;
use std::path::Path;

use oci_spec::runtime::{
    Linux, LinuxCpu, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxNamespace,
    LinuxNetDeviceBuilder, Mount,
};

use crate::SpecError;
use crate::adjustment::{Adjustment, Change, LinuxAdjustment, ProcessAdjustment, StartAdjustment};
use crate::apply_edits::add_hook;
use crate::bounds::{DEVICES, HOOKS, LABELS, MOUNTS, SYSCTLS};
use crate::kept::Config;
use crate::mounts::{mapping, sort};
use crate::path::normal_path;
use crate::process::check_size;
use crate::user_namespace::UserNamespace;

/// Whose word it is, in errors.
const FIELD: &str = "adjustment";

impl Config {
    /// Changes a configuration, all of it. `users` are those of the container's pod, if it has users of its own.
    ///
    /// # Errors
    /// [`SpecError::Adjustment`] for what no container can have, and [`SpecError::TooMany`].
    pub fn adjust(&mut self, adjustment: &Adjustment, users: Option<UserNamespace>) -> Result<(), SpecError> {
        let Adjustment { process, mounts, hooks, linux, at_start } = adjustment;
        self.adjust_process(process)?;
        self.adjust_mounts(mounts, users)?;
        if hooks.len() > HOOKS {
            return Err(SpecError::TooMany { field: FIELD, what: "hooks of plugins", count: hooks.len(), most: HOOKS });
        }
        for (moment, hook) in hooks {
            if !hook.path().is_absolute() {
                return Err(wrong("hooks", format!("{} is no absolute path", hook.path().display())));
            }
            add_hook(self.spec.hooks_mut().get_or_insert_default(), *moment, hook.clone());
        }
        self.adjust_linux(linux)?;
        self.adjust_for_start(at_start)
    }

    /// Says once more what [`Config::set_for_start`] has overwritten.
    ///
    /// # Errors
    /// [`SpecError::Adjustment`]; never with what was said before.
    pub fn adjust_for_start(&mut self, adjustment: &StartAdjustment) -> Result<(), SpecError> {
        let StartAdjustment { annotations, namespaces, limits, replaced: _ } = adjustment;
        if annotations.len() > LABELS {
            return Err(too_many("annotations", annotations.len(), LABELS));
        }
        let linux = self.spec.linux_mut().get_or_insert_default();
        set_limits(linux, limits);
        let all = linux.namespaces_mut().get_or_insert_default();
        for (kind, wanted) in namespaces {
            let typed = serde_json::from_value(kind.as_str().into())
                .map_err(|_| wrong("namespaces", format!("{kind:?} is no kind of namespace")))?;
            all.retain(|namespace| namespace.typ() != typed);
            if let Some(path) = wanted {
                let mut namespace = LinuxNamespace::default();
                namespace.set_typ(typed).set_path(path.clone());
                all.push(namespace);
            }
        }
        if !annotations.is_empty() {
            let all = self.spec.annotations_mut().get_or_insert_default();
            for (key, value) in annotations {
                match value {
                    Some(value) => drop(all.insert(key.clone(), value.clone())),
                    None => drop(all.remove(key)),
                }
            }
        }
        Ok(())
    }

    fn adjust_process(&mut self, adjustment: &ProcessAdjustment) -> Result<(), SpecError> {
        let ProcessAdjustment { env, args, rlimits, io_priority, scheduler } = adjustment;
        let process = self.spec.process_mut().as_mut().ok_or(SpecError::NoProcess)?;
        let variables = process.env_mut().get_or_insert_default();
        let names = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
        let mut places: HashMap<_, _> = variables.iter().enumerate().map(|(at, line)| (names(line), at)).collect();
        for (name, value) in env {
            if name.is_empty() || name.contains(['=', '\0']) || value.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(wrong("env", format!("{name:?} is no variable")));
            }
            match (value, places.get(name).and_then(|place| variables.get_mut(*place))) {
                (Some(value), Some(line)) => *line = format!("{name}={value}"),
                (Some(value), None) => {
                    places.insert(name.clone(), variables.len());
                    variables.push(format!("{name}={value}"));
                }
                // An empty line is none, and goes below.
                (None, Some(line)) => line.clear(),
                (None, None) => {}
            }
        }
        variables.retain(|line| !line.is_empty());
        if let Some(args) = args {
            if args.is_empty() || args.iter().any(|arg| arg.contains('\0')) {
                return Err(wrong("args", "are empty, or have a NUL byte".to_owned()));
            }
            process.set_args(Some(args.clone()));
        }
        check_size(process.args().as_deref().unwrap_or_default(), process.env().as_deref().unwrap_or_default())?;
        if !rlimits.is_empty() {
            let mut all = process.rlimits().clone().unwrap_or_default();
            for limit in rlimits {
                if limit.soft() > limit.hard() {
                    return Err(wrong("rlimits", format!("{:?} has a soft limit above the hard one", limit.typ())));
                }
                all.retain(|other| other.typ() != limit.typ());
                all.push(*limit);
            }
            process.set_rlimits(Some(all));
        }
        if let Some(priority) = io_priority {
            process.set_io_priority(*priority);
        }
        if let Some(scheduler) = scheduler {
            process.set_scheduler(scheduler.clone());
        }
        Ok(())
    }

    fn adjust_mounts(
        &mut self,
        changes: &[Change<std::path::PathBuf, Mount>],
        users: Option<UserNamespace>,
    ) -> Result<(), SpecError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut mounts = self.spec.mounts_mut().take().unwrap_or_default();
        let mut propagation = None;
        for (place, wanted) in changes {
            let place = absolute("mounts", place)?;
            mounts.retain(|other| *other.destination() != place);
            let Some(wanted) = wanted else { continue };
            let (mut mount, options) = (wanted.clone(), wanted.options().clone().unwrap_or_default());
            let has = |names: [&str; 2]| options.iter().any(|option| names.contains(&option.as_str()));
            let is_bind = wanted.typ().as_deref() == Some("bind") || has(["bind", "rbind"]);
            if is_bind && wanted.source().as_deref().is_none_or(|source| !source.is_absolute()) {
                return Err(wrong("mounts", format!("that at {} has no absolute source", place.display())));
            }
            if let Some(users) = users.filter(|_| is_bind && !has(["idmap", "ridmap"])) {
                mount.set_uid_mappings(Some(mapping(users.uids)?)).set_gid_mappings(Some(mapping(users.gids)?));
            }
            // The container's root has to pass on what one of its mounts is to pass on.
            propagation = match propagation {
                Some("rshared") => propagation,
                _ if has(["rshared", "shared"]) => Some("rshared"),
                _ if has(["rslave", "slave"]) => Some("rslave"),
                _ => propagation,
            };
            mount.set_destination(place);
            mounts.push(mount);
        }
        if mounts.len() > MOUNTS {
            return Err(too_many("mounts, those of plugins counted", mounts.len(), MOUNTS));
        }
        sort(&mut mounts);
        self.spec.set_mounts(Some(mounts));
        if let Some(propagation) = propagation {
            let linux = self.spec.linux_mut().get_or_insert_default();
            let shared = linux.rootfs_propagation().as_deref() == Some("rshared");
            linux.set_rootfs_propagation(Some(if shared { "rshared" } else { propagation }.to_owned()));
        }
        Ok(())
    }

    fn adjust_linux(&mut self, adjustment: &LinuxAdjustment) -> Result<(), SpecError> {
        let LinuxAdjustment { devices, device_rules, sysctls, net_devices, seccomp, memory_policy, intel_rdt } =
            adjustment;
        let linux = self.spec.linux_mut().get_or_insert_default();
        set_devices(linux, devices, device_rules)?;
        if sysctls.len() > SYSCTLS {
            return Err(too_many("kernel parameters of plugins", sysctls.len(), SYSCTLS));
        }
        if !sysctls.is_empty() {
            change(linux.sysctl_mut().get_or_insert_default(), sysctls, Clone::clone);
        }
        if !net_devices.is_empty() {
            let device =
                |name: &String| LinuxNetDeviceBuilder::default().name(name.clone()).build().unwrap_or_default();
            change(linux.net_devices_mut().get_or_insert_default(), net_devices, device);
        }
        if let Some(seccomp) = seccomp {
            linux.set_seccomp(Some((**seccomp).clone()));
        }
        if let Some(policy) = memory_policy {
            linux.set_memory_policy(Some(policy.clone()));
        }
        if let Some(rdt) = intel_rdt {
            linux.set_intel_rdt(rdt.clone());
        }
        Ok(())
    }
}

fn change<A, B>(all: &mut HashMap<String, B>, changes: &[Change<String, A>], made: impl Fn(&A) -> B) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(all.insert(key.clone(), made(value))),
            None => drop(all.remove(key)),
        }
    }
}

fn set_devices(
    linux: &mut Linux,
    devices: &[Change<std::path::PathBuf, LinuxDevice>],
    rules: &[LinuxDeviceCgroup],
) -> Result<(), SpecError> {
    if devices.is_empty() && rules.is_empty() {
        return Ok(());
    }
    let all = linux.devices_mut().get_or_insert_default();
    let mut allowed = Vec::new();
    for (path, wanted) in devices {
        let path = absolute("devices", path)?;
        all.retain(|other| *other.path() != path);
        let Some(wanted) = wanted else { continue };
        let mut device = wanted.clone();
        device.set_path(path);
        if device.typ() != LinuxDeviceType::P {
            let mut rule = LinuxDeviceCgroup::default();
            rule.set_allow(true)
                .set_typ(Some(if device.typ() == LinuxDeviceType::U { LinuxDeviceType::C } else { device.typ() }))
                .set_major(Some(device.major()))
                .set_minor(Some(device.minor()))
                .set_access(Some("rwm".to_owned()));
            allowed.push(rule);
        }
        all.push(device);
    }
    let count = all.len().max(rules.len());
    // A privileged container has all of the node's.
    if count > DEVICES * 4 {
        return Err(too_many("devices, those of plugins counted", count, DEVICES * 4));
    }
    let resources = linux.resources_mut().get_or_insert_default();
    let all = resources.devices_mut().get_or_insert_default();
    all.extend(allowed.into_iter().chain(rules.iter().cloned()));
    Ok(())
}

/// Limits that a client can't name, so that there are none of these yet.
fn set_limits(linux: &mut Linux, wanted: &oci_spec::runtime::LinuxResources) {
    let limits = linux.resources_mut().get_or_insert_default();
    if let Some(wanted) = wanted.memory() {
        let mut memory = limits.memory().unwrap_or_default();
        memory
            .set_reservation(wanted.reservation())
            .set_kernel(wanted.kernel())
            .set_kernel_tcp(wanted.kernel_tcp())
            .set_swappiness(wanted.swappiness())
            .set_disable_oom_killer(wanted.disable_oom_killer())
            .set_use_hierarchy(wanted.use_hierarchy());
        limits.set_memory(Some(memory).filter(|memory| *memory != LinuxMemory::default()));
    }
    if let Some(wanted) = wanted.cpu() {
        let mut cpu = limits.cpu().clone().unwrap_or_default();
        cpu.set_realtime_runtime(wanted.realtime_runtime()).set_realtime_period(wanted.realtime_period());
        limits.set_cpu(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()));
    }
    if let Some(pids) = wanted.pids() {
        limits.set_pids(Some(*pids));
    }
}

fn absolute(field: &'static str, path: &Path) -> Result<std::path::PathBuf, SpecError> {
    match path.to_str() {
        Some(text) if path.is_absolute() && !text.contains('\0') => Ok(normal_path(text)),
        _ => Err(wrong(field, format!("{:?} is no absolute path", path.to_string_lossy()))),
    }
}

fn wrong(field: &'static str, reason: String) -> SpecError {
    SpecError::Adjustment { field, reason }
}

fn too_many(what: &'static str, count: usize, most: usize) -> SpecError {
    SpecError::TooMany { field: FIELD, what, count, most }
}
