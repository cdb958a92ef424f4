//! Where version 1 and version 2 differ. Each is a table of functions on a group; nothing else asks for the version.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::{Cgroup, GroupError, OomWatch, Stats, files, group};

/// What has to be done differently.
#[derive(Debug)]
pub(crate) struct VersionTable {
    pub(crate) v2: bool,
    /// Sends KILL to every process of the group and of those below it.
    pub(crate) kill: fn(&Cgroup) -> Result<(), GroupError>,
    /// How many processes of the group and of those below it the kernel killed for lack of memory.
    pub(crate) oom_kills: fn(&Cgroup) -> Result<u64, GroupError>,
    /// What tells that this count changes.
    pub(crate) oom_watch: fn(&Cgroup) -> Option<OomWatch>,
    /// Whether no process is in the group or below it.
    pub(crate) is_empty: fn(&Cgroup) -> Result<bool, GroupError>,
    /// Lets the calling thread's children be born in the group: `None` if they are from now on, else what each has to
    /// be given.
    pub(crate) spawn_target: fn(&Cgroup) -> Result<Option<OwnedFd>, GroupError>,
    /// What of the caller can be moved alone: the file that names its groups, the file of a group that moves it there,
    /// its number.
    pub(crate) caller: fn() -> (&'static str, &'static str, u32),
    pub(crate) stats: fn(&Cgroup) -> Result<Stats, GroupError>,
    /// Controllers, files and the word for "none" of the limits on swap, memory and time of processors, in this order.
    pub(crate) limits: fn() -> [(&'static str, &'static str, &'static str); 3],
    /// See [`Cgroup::held_memory`].
    pub(crate) held_memory: fn(&Cgroup) -> Result<Option<u64>, GroupError>,
    /// Makes a new group able to hold processes.
    pub(crate) prepare: fn(&Path) -> Result<(), GroupError>,
}

pub(crate) static V2: VersionTable = VersionTable {
    v2: true,
    kill: v2::kill,
    oom_kills: v2::oom_kills,
    oom_watch: v2::oom_watch,
    is_empty: v2::is_empty,
    spawn_target: v2::spawn_target,
    caller: || ("/proc/self/cgroup", "cgroup.procs", std::process::id()),
    stats: v2::stats,
    limits: || [("memory", "memory.swap.max", "max"), ("memory", "memory.max", "max"), ("cpu", "cpu.max", "max")],
    held_memory: v2::held_memory,
    // Controllers are the business of who sets limits: the runtimes enable them all the way down.
    prepare: |_| Ok(()),
};

pub(crate) static V1: VersionTable = VersionTable {
    v2: false,
    kill: v1::kill,
    oom_kills: v1::oom_kills,
    oom_watch: |_| None,
    is_empty: |group| Ok(group.pids()?.is_empty()),
    spawn_target: |group| group.enter_thread().map(|()| None),
    caller: || ("/proc/thread-self/cgroup", "tasks", group::thread()),
    stats: v1::stats,
    limits: || {
        [
            ("memory", "memory.memsw.limit_in_bytes", "-1"),
            ("memory", "memory.limit_in_bytes", "-1"),
            ("cpu", "cpu.cfs_quota_us", "-1"),
        ]
    },
    held_memory: |_| Ok(None),
    prepare: v1::prepare,
};

mod v2 {
    use std::fs::File;

    use super::{Cgroup, GroupError, OomWatch, OwnedFd, Stats, files};
    use crate::stats;

    pub(super) fn kill(group: &Cgroup) -> Result<(), GroupError> {
        let Some(file) = group.file("", "cgroup.kill") else { return Ok(()) };
        match files::write(&file, "1") {
            Err(error) if error.is_gone() => Ok(()),
            other => other,
        }
    }

    pub(super) fn oom_kills(group: &Cgroup) -> Result<u64, GroupError> {
        let events = group.text("memory", "memory.events")?;
        Ok(files::field(&events, files::OOM_KILL).unwrap_or(0))
    }

    pub(super) fn oom_watch(group: &Cgroup) -> Option<OomWatch> {
        OomWatch::open(&group.file("memory", "memory.events")?)
    }

    /// Says of the whole subtree what many lists would.
    pub(super) fn is_empty(group: &Cgroup) -> Result<bool, GroupError> {
        Ok(files::field(&group.text("", "cgroup.events")?, "populated").unwrap_or(0) == 0)
    }

    pub(super) fn spawn_target(group: &Cgroup) -> Result<Option<OwnedFd>, GroupError> {
        let dir = group.main_dir();
        Ok(Some(File::open(&dir).map_err(GroupError::of("open", &dir))?.into()))
    }

    /// Files are read again, and so are the kernel's caches.
    pub(super) fn held_memory(group: &Cgroup) -> Result<Option<u64>, GroupError> {
        let Some(usage) = group.number("memory", "memory.current")? else { return Ok(None) };
        let memory = group.text("memory", "memory.stat")?;
        let reclaimable = ["active_file", "inactive_file", "slab_reclaimable"];
        let reclaimable = reclaimable.iter().filter_map(|key| files::field(&memory, key)).sum();
        Ok(Some(usage.saturating_sub(reclaimable)))
    }

    pub(super) fn stats(group: &Cgroup) -> Result<Stats, GroupError> {
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
            pids: stats::count(group, group.number("pids", "pids.current")?)?,
            memory_limit: group.number("memory", "memory.max")?,
        })
    }
}

mod v1 {
    use super::{Cgroup, GroupError, Path, Stats, files};
    use crate::stats;
    use crate::walk::walk;

    /// How often the list of processes is read again while the group is frozen. Nothing can fork then; a second reading
    /// finds what was born while the first one was made.
    const READS: usize = 8;
    /// Version 1 says "no limit" by a number near the largest one.
    const NO_LIMIT: u64 = 1 << 60;

    pub(super) fn kill(group: &Cgroup) -> Result<(), GroupError> {
        let state = group.file("freezer", "freezer.state");
        // A group without a freezer is killed as well as can be: the caller repeats until it is empty.
        let frozen = state.as_ref().is_some_and(|file| files::write(file, "FROZEN").is_ok());
        let killed = kill_all(group);
        let thawed = thaw(group);
        killed?;
        if frozen { thawed } else { Ok(()) }
    }

    /// With all below it: who sits in a group may have frozen that, and the frozen don't die.
    fn thaw(group: &Cgroup) -> Result<(), GroupError> {
        let Some(dir) = group.dir("freezer") else { return Ok(()) };
        walk(&dir, &mut |dir| match files::write(&dir.join("freezer.state"), "THAWED") {
            Err(error) if error.is_gone() => Ok(()),
            other => other,
        })
    }

    fn kill_all(group: &Cgroup) -> Result<(), GroupError> {
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
    pub(super) fn oom_kills(group: &Cgroup) -> Result<u64, GroupError> {
        let Some(dir) = group.dir("memory") else { return Ok(0) };
        let mut kills: u64 = 0;
        walk(&dir, &mut |dir| {
            let control = files::read(&dir.join("memory.oom_control"))?.unwrap_or_default();
            kills = kills.saturating_add(files::field(&control, files::OOM_KILL).unwrap_or(0));
            Ok(())
        })?;
        Ok(kills)
    }

    pub(super) fn stats(group: &Cgroup) -> Result<Stats, GroupError> {
        let memory = group.text("memory", "memory.stat")?;
        let usage = group.number("memory", "memory.usage_in_bytes")?.unwrap_or(0);
        let field = |key| files::field(&memory, key).unwrap_or(0);
        Ok(Stats {
            cpu_ns: group.number("cpuacct", "cpuacct.usage")?.unwrap_or(0),
            memory_usage: usage,
            working_set: usage.saturating_sub(field("total_inactive_file")),
            rss: field("total_rss"),
            page_faults: field("total_pgfault"),
            major_page_faults: field("total_pgmajfault"),
            swap: field("total_swap"),
            pids: stats::count(group, group.number("pids", "pids.current")?)?,
            memory_limit: group.number("memory", "memory.limit_in_bytes")?.filter(|limit| *limit < NO_LIMIT),
        })
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
}
