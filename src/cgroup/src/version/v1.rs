//! Version 1: a tree for each set of controllers.

use std::path::Path;

use crate::interface_files::InterfaceFiles;
use crate::stats_reader::StatsReader;
use crate::total_limits::{LimitFile, LimitKind};
use crate::trees::UNIFIED;
use crate::walk::walk;
use crate::{DeviceIo, GroupError, MemoryStats, PageFaults, Pressure, Stats, SwapStats, TotalLimits, files, parse};

/// How often the list of processes is read again while the group is frozen. Nothing can fork then; a second reading
/// finds what was started while the first one was made.
const READS: usize = 8;
/// Version 1 says "no limit" by a number near the largest one.
const NO_LIMIT: u64 = 1 << 60;
/// Nanoseconds of a tick, in which version 1 tells which part of its time a group has spent where: a hundredth of a
/// second for programs, however long the kernel's own are (time(7)).
const TICK: u64 = 10_000_000;

pub(super) fn kill(group: &InterfaceFiles) -> Result<(), GroupError> {
    let state = group.file("freezer", "freezer.state");
    // A group without a freezer is killed as well as can be: the caller repeats until it is empty.
    let frozen = state.as_ref().is_some_and(|file| files::write(file, "FROZEN").is_ok());
    let killed = kill_all(group);
    let thawed = thaw(group);
    killed?;
    if frozen { thawed } else { Ok(()) }
}

/// With all below it: who sits in a group may have frozen that, and the frozen don't die.
fn thaw(group: &InterfaceFiles) -> Result<(), GroupError> {
    let Some(dir) = group.dir("freezer") else { return Ok(()) };
    walk(&dir, &mut |dir| match files::write(&dir.join("freezer.state"), "THAWED") {
        Err(error) if error.is_gone() => Ok(()),
        other => other,
    })
}

fn kill_all(group: &InterfaceFiles) -> Result<(), GroupError> {
    let mut seen = Vec::new();
    for _ in 0..READS {
        let mut pids = group.pids()?;
        pids.sort_unstable();
        if pids == seen {
            break;
        }
        for pid in &pids {
            if let Ok(pid) = i32::try_from(*pid) {
                // It may have gone meanwhile; a frozen group's numbers are not given out again.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
        seen = pids;
    }
    Ok(())
}

/// Version 1 counts for each group alone.
pub(super) fn oom_kills(group: &InterfaceFiles) -> Result<u64, GroupError> {
    let Some(dir) = group.dir("memory") else { return Ok(0) };
    let mut kills: u64 = 0;
    walk(&dir, &mut |dir| {
        let control = files::read(&dir.join("memory.oom_control"))?.unwrap_or_default();
        kills = kills.saturating_add(parse::field(&control, files::OOM_KILL).unwrap_or(0));
        Ok(())
    })?;
    Ok(kills)
}

pub(super) fn cpu_time(files: &mut StatsReader<'_>) -> Result<Option<u64>, GroupError> {
    Ok(files.clock("cpuacct", "cpuacct.usage")?.and_then(parse::number))
}

pub(super) fn usage(files: &mut StatsReader<'_>) -> Result<Stats, GroupError> {
    let mut usage = memory(files)?;
    usage.cpu.used = cpu_time(files)?;
    usage.tasks = super::tasks(files, "pids")?;
    Ok(usage)
}

/// The parts of statistics that the memory controller tells of each group.
fn memory(files: &mut StatsReader<'_>) -> Result<Stats, GroupError> {
    let usage = files.number("memory", "memory.usage_in_bytes")?;
    let text = files.text("memory", "memory.stat")?.unwrap_or_default();
    let field = |key| parse::field(text, key);
    let memory = MemoryStats {
        usage,
        working_set: super::working_set(usage, field("total_inactive_file")),
        rss: field("total_rss"),
        cache: field("total_cache"),
        shared: field("total_shmem"),
        mapped_file: field("total_mapped_file"),
        ..MemoryStats::default()
    };
    let faults = PageFaults {
        all: field("total_pgfault"),
        major: field("total_pgmajfault"),
        own: field("pgfault"),
        own_major: field("pgmajfault"),
    };
    let swap = SwapStats { used: field("total_swap"), limit: None };
    Ok(Stats { memory, faults, swap, ..Stats::default() })
}

pub(super) fn pressure(files: &mut StatsReader<'_>) -> Result<Pressure, GroupError> {
    super::pressure(files, UNIFIED)
}

pub(super) fn add_limits(files: &mut StatsReader<'_>, stats: &mut Stats) -> Result<(), GroupError> {
    let limited = |limit: Option<u64>| limit.filter(|limit| *limit < NO_LIMIT);
    let limit = limited(files.number("memory", "memory.limit_in_bytes")?);
    // Memory and swap together.
    let both = limited(files.number("memory", "memory.memsw.limit_in_bytes")?);
    stats.memory.limit = limit;
    stats.swap.limit = both.zip(limit).map(|(both, memory)| both.saturating_sub(memory));
    Ok(())
}

pub(super) fn add_charges(files: &mut StatsReader<'_>, stats: &mut Stats) -> Result<(), GroupError> {
    stats.memory.kernel = files.number("memory", "memory.kmem.usage_in_bytes")?;
    stats.devices = devices(files)?;
    Ok(())
}

pub(super) fn add_counters(files: &mut StatsReader<'_>, stats: &mut Stats) -> Result<(), GroupError> {
    let quota = files.text("cpu", "cpu.stat")?.unwrap_or_default();
    let field = |key| parse::field(quota, key);
    stats.cpu.periods = field("nr_periods");
    stats.cpu.throttled_periods = field("nr_throttled");
    stats.cpu.throttled = field("throttled_time");
    // In one file, where two tell nanoseconds.
    let text = files.text("cpuacct", "cpuacct.stat")?.unwrap_or_default();
    let field = |key| parse::field(text, key).map(|ticks| ticks.saturating_mul(TICK));
    (stats.cpu.user, stats.cpu.system) = (field("user"), field("system"));
    stats.memory.max_usage = files.number("memory", "memory.max_usage_in_bytes")?;
    stats.memory.limit_hits = files.number("memory", "memory.failcnt")?;
    stats.oom_kills = oom_kills_with(files)?;
    stats.hugepages = super::hugepages(files, "usage_in_bytes", Some("max_usage_in_bytes"))?;
    Ok(())
}

/// As [`oom_kills`], without a walk where nothing is below.
fn oom_kills_with(files: &mut StatsReader<'_>) -> Result<Option<u64>, GroupError> {
    let own = files.text("memory", "memory.oom_control")?.map(|text| parse::field(text, files::OOM_KILL));
    match own {
        Some(own) if files.has_none_below("memory")? => Ok(own),
        Some(_) => oom_kills(files.group()).map(Some),
        None => Ok(None),
    }
}

fn devices(files: &mut StatsReader<'_>) -> Result<Vec<DeviceIo>, GroupError> {
    let mut read = |names: [&str; 2]| -> Result<String, GroupError> {
        for name in names {
            if let Some(text) = files.text("blkio", name)? {
                return Ok(text.to_owned());
            }
        }
        Ok(String::new())
    };
    let bytes = read(["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"])?;
    let operations = read(["blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"])?;
    Ok(parse::blkio(&bytes, &operations))
}

/// A new cpuset has no processors and no memory nodes, and takes no process before it has some: its parent's.
pub(super) fn prepare(dir: &Path) -> Result<(), GroupError> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = dir.join(name);
        let (Some(parent), Some(text)) = (dir.parent(), files::read(&own)?) else { continue };
        if text.trim().is_empty() {
            let inherited = files::read(&parent.join(name))?.unwrap_or_default();
            files::write(&own, inherited.trim())?;
        }
    }
    Ok(())
}

/// Limits by tree. What a group had before is lifted where the new ones are on the wrong side of it: memory and swap
/// together can't be below memory alone, and a quota is more of a shorter period.
pub(super) fn total_limits(limits: &TotalLimits, group: &InterfaceFiles) -> Vec<LimitFile> {
    let lift = |name: &str| LimitFile::new(name, "-1", LimitKind::Lift);
    // All processors are those of the group above.
    let above = |name: &str| {
        let above = group.dir("cpuset").and_then(|dir| files::read(&dir.parent()?.join(name)).ok().flatten());
        above.unwrap_or_default().trim().to_owned()
    };
    let mut all = vec![
        // Before there are groups below, without which these would be counted by themselves.
        LimitFile::new("memory.use_hierarchy", "1", LimitKind::WhereThere),
        LimitFile::or_none("cpuset.cpus", TotalLimits::list(&limits.cpus), &above("cpuset.cpus")),
        LimitFile::or_none("cpuset.mems", TotalLimits::list(&limits.mems), &above("cpuset.mems")),
        LimitFile::or_none("cpu.shares", limits.cpu_shares, "1024"),
        lift("cpu.cfs_quota_us"),
        LimitFile::or_none("cpu.cfs_period_us", limits.cpu.map(|(_, period)| period), "100000"),
        LimitFile::or_none("cpu.cfs_quota_us", limits.cpu.map(|(quota, _)| quota), "-1"),
        lift("memory.memsw.limit_in_bytes"),
        LimitFile::or_none("memory.limit_in_bytes", limits.memory, "-1"),
        LimitFile::or_none("memory.memsw.limit_in_bytes", limits.memory_and_swap, "-1"),
        LimitFile::new("pids.max", "max", LimitKind::WhereThere),
    ];
    all.extend(super::limits_of_pages(limits, group, "limit_in_bytes", "-1"));
    limits.with_files(all)
}
