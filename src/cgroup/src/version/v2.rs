//! Version 2: the unified hierarchy.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::OwnedFd;

use crate::interface_files::InterfaceFiles;
use crate::stats_reader::StatsReader;
use crate::total_limits::{LimitFile, LimitKind};
use crate::{
    CpuStats, GroupError, MemoryStats, OomWatch, PageFaults, Pressure, Stats, SwapStats, TotalLimits, files, parse,
};

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
        shared: field("shmem"),
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

pub(super) fn add_charges(files: &mut StatsReader<'_>, stats: &mut Stats) -> Result<(), GroupError> {
    stats.devices = parse::io_stat(files.text("", "io.stat")?.unwrap_or_default());
    Ok(())
}

pub(super) fn add_counters(files: &mut StatsReader<'_>, stats: &mut Stats) -> Result<(), GroupError> {
    stats.memory.max_usage = files.number("", "memory.peak")?;
    let events = files.text("", "memory.events")?.unwrap_or_default();
    (stats.memory.limit_hits, stats.oom_kills) = (parse::field(events, "max"), parse::field(events, files::OOM_KILL));
    stats.hugepages = super::hugepages(files, "current", None)?;
    Ok(())
}

/// Limits in the one tree. Swap is a file of its own here, and shares are weights of another scale.
pub(super) fn total_limits(limits: &TotalLimits, group: &InterfaceFiles) -> Vec<LimitFile> {
    let where_there = |name: &str, text: &str| LimitFile::new(name, text, LimitKind::WhereThere);
    let swap = limits.memory_and_swap.zip(limits.memory).map(|(both, memory)| both.saturating_sub(memory));
    let mut all = vec![
        LimitFile::or_none("cpuset.cpus", TotalLimits::list(&limits.cpus), ""),
        LimitFile::or_none("cpuset.mems", TotalLimits::list(&limits.mems), ""),
        LimitFile::or_none("cpu.weight", limits.cpu_shares.map(weight), "100"),
        LimitFile::or_none("cpu.max", limits.cpu.map(|(quota, period)| format!("{quota} {period}")), "max 100000"),
        where_there("memory.min", "0"),
        where_there("memory.low", "0"),
        where_there("memory.high", "max"),
        LimitFile::or_none("memory.swap.max", swap, "max"),
        LimitFile::or_none("memory.max", limits.memory, "max"),
        where_there("memory.oom.group", "0"),
        where_there("pids.max", "max"),
    ];
    all.extend(super::limits_of_pages(limits, group, "max", "max"));
    limits.with_files(all)
}

/// As OCI runtimes convert: 2 to 262144 becomes 1 to 10000.
fn weight(shares: u64) -> u64 {
    1 + shares.clamp(2, 262_144).saturating_sub(2) * 9_999 / 262_142
}

/// From the root to the group above. A group has the files of a controller if the one above hands that down.
pub(super) fn hand_down(group: &InterfaceFiles, controllers: &BTreeSet<String>) -> Result<(), GroupError> {
    let mut outcome = Ok(());
    let parts: Vec<_> = group.path().split('/').filter(|part| !part.is_empty()).collect();
    for above in 0..parts.len() {
        let dir = group.of(parts.get(..above).unwrap_or_default().join("/")).main_dir();
        let words = |name: &str| files::read(&dir.join(name)).map(Option::unwrap_or_default);
        let (there, handed) = (words("cgroup.controllers")?, words("cgroup.subtree_control")?);
        let has = |text: &str, name: &str| text.split_ascii_whitespace().any(|word| word == name);
        for name in controllers.iter().filter(|name| has(&there, name) && !has(&handed, name)) {
            outcome = outcome.and(files::write(&dir.join("cgroup.subtree_control"), &format!("+{name}")));
        }
    }
    outcome
}
