//! Version 2: the unified hierarchy.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::interface_files::InterfaceFiles;
use crate::stats_reader::StatsReader;
use crate::{CpuStats, GroupError, MemoryStats, OomWatch, PageFaults, Pressure, Stats, SwapStats, files, parse};

pub(super) fn kill(group: &InterfaceFiles) -> Result<(), GroupError> {
    let Some(file) = group.file("", "cgroup.kill") else { return Ok(()) };
    match files::write(&file, "1") {
        Err(error) if error.is_gone() => Ok(()),
        other => other,
    }
}

pub(super) fn oom_kills(group: &InterfaceFiles) -> Result<u64, GroupError> {
    let events = group.text("memory", "memory.events")?;
    Ok(parse::field(&events, files::OOM_KILL).unwrap_or(0))
}

pub(super) fn oom_watch(group: &InterfaceFiles) -> Option<OomWatch> {
    OomWatch::open(&group.file("memory", "memory.events")?)
}

/// Says of the whole subtree what many lists would.
pub(super) fn is_empty(group: &InterfaceFiles) -> Result<bool, GroupError> {
    Ok(parse::field(&group.text("", "cgroup.events")?, "populated").unwrap_or(0) == 0)
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
    let reclaimable = reclaimable.iter().filter_map(|key| parse::field(&memory, key)).sum();
    Ok(Some(usage.saturating_sub(reclaimable)))
}

pub(super) fn cpu_time(files: &mut StatsReader<'_>) -> Result<Option<u64>, GroupError> {
    let text = files.clock("", "cpu.stat")?.unwrap_or_default();
    Ok(parse::field(text, "usage_usec").map(nanoseconds))
}

pub(super) fn usage(files: &mut StatsReader<'_>) -> Result<Stats, GroupError> {
    Ok(Stats { cpu: cpu(files)?, tasks: super::tasks(files, "")?, ..memory(files)? })
}

fn nanoseconds(microseconds: u64) -> u64 {
    microseconds.saturating_mul(1000)
}

fn cpu(files: &mut StatsReader<'_>) -> Result<CpuStats, GroupError> {
    let text = files.clock("", "cpu.stat")?.unwrap_or_default();
    let field = |key| parse::field(text, key);
    Ok(CpuStats {
        used: field("usage_usec").map(nanoseconds),
        user: field("user_usec").map(nanoseconds),
        system: field("system_usec").map(nanoseconds),
        periods: field("nr_periods"),
        throttled_periods: field("nr_throttled"),
        throttled: field("throttled_usec").map(nanoseconds),
    })
}

/// The parts of statistics that the memory controller tells of each group.
fn memory(files: &mut StatsReader<'_>) -> Result<Stats, GroupError> {
    let usage = files.number("", "memory.current")?;
    let swap = SwapStats { used: files.number("", "memory.swap.current")?, limit: None };
    let text = files.text("", "memory.stat")?.unwrap_or_default();
    let field = |key| parse::field(text, key);
    let faults = PageFaults {
        all: field("pgfault"),
        major: field("pgmajfault"),
        own: field("pgfault"),
        own_major: field("pgmajfault"),
    };
    let memory = MemoryStats {
        usage,
        working_set: super::working_set(usage, field("inactive_file")),
        rss: field("anon"),
        cache: field("file"),
        mapped_file: field("file_mapped"),
        kernel: field("kernel"),
        ..MemoryStats::default()
    };
    Ok(Stats { memory, faults, swap, ..Stats::default() })
}

pub(super) fn pressure(files: &mut StatsReader<'_>) -> Result<Pressure, GroupError> {
    super::pressure(files, "")
}

pub(super) fn add_limits(files: &mut StatsReader<'_>, stats: &mut Stats) -> Result<(), GroupError> {
    stats.memory.limit = files.number("", "memory.max")?;
    stats.swap.limit = files.number("", "memory.swap.max")?;
    Ok(())
}

pub(super) fn add_counters(files: &mut StatsReader<'_>, stats: &mut Stats) -> Result<(), GroupError> {
    stats.memory.max_usage = files.number("", "memory.peak")?;
    let events = files.text("", "memory.events")?.unwrap_or_default();
    (stats.memory.limit_hits, stats.oom_kills) = (parse::field(events, "max"), parse::field(events, files::OOM_KILL));
    stats.devices = parse::io_stat(files.text("", "io.stat")?.unwrap_or_default());
    stats.hugepages = super::hugepages(files, "current", None)?;
    Ok(())
}
