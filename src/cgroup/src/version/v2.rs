//! Version 2: the unified hierarchy.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::interface_files::InterfaceFiles;
use crate::{GroupError, OomWatch, Stats, files};

pub(super) fn kill(group: &InterfaceFiles) -> Result<(), GroupError> {
    let Some(file) = group.file("", "cgroup.kill") else { return Ok(()) };
    match files::write(&file, "1") {
        Err(error) if error.is_gone() => Ok(()),
        other => other,
    }
}

pub(super) fn oom_kills(group: &InterfaceFiles) -> Result<u64, GroupError> {
    let events = group.text("memory", "memory.events")?;
    Ok(files::field(&events, files::OOM_KILL).unwrap_or(0))
}

pub(super) fn oom_watch(group: &InterfaceFiles) -> Option<OomWatch> {
    OomWatch::open(&group.file("memory", "memory.events")?)
}

/// Says of the whole subtree what many lists would.
pub(super) fn is_empty(group: &InterfaceFiles) -> Result<bool, GroupError> {
    Ok(files::field(&group.text("", "cgroup.events")?, "populated").unwrap_or(0) == 0)
}

pub(super) fn spawn_target(group: &InterfaceFiles) -> Result<Option<OwnedFd>, GroupError> {
    let dir = group.main_dir();
    Ok(Some(File::open(&dir).map_err(GroupError::of("open", &dir))?.into()))
}

/// Files are read again, and so are the kernel's caches.
pub(super) fn held_memory(group: &InterfaceFiles) -> Result<Option<u64>, GroupError> {
    let Some(usage) = group.number("memory", "memory.current")? else { return Ok(None) };
    let memory = group.text("memory", "memory.stat")?;
    let reclaimable = ["active_file", "inactive_file", "slab_reclaimable"];
    let reclaimable = reclaimable.iter().filter_map(|key| files::field(&memory, key)).sum();
    Ok(Some(usage.saturating_sub(reclaimable)))
}

pub(super) fn stats(group: &InterfaceFiles) -> Result<Stats, GroupError> {
    let cpu = group.text("cpu", "cpu.stat")?;
    let memory = group.text("memory", "memory.stat")?;
    let usage = group.number("memory", "memory.current")?.unwrap_or(0);
    let field = |key| files::field(&memory, key).unwrap_or(0);
    Ok(Stats {
        cpu_ns: files::field(&cpu, "usage_usec").unwrap_or(0).saturating_mul(1000),
        memory_usage: usage,
        working_set: usage.saturating_sub(field("inactive_file")),
        rss: field("anon"),
        page_faults: field("pgfault"),
        major_page_faults: field("pgmajfault"),
        swap: group.number("memory", "memory.swap.current")?.unwrap_or(0),
        pids: super::count(group, group.number("pids", "pids.current")?)?,
        memory_limit: group.number("memory", "memory.max")?,
    })
}
