//! Where version 1 and version 2 differ. Each is a table of functions on a group; nothing else asks for the version.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::interface_files::InterfaceFiles;
use crate::stats_reader::StatsReader;
use crate::total_limits::{LimitFile, LimitKind};
use crate::trees::MountedTrees;
use crate::{GroupError, HugePages, OomWatch, Pressure, Stats, TotalLimits, parse};

mod v1;
mod v2;

/// What has to be done differently.
#[derive(Debug)]
pub(crate) struct VersionTable {
    /// Sends KILL to every process of the group and of those below it.
    pub(crate) kill: fn(&InterfaceFiles) -> Result<(), GroupError>,
    /// How many processes of the group and of those below it the kernel killed for lack of memory.
    pub(crate) oom_kills: fn(&InterfaceFiles) -> Result<u64, GroupError>,
    /// What tells that this count changes.
    pub(crate) oom_watch: fn(&InterfaceFiles) -> Option<OomWatch>,
    /// Whether no process is in the group or below it.
    pub(crate) is_empty: fn(&InterfaceFiles) -> Result<bool, GroupError>,
    /// Lets the calling thread's children begin in the group: `None` if they do from now on, else what each has to
    /// be given.
    pub(crate) spawn_target: fn(&InterfaceFiles) -> Result<Option<OwnedFd>, GroupError>,
    /// What of the caller can be moved alone: the file that names its groups, the file of a group that moves it there,
    /// its number.
    pub(crate) caller: fn() -> (&'static str, &'static str, u32),
    /// Statistics.
    pub(crate) stats: StatsTable,
    /// Controllers, files and the word for "none" of the limits on swap, memory and time of processors, in this order.
    pub(crate) limits: fn() -> [(&'static str, &'static str, &'static str); 3],
    /// See [`crate::Cgroup::held_memory`].
    pub(crate) held_memory: fn(&InterfaceFiles) -> Result<Option<u64>, GroupError>,
    /// Makes a new group able to hold processes.
    pub(crate) prepare: fn(&Path) -> Result<(), GroupError>,
    /// Which files hold limits of a group with all below it, in the order in which they can be written.
    pub(crate) total_limits: fn(&TotalLimits, &InterfaceFiles) -> Vec<LimitFile>,
    /// Lets a group have the files of controllers, which are those of the groups above to give.
    pub(crate) hand_down: fn(&InterfaceFiles, &BTreeSet<String>) -> Result<(), GroupError>,
}

/// How statistics are read.
#[derive(Debug)]
pub(crate) struct StatsTable {
    /// What each [`crate::StatsPart`] has, but pressure.
    pub(crate) usage: fn(&mut StatsReader<'_>) -> Result<Stats, GroupError>,
    /// What tasks waited for.
    pub(crate) pressure: fn(&mut StatsReader<'_>) -> Result<Pressure, GroupError>,
    /// Puts limits on swap and memory beside it.
    pub(crate) add_limits: fn(&mut StatsReader<'_>, &mut Stats) -> Result<(), GroupError>,
    /// Puts beside it what only metrics tell and the kernel changes by itself: when it takes memory back or writes out.
    pub(crate) add_charges: fn(&mut StatsReader<'_>, &mut Stats) -> Result<(), GroupError>,
    /// Puts beside it what only metrics tell and only tasks that run can move.
    pub(crate) add_counters: fn(&mut StatsReader<'_>, &mut Stats) -> Result<(), GroupError>,
    /// See [`crate::OpenGroup::cpu_time`].
    pub(crate) cpu_time: fn(&mut StatsReader<'_>) -> Result<Option<u64>, GroupError>,
}

static V2: VersionTable = VersionTable {
    kill: v2::kill,
    oom_kills: v2::oom_kills,
    oom_watch: v2::oom_watch,
    is_empty: v2::is_empty,
    spawn_target: v2::spawn_target,
    caller: || ("/proc/self/cgroup", "cgroup.procs", std::process::id()),
    stats: StatsTable {
        usage: v2::usage,
        pressure: v2::pressure,
        add_limits: v2::add_limits,
        add_charges: v2::add_charges,
        add_counters: v2::add_counters,
        cpu_time: v2::cpu_time,
    },
    limits: || [("memory", "memory.swap.max", "max"), ("memory", "memory.max", "max"), ("cpu", "cpu.max", "max")],
    held_memory: v2::held_memory,
    // Controllers are the business of who sets limits: the runtimes enable them all the way down.
    prepare: |_| Ok(()),
    total_limits: v2::total_limits,
    hand_down: v2::hand_down,
};

static V1: VersionTable = VersionTable {
    kill: v1::kill,
    oom_kills: v1::oom_kills,
    oom_watch: |_| None,
    is_empty: |group| Ok(group.pids()?.is_empty()),
    spawn_target: |group| group.enter("tasks", thread()).map(|()| None),
    caller: || ("/proc/thread-self/cgroup", "tasks", thread()),
    stats: StatsTable {
        usage: v1::usage,
        pressure: v1::pressure,
        add_limits: v1::add_limits,
        add_charges: v1::add_charges,
        add_counters: v1::add_counters,
        cpu_time: v1::cpu_time,
    },
    limits: || {
        [
            ("memory", "memory.memsw.limit_in_bytes", "-1"),
            ("memory", "memory.limit_in_bytes", "-1"),
            ("cpu", "cpu.cfs_quota_us", "-1"),
        ]
    },
    held_memory: |_| Ok(None),
    prepare: v1::prepare,
    total_limits: v1::total_limits,
    // Every group has the files of its tree's controllers.
    hand_down: |_, _| Ok(()),
};

/// What the version of these trees has.
pub(crate) fn of(trees: &MountedTrees) -> &'static VersionTable {
    if trees.v2 { &V2 } else { &V1 }
}

/// The number of the calling thread.
fn thread() -> u32 {
    u32::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0)
}

/// The kernel's count of tasks, or ours where the `pids` controller is missing.
fn tasks(files: &mut StatsReader<'_>, controller: &'static str) -> Result<Option<u64>, GroupError> {
    match files.number(controller, "pids.current")? {
        Some(count) => Ok(Some(count)),
        None => Ok(Some(files.group().pids()?.len() as u64)),
    }
}

fn working_set(usage: Option<u64>, inactive: Option<u64>) -> Option<u64> {
    usage.zip(inactive).map(|(usage, inactive)| usage.saturating_sub(inactive))
}

/// Huge pages of each size, by files of these names.
fn hugepages(files: &mut StatsReader<'_>, usage: &str, max_usage: Option<&str>) -> Result<Vec<HugePages>, GroupError> {
    let (mut all, sizes) = (Vec::new(), files.group().trees().hugepages.clone());
    for size in sizes {
        let mut read = |name: &str| files.number("hugetlb", &format!("hugetlb.{size}.{name}"));
        let (usage, max_usage) = (read(usage)?, max_usage.map_or(Ok(None), read)?);
        all.push(HugePages { size, usage, max_usage });
    }
    Ok(all)
}

/// Limits of huge pages of each size, by files of this name, and of those that are reserved where that is counted.
fn limits_of_pages(limits: &TotalLimits, group: &InterfaceFiles, file: &str, none: &str) -> Vec<LimitFile> {
    let sizes: BTreeSet<&String> = group.trees().hugepages.iter().chain(limits.hugepages.keys()).collect();
    let of = |size: &String| {
        let limit = limits.hugepages.get(size);
        let reserved = limit.map_or_else(|| none.to_owned(), u64::to_string);
        [
            LimitFile::or_none(format!("hugetlb.{size}.{file}"), limit, none),
            LimitFile::new(format!("hugetlb.{size}.rsvd.{file}"), reserved, LimitKind::WhereThere),
        ]
    };
    sizes.into_iter().flat_map(of).collect()
}

/// Stalls, which are told in one tree.
fn pressure(files: &mut StatsReader<'_>, tree: &'static str) -> Result<Pressure, GroupError> {
    let mut read = |name: &str| Ok::<_, GroupError>(files.text(tree, name)?.and_then(parse::pressure));
    Ok(Pressure { cpu: read("cpu.pressure")?, memory: read("memory.pressure")?, io: read("io.pressure")? })
}
