//! What processes hold: memory, descriptors, threads, children.

use std::fs;
use std::path::{Path, PathBuf};

use peapod_tests::{Daemon, Pod};

/// Of one process, or the most of several in each respect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    /// KiB.
    pub(crate) rss: u64,
    /// KiB; pages that several processes share are divided among them.
    pub(crate) pss: u64,
    /// KiB that are of no file: what grows when something is kept.
    pub(crate) anonymous: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) children: usize,
}

impl Process {
    fn of(pid: i32) -> Self {
        let path = PathBuf::from(format!("/proc/{pid}"));
        let memory = fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
        let kib = |key: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let children = entries(&path.join("task")).iter().map(|task| words(&task.join("children"))).sum();
        Self {
            rss: kib("Rss:"),
            pss: kib("Pss:"),
            anonymous: kib("Anonymous:"),
            descriptors: entries(&path.join("fd")).len(),
            threads: entries(&path.join("task")).len(),
            children,
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            rss: self.rss.max(other.rss),
            pss: self.pss.max(other.pss),
            anonymous: self.anonymous.max(other.anonymous),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
            children: self.children.max(other.children),
        }
    }
}

/// Daemon and shims at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holdings {
    pub(crate) daemon: Process,
    /// The most of the shims of some pods.
    pub(crate) shims: Process,
    /// KiB that these shims have mapped, as their mean: what their program shares with all others is in each.
    pub(crate) mean_shim_rss: u64,
}

impl Holdings {
    pub(crate) fn of(daemon: &Daemon, pods: &[Pod<'_>]) -> Self {
        let shims: Vec<_> = pods.iter().map(|pod| Process::of(pod.shim_pid())).collect();
        Self {
            daemon: Process::of(daemon.pid()),
            mean_shim_rss: shims.iter().map(|shim| shim.rss).sum::<u64>() / shims.len().max(1) as u64,
            shims: shims.into_iter().fold(Process::default(), Process::most),
        }
    }
}

fn words(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.split_whitespace().count())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
