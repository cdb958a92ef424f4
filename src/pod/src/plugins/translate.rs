//! What plugins want of a container, in peapod's words.

use std::path::PathBuf;

use oci_spec::runtime::{
    Hook, LinuxDevice, LinuxDeviceCgroup, LinuxIOPriority, LinuxIntelRdt, LinuxMemoryPolicy, LinuxSeccomp, Mount,
    PosixRlimit, Scheduler,
};
use peapod_nri::api::{self, IOPrioClass, LinuxSchedulerFlag, LinuxSchedulerPolicy, MpolFlag, MpolMode, OptionalInt};
use peapod_nri::removed;
use peapod_spec::container::Resources;
use peapod_spec::{Adjustment, Change, HookMoment, LinuxAdjustment, ProcessAdjustment, StartAdjustment};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{limits, refused};
use crate::error::Error;

/// What plugins want, by who has to do it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct WantedContainer {
    /// Of the configuration.
    pub(crate) adjustment: Adjustment,
    /// Of the limits, as a client could have asked for it.
    pub(crate) limits: Resources,
    pub(crate) oom_score_adj: Option<i64>,
    /// Further devices, by their names.
    pub(crate) cdi_devices: Vec<String>,
}

/// Puts an adjustment into peapod's words.
pub(crate) fn wanted(adjust: &api::ContainerAdjustment) -> Result<WantedContainer, Error> {
    let linux = adjust.linux.get_or_default();
    if !linux.cgroups_path.is_empty() {
        let reason = "cgroups_path: a container's cgroup is below its pod's, where the pod's stop finds it; plugins can't move it";
        return Err(refused(reason.to_owned()));
    }
    let resources = linux.resources.get_or_default();
    let at_start = StartAdjustment {
        annotations: changes(&adjust.annotations, Clone::clone).into_iter().collect(),
        namespaces: linux.namespaces.iter().map(namespace).collect(),
        limits: limits::others(resources)?,
        replaced: replaced(adjust),
    };
    let adjustment = Adjustment {
        process: process(adjust, linux)?,
        mounts: adjust.mounts.iter().map(mount).collect(),
        hooks: adjust.hooks.as_ref().map(hooks).unwrap_or_default(),
        linux: of_linux(linux)?,
        at_start,
    };
    Ok(WantedContainer {
        adjustment,
        limits: limits::change(resources),
        oom_score_adj: linux.oom_score_adj.as_ref().map(|score| score.value),
        cdi_devices: adjust.cdi_devices.iter().map(|device| device.name.clone()).collect(),
    })
}

/// Entries of a map, and those that are taken away.
fn changes<A, B>(map: &std::collections::HashMap<String, A>, made: impl Fn(&A) -> B) -> Vec<Change<String, B>> {
    let mut all: Vec<_> = map
        .iter()
        .map(|(key, value)| match removed(key) {
            Some(key) => (key.to_owned(), None),
            None => (key.clone(), Some(made(value))),
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

fn replaced(adjust: &api::ContainerAdjustment) -> std::collections::BTreeSet<PathBuf> {
    let mounts = adjust.mounts.iter().map(|mount| mount.destination.as_str());
    let devices = adjust.linux.iter().flat_map(|linux| &linux.devices).map(|device| device.path.as_str());
    mounts.chain(devices).map(|path| PathBuf::from(removed(path).unwrap_or(path))).collect()
}

fn process(
    adjust: &api::ContainerAdjustment,
    linux: &api::LinuxContainerAdjustment,
) -> Result<ProcessAdjustment, Error> {
    let variable = |variable: &api::KeyValue| match removed(&variable.key) {
        Some(key) => (key.to_owned(), None),
        None => (variable.key.clone(), Some(variable.value.clone())),
    };
    Ok(ProcessAdjustment {
        env: adjust.env.iter().map(variable).collect(),
        args: Some(adjust.args.clone()).filter(|args| !args.is_empty()),
        rlimits: adjust.rlimits.iter().map(rlimit).collect::<Result<_, _>>()?,
        io_priority: linux.io_priority.as_ref().map(io_priority).transpose()?,
        scheduler: linux.scheduler.as_ref().map(scheduler).transpose()?,
    })
}

/// What the OCI runtime specification writes in the same way.
fn typed<T: DeserializeOwned>(field: &str, value: Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| refused(format!("{field}: {error}")))
}

fn rlimit(limit: &api::POSIXRlimit) -> Result<PosixRlimit, Error> {
    typed("rlimits", json!({"type": limit.type_, "hard": limit.hard, "soft": limit.soft}))
}

fn io_priority(priority: &api::LinuxIOPriority) -> Result<Option<LinuxIOPriority>, Error> {
    let class = match priority.class.enum_value() {
        Ok(IOPrioClass::IOPRIO_CLASS_NONE) => return Ok(None),
        Ok(IOPrioClass::IOPRIO_CLASS_RT) => "IOPRIO_CLASS_RT",
        Ok(IOPrioClass::IOPRIO_CLASS_BE) => "IOPRIO_CLASS_BE",
        Ok(IOPrioClass::IOPRIO_CLASS_IDLE) => "IOPRIO_CLASS_IDLE",
        Err(number) => return Err(refused(format!("io_priority: {number} is no class"))),
    };
    typed("io_priority", json!({"class": class, "priority": priority.priority})).map(Some)
}

fn scheduler(wanted: &api::LinuxScheduler) -> Result<Option<Scheduler>, Error> {
    let policy = match wanted.policy.enum_value() {
        Ok(LinuxSchedulerPolicy::SCHED_NONE) => return Ok(None),
        Ok(policy) => format!("{policy:?}"),
        Err(number) => return Err(refused(format!("scheduler: {number} is no policy"))),
    };
    // As the crate for configurations writes what it has; it has others in no way that OCI runtimes read.
    let flag = |flag: Result<LinuxSchedulerFlag, i32>| match flag {
        Ok(LinuxSchedulerFlag::SCHED_FLAG_RECLAIM) => Ok("SCHED_FLAG_RECLAIM"),
        Ok(LinuxSchedulerFlag::SCHED_FLAG_KEEP_POLICY) => Ok("SCHED_FLAG_KEEP_POLICY"),
        Ok(LinuxSchedulerFlag::SCHED_FLAG_KEEP_PARAMS) => Ok("SCHED_FLAG_KEEP_PARAMS"),
        Ok(LinuxSchedulerFlag::SCHED_FLAG_UTIL_CLAMP_MIN) => Ok("SCHED_FLAG_UTIL_CLAMP_MIN"),
        Ok(LinuxSchedulerFlag::SCHED_FLAG_UTIL_CLAMP_MAX) => Ok("SCHED_FLAG_UTIL_CLAMP_MAX"),
        other => Err(refused(format!("scheduler: flag {other:?} can't be set by this release"))),
    };
    let flags: Vec<_> = wanted.flags.iter().map(|wanted| flag(wanted.enum_value())).collect::<Result<_, _>>()?;
    let mut value = json!({"policy": policy, "nice": wanted.nice, "priority": wanted.priority});
    if !flags.is_empty() {
        value["flags"] = json!(flags);
    }
    let times = [("runtime", wanted.runtime), ("deadline", wanted.deadline), ("period", wanted.period)];
    for (name, time) in times.into_iter().filter(|(_, time)| *time != 0) {
        value[name] = json!(time);
    }
    typed("scheduler", value).map(Some)
}

fn mount(wanted: &api::Mount) -> Change<PathBuf, Mount> {
    if let Some(place) = removed(&wanted.destination) {
        return (place.into(), None);
    }
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(&wanted.destination))
        .set_typ(Some(wanted.type_.clone()).filter(|kind| !kind.is_empty()))
        .set_source(Some(PathBuf::from(&wanted.source)).filter(|_| !wanted.source.is_empty()))
        .set_options(Some(wanted.options.clone()));
    (PathBuf::from(&wanted.destination), Some(mount))
}

fn hooks(wanted: &api::Hooks) -> Vec<(HookMoment, Hook)> {
    let all = [
        (HookMoment::Prestart, &wanted.prestart),
        (HookMoment::CreateRuntime, &wanted.create_runtime),
        (HookMoment::CreateContainer, &wanted.create_container),
        (HookMoment::StartContainer, &wanted.start_container),
        (HookMoment::Poststart, &wanted.poststart),
        (HookMoment::Poststop, &wanted.poststop),
    ];
    all.into_iter().flat_map(|(moment, hooks)| hooks.iter().map(move |wanted| (moment, hook(wanted)))).collect()
}

fn hook(wanted: &api::Hook) -> Hook {
    let some = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
    let timeout = wanted.timeout.as_ref().map(|timeout: &OptionalInt| timeout.value).filter(|timeout| *timeout > 0);
    let mut hook = Hook::default();
    hook.set_path(PathBuf::from(&wanted.path))
        .set_args(some(&wanted.args))
        .set_env(some(&wanted.env))
        .set_timeout(timeout);
    hook
}

fn namespace(wanted: &api::LinuxNamespace) -> (String, Option<Option<PathBuf>>) {
    let path = Some(PathBuf::from(&wanted.path)).filter(|_| !wanted.path.is_empty());
    match removed(&wanted.type_) {
        Some(kind) => (kind.to_owned(), None),
        None => (wanted.type_.clone(), Some(path)),
    }
}

fn of_linux(wanted: &api::LinuxContainerAdjustment) -> Result<LinuxAdjustment, Error> {
    let rules = wanted.resources.iter().flat_map(|resources| &resources.devices);
    let class = wanted.resources.as_ref().and_then(|resources| resources.rdt_class.as_ref());
    let intel_rdt = match (wanted.rdt.as_ref(), class) {
        (Some(rdt), _) => Some(intel_rdt(rdt)?),
        (None, Some(class)) if class.value.is_empty() => Some(None),
        (None, Some(class)) => Some(Some(typed("rdt_class", json!({"closID": class.value}))?)),
        (None, None) => None,
    };
    Ok(LinuxAdjustment {
        devices: wanted.devices.iter().map(device).collect::<Result<_, _>>()?,
        device_rules: rules.map(device_rule).collect::<Result<_, _>>()?,
        sysctls: changes(&wanted.sysctl, Clone::clone),
        net_devices: changes(&wanted.net_devices, |device| device.name.clone()),
        seccomp: wanted.seccomp_policy.as_ref().map(seccomp).transpose()?.map(Box::new),
        memory_policy: wanted.memory_policy.as_ref().map(memory_policy).transpose()?,
        intel_rdt,
    })
}

fn intel_rdt(wanted: &api::LinuxRdt) -> Result<Option<LinuxIntelRdt>, Error> {
    let mut value = json!({});
    if let Some(class) = wanted.clos_id.as_ref() {
        value["closID"] = json!(class.value);
    }
    if let Some(schemata) = wanted.schemata.as_ref() {
        value["schemata"] = json!(schemata.value);
    }
    if let Some(monitoring) = wanted.enable_monitoring.as_ref() {
        value["enableMonitoring"] = json!(monitoring.value);
    }
    if wanted.remove && value == json!({}) {
        return Ok(None);
    }
    typed("rdt", value).map(Some)
}

fn device(wanted: &api::LinuxDevice) -> Result<Change<PathBuf, LinuxDevice>, Error> {
    if let Some(path) = removed(&wanted.path) {
        return Ok((path.into(), None));
    }
    let mut value = json!({
        "path": wanted.path, "type": wanted.type_, "major": wanted.major, "minor": wanted.minor,
    });
    if let Some(mode) = wanted.file_mode.as_ref() {
        value["fileMode"] = json!(mode.value & 0o7777);
    }
    for (name, id) in [("uid", wanted.uid.as_ref()), ("gid", wanted.gid.as_ref())] {
        if let Some(id) = id {
            value[name] = json!(id.value);
        }
    }
    Ok((PathBuf::from(&wanted.path), Some(typed("devices", value)?)))
}

fn device_rule(wanted: &api::LinuxDeviceCgroup) -> Result<LinuxDeviceCgroup, Error> {
    let mut value = json!({"allow": wanted.allow});
    let texts = [("type", &wanted.type_), ("access", &wanted.access)];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        value[name] = json!(text);
    }
    for (name, number) in [("major", wanted.major.as_ref()), ("minor", wanted.minor.as_ref())] {
        if let Some(number) = number {
            value[name] = json!(number.value);
        }
    }
    typed("resources.devices", value)
}

fn seccomp(wanted: &api::LinuxSeccomp) -> Result<LinuxSeccomp, Error> {
    let argument = |arg: &api::LinuxSeccompArg| json!({"index": arg.index, "value": arg.value, "valueTwo": arg.value_two, "op": arg.op});
    let call = |call: &api::LinuxSyscall| {
        let mut value = json!({"names": call.names, "action": call.action});
        if let Some(errno) = call.errno_ret.as_ref() {
            value["errnoRet"] = json!(errno.value);
        }
        if !call.args.is_empty() {
            value["args"] = call.args.iter().map(argument).collect();
        }
        value
    };
    let mut value = json!({"defaultAction": wanted.default_action});
    if let Some(errno) = wanted.default_errno.as_ref() {
        value["defaultErrnoRet"] = json!(errno.value);
    }
    for (name, list) in [("architectures", &wanted.architectures), ("flags", &wanted.flags)] {
        if !list.is_empty() {
            value[name] = json!(list);
        }
    }
    for (name, text) in [("listenerPath", &wanted.listener_path), ("listenerMetadata", &wanted.listener_metadata)] {
        if !text.is_empty() {
            value[name] = json!(text);
        }
    }
    if !wanted.syscalls.is_empty() {
        value["syscalls"] = wanted.syscalls.iter().map(call).collect();
    }
    typed("seccomp_policy", value)
}

fn memory_policy(wanted: &api::LinuxMemoryPolicy) -> Result<LinuxMemoryPolicy, Error> {
    let mode: Result<MpolMode, i32> = wanted.mode.enum_value();
    let mode = mode.map_err(|number| refused(format!("memory_policy: {number} is no mode")))?;
    let flag = |flag: Result<MpolFlag, i32>| {
        flag.map(|flag| format!("{flag:?}")).map_err(|number| refused(format!("memory_policy: {number} is no flag")))
    };
    let flags: Vec<_> = wanted.flags.iter().map(|wanted| flag(wanted.enum_value())).collect::<Result<_, _>>()?;
    let mut value = json!({"mode": format!("{mode:?}")});
    if !wanted.nodes.is_empty() {
        value["nodes"] = json!(wanted.nodes);
    }
    if !flags.is_empty() {
        value["flags"] = json!(flags);
    }
    typed("memory_policy", value)
}
