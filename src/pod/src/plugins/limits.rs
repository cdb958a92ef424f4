//! Limits, from peapod's words to those of plugins and back.

use std::collections::BTreeMap;

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxPids, LinuxResources};
use peapod_nri::api;
use peapod_spec::container::Resources;

use crate::error::Error;

/// As plugins see them. What nobody has said is not said to them either.
pub(super) fn message(resources: &Resources) -> api::LinuxResources {
    let signed =
        |value: i64| (value != 0).then(|| api::OptionalInt64 { value, ..api::OptionalInt64::default() }).into();
    let unsigned = |value: i64| {
        let value = u64::try_from(value).ok().filter(|value| *value != 0);
        value.map(|value| api::OptionalUInt64 { value, ..api::OptionalUInt64::default() }).into()
    };
    let memory = api::LinuxMemory {
        limit: signed(resources.memory_limit),
        swap: signed(resources.memory_swap_limit),
        ..api::LinuxMemory::default()
    };
    let cpu = api::LinuxCPU {
        shares: unsigned(resources.cpu_shares),
        quota: signed(resources.cpu_quota),
        period: unsigned(resources.cpu_period),
        cpus: resources.cpuset_cpus.clone(),
        mems: resources.cpuset_mems.clone(),
        ..api::LinuxCPU::default()
    };
    let page = |(size, limit): (&String, &u64)| api::HugepageLimit {
        page_size: size.clone(),
        limit: *limit,
        ..api::HugepageLimit::default()
    };
    api::LinuxResources {
        memory: Some(memory).into(),
        cpu: Some(cpu).into(),
        hugepage_limits: resources.hugepage_limits.iter().map(page).collect(),
        unified: resources.unified.clone().into_iter().collect(),
        ..api::LinuxResources::default()
    }
}

/// What a client could have said of it, as a change.
pub(super) fn change(wanted: &api::LinuxResources) -> Resources {
    let (memory, cpu) = (wanted.memory.get_or_default(), wanted.cpu.get_or_default());
    let signed = |value: Option<&api::OptionalInt64>| value.map(|value| value.value).unwrap_or_default();
    let unsigned = |value: Option<&api::OptionalUInt64>| {
        value.map(|value| i64::try_from(value.value).unwrap_or(i64::MAX)).unwrap_or_default()
    };
    Resources {
        cpu_period: unsigned(cpu.period.as_ref()),
        cpu_quota: signed(cpu.quota.as_ref()),
        cpu_shares: unsigned(cpu.shares.as_ref()),
        memory_limit: signed(memory.limit.as_ref()),
        memory_swap_limit: signed(memory.swap.as_ref()),
        oom_score_adj: 0,
        cpuset_cpus: cpu.cpus.clone(),
        cpuset_mems: cpu.mems.clone(),
        hugepage_limits: wanted.hugepage_limits.iter().map(|page| (page.page_size.clone(), page.limit)).collect(),
        unified: wanted.unified.clone().into_iter().collect(),
    }
}

/// What no client can say of it, for a container that is being made.
pub(super) fn others(wanted: &api::LinuxResources) -> Result<LinuxResources, Error> {
    if wanted.blockio_class.as_ref().is_some_and(|class| !class.value.is_empty()) {
        return Err(super::refused("blockio_class: this node has no such classes".to_owned()));
    }
    let mut limits = LinuxResources::default();
    if let Some(wanted) = wanted.memory.as_ref() {
        let mut memory = LinuxMemory::default();
        memory
            .set_reservation(wanted.reservation.as_ref().map(|value| value.value))
            .set_kernel(wanted.kernel.as_ref().map(|value| value.value))
            .set_kernel_tcp(wanted.kernel_tcp.as_ref().map(|value| value.value))
            .set_swappiness(wanted.swappiness.as_ref().map(|value| value.value))
            .set_disable_oom_killer(wanted.disable_oom_killer.as_ref().map(|value| value.value))
            .set_use_hierarchy(wanted.use_hierarchy.as_ref().map(|value| value.value));
        limits.set_memory(Some(memory).filter(|memory| *memory != LinuxMemory::default()));
    }
    if let Some(wanted) = wanted.cpu.as_ref() {
        let mut cpu = LinuxCpu::default();
        cpu.set_realtime_runtime(wanted.realtime_runtime.as_ref().map(|value| value.value))
            .set_realtime_period(wanted.realtime_period.as_ref().map(|value| value.value));
        limits.set_cpu(Some(cpu).filter(|cpu| *cpu != LinuxCpu::default()));
    }
    if let Some(wanted) = wanted.pids.as_ref() {
        let mut pids = LinuxPids::default();
        pids.set_limit(wanted.limit);
        limits.set_pids(Some(pids));
    }
    Ok(limits)
}

/// The same for a container that there is already: what has a file of cgroup v2 is set by that.
pub(super) fn change_of_running(wanted: &api::LinuxResources, cgroup_v2: bool) -> Result<Resources, Error> {
    let mut change = change(wanted);
    let others = others(wanted)?;
    let mut files = BTreeMap::new();
    if let Some(pids) = others.pids() {
        let limit = if pids.limit() < 0 { "max".to_owned() } else { pids.limit().to_string() };
        files.insert("pids.max", limit);
    }
    let memory = others.memory().unwrap_or_default();
    if let Some(bytes) = memory.reservation() {
        files.insert("memory.low", bytes.to_string());
    }
    if !files.is_empty() && !cgroup_v2 {
        let names: Vec<_> = files.into_keys().collect();
        return Err(super::refused(format!(
            "{} of a running container can't be changed on cgroup v1",
            names.join(", ")
        )));
    }
    if others.cpu().is_some() || memory.kernel().or(memory.kernel_tcp()).is_some() || memory.swappiness().is_some() {
        return Err(super::refused("of a running container this limit can't be changed".to_owned()));
    }
    change.unified.extend(files.into_iter().map(|(file, value)| (file.to_owned(), value)));
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_back_as_they_went() {
        let resources = Resources {
            cpu_period: 100_000,
            cpu_quota: -1,
            cpu_shares: 512,
            memory_limit: 64 << 20,
            memory_swap_limit: 65 << 20,
            oom_score_adj: 0,
            cpuset_cpus: "0".to_owned(),
            cpuset_mems: "0".to_owned(),
            hugepage_limits: [("2MB".to_owned(), 4)].into(),
            unified: [("memory.high".to_owned(), "1".to_owned())].into(),
        };
        assert_eq!(change(&message(&resources)), resources);
        assert_eq!(change(&message(&Resources::default())), Resources::default());
    }

    #[test]
    fn what_no_client_can_say_has_its_own_ways() {
        let wanted = api::LinuxResources {
            pids: Some(api::LinuxPids { limit: 5, ..api::LinuxPids::default() }).into(),
            ..api::LinuxResources::default()
        };
        assert_eq!(others(&wanted).unwrap().pids().unwrap().limit(), 5);
        assert_eq!(change_of_running(&wanted, true).unwrap().unified["pids.max"], "5");
        assert!(change_of_running(&wanted, false).unwrap_err().to_string().contains("pids.max"));
        let class = api::OptionalString { value: "fast".to_owned(), ..api::OptionalString::default() };
        let wanted = api::LinuxResources { blockio_class: Some(class).into(), ..api::LinuxResources::default() };
        others(&wanted).unwrap_err();
    }
}
