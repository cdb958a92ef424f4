//! Version 1: a tree for each set of controllers.

use std::path::Path;

use crate::interface_files::InterfaceFiles;
use crate::walk::walk;
use crate::{GroupError, Stats, files};

/// How often the list of processes is read again while the group is frozen. Nothing can fork then; a second reading
/// finds what was started while the first one was made.
const READS: usize = 8;
/// Version 1 says "no limit" by a number near the largest one.
const NO_LIMIT: u64 = 1 << 60;

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
        kills = kills.saturating_add(files::field(&control, files::OOM_KILL).unwrap_or(0));
        Ok(())
    })?;
    Ok(kills)
}

pub(super) fn stats(group: &InterfaceFiles) -> Result<Stats, GroupError> {
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
        pids: super::count(group, group.number("pids", "pids.current")?)?,
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
