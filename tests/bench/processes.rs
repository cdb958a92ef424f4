//! Memory of processes, by what they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// KiB of all processes of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) count: usize,
    pub(crate) rss: u64,
    /// Pages that several processes share, divided among them.
    pub(crate) pss: u64,
}

/// The daemon, and everything that runs for its pods. Nothing else of these kinds runs in the node.
pub(crate) fn memory(daemon: u32) -> Result<BTreeMap<&'static str, Memory>> {
    let mut kinds = BTreeMap::<_, Memory>::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let path = entry.context("read /proc")?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        let kind = if pid == daemon { Some("daemon") } else { kind(&path) };
        // One that ended in between is not one of the idle ones.
        let (Some(kind), Some((rss, pss))) = (kind, roll_up(&path)) else { continue };
        let sum = kinds.entry(kind).or_default();
        *sum = Memory { count: sum.count + 1, rss: sum.rss + rss, pss: sum.pss + pss };
    }
    Ok(kinds)
}

/// Time on processors that all threads of a process have had so far.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("read its threads")? {
        // Those that have ended are not counted: the pool of blocking threads keeps them for ten seconds.
        let text = fs::read_to_string(thread.context("read its threads")?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn kind(process: &Path) -> Option<&'static str> {
    let command = fs::read(process.join("cmdline")).ok()?;
    let program = String::from_utf8_lossy(command.split(|byte| *byte == 0).next()?).into_owned();
    let name = program.rsplit('/').next()?;
    match name {
        "peapod-init" => Some("pod init"),
        "pause" => Some("pause"),
        "sleep" => Some("container"),
        _ if name.starts_with("containerd-shim") || name == "conmon" => Some("shim"),
        _ => None,
    }
}

/// RSS and PSS.
fn roll_up(process: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(process.join("smaps_rollup")).ok()?;
    let value =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
    Some((value("Rss:")?, value("Pss:")?))
}
