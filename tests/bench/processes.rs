//! Memory of processes, by what they are.

use std::collections::BTreeMap;
use std::fs;
use std::ops::{Add, Sub};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

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

/// Time on processors.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessorTime {
    pub(crate) all: Duration,
    /// Of which the kernel took samples, a hundred or more a second: those in programs, and those in itself.
    samples: (u64, u64),
}

impl ProcessorTime {
    /// The part in the kernel, by those samples.
    pub(crate) fn in_kernel(self) -> Duration {
        let (user, kernel) = self.samples;
        let number = |samples: u64| u32::try_from(samples).unwrap_or(u32::MAX);
        self.all * number(kernel) / number(user + kernel).max(1)
    }
}

impl Add for ProcessorTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let samples = (self.samples.0 + other.samples.0, self.samples.1 + other.samples.1);
        Self { all: self.all + other.all, samples }
    }
}

impl Sub for ProcessorTime {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        let samples = (self.samples.0 - before.samples.0, self.samples.1 - before.samples.1);
        Self { all: self.all - before.all, samples }
    }
}

/// What all threads of a process have had so far, those that have ended among them.
pub(crate) fn processor_time(pid: u32) -> Result<ProcessorTime> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).context("an odd PID")?));
    let all = clock.and_then(clock_gettime).context("read its processor time")?;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("read its processor time")?;
    // proc_pid_stat(5), behind the name: the 14th and the 15th field.
    let fields: Vec<_> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse().ok()).unwrap_or(0);
    Ok(ProcessorTime { all: all.into(), samples: (field(11), field(12)) })
}

fn kind(process: &Path) -> Option<&'static str> {
    let command = fs::read(process.join("cmdline")).ok()?;
    let program = String::from_utf8_lossy(command.split(|byte| *byte == 0).next()?).into_owned();
    let name = program.rsplit('/').next()?;
    match name {
        "peapod-init" => Some("pod init"),
        "peapod-streaming" => Some("streaming server"),
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
