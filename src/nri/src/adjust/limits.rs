//! Limits that plugins set, one by one.

use super::owners::{Claims, Conflict};
use super::{MergeError, check_count};
use crate::api::{Field, LinuxCPU, LinuxMemory, LinuxResources};
use crate::bounds::LIMIT_ENTRIES;

/// Adds what a plugin sets to limits that there are.
pub(crate) fn merge(
    into: &mut LinuxResources,
    new: &LinuxResources,
    claims: &mut Claims<'_>,
) -> Result<(), MergeError> {
    let lists = [
        ("limits of huge pages", into.hugepage_limits.len(), new.hugepage_limits.len()),
        ("rules of devices", into.devices.len(), new.devices.len()),
        ("files of cgroup v2", into.unified.len(), new.unified.len()),
    ];
    check_count(claims, LIMIT_ENTRIES, &lists)?;
    if let Some(memory) = new.memory.as_ref() {
        merge_memory(into.memory.mut_or_insert_default(), memory, claims)?;
    }
    if let Some(cpu) = new.cpu.as_ref() {
        merge_cpu(into.cpu.mut_or_insert_default(), cpu, claims)?;
    }
    for limit in &new.hugepage_limits {
        claims.entry(Field::HugepageLimits, &limit.page_size)?;
        into.hugepage_limits.retain(|other| other.page_size != limit.page_size);
        into.hugepage_limits.push(limit.clone());
    }
    into.devices.extend(new.devices.iter().cloned());
    for (file, value) in &new.unified {
        claims.entry(Field::CgroupsUnified, file)?;
        into.unified.insert(file.clone(), value.clone());
    }
    if new.blockio_class.is_some() {
        claims.field(Field::BlockioClass)?;
        into.blockio_class = new.blockio_class.clone();
    }
    if new.rdt_class.is_some() {
        claims.field(Field::RdtClass)?;
        into.rdt_class = new.rdt_class.clone();
    }
    if new.pids.is_some() {
        claims.field(Field::PidsLimit)?;
        into.pids = new.pids.clone();
    }
    Ok(())
}

/// Each value that is said, with its field.
macro_rules! set {
    ($into:ident, $new:ident, $claims:ident: $($name:ident = $field:ident),*) => {
        $(if $new.$name.is_some() {
            $claims.field(Field::$field)?;
            $into.$name = $new.$name.clone();
        })*
    };
}

fn merge_memory(into: &mut LinuxMemory, new: &LinuxMemory, claims: &mut Claims<'_>) -> Result<(), Conflict> {
    set!(into, new, claims: limit = MemLimit, reservation = MemReservation, swap = MemSwapLimit,
        kernel = MemKernelLimit, kernel_tcp = MemTCPLimit, swappiness = MemSwappiness,
        disable_oom_killer = MemDisableOomKiller, use_hierarchy = MemUseHierarchy);
    Ok(())
}

fn merge_cpu(into: &mut LinuxCPU, new: &LinuxCPU, claims: &mut Claims<'_>) -> Result<(), Conflict> {
    set!(into, new, claims: shares = CPUShares, quota = CPUQuota, period = CPUPeriod,
        realtime_runtime = CPURealtimeRuntime, realtime_period = CPURealtimePeriod);
    if !new.cpus.is_empty() {
        claims.field(Field::CPUSetCPUs)?;
        into.cpus.clone_from(&new.cpus);
    }
    if !new.mems.is_empty() {
        claims.field(Field::CPUSetMems)?;
        into.mems.clone_from(&new.mems);
    }
    Ok(())
}
