//! What a group uses, as the kernel counts it (kernel documentation, admin-guide/cgroup-v1 and cgroup-v2.rst).

/// What of [`Stats`] is read: each file takes time, and who looks at many groups needs only some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsPart {
    /// What CRI's statistics tell: processor time, memory in use and its limit, page faults, swap and its limit, tasks,
    /// pressure.
    Usage,
    /// What metrics tell: everything but limits.
    Counters,
}

/// A reading of one group with all below it. What the node does not tell, or nobody asked for, is `None`, and never
/// zero by guess.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Time of processors.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Page faults.
    pub faults: PageFaults,
    /// Swap.
    pub swap: SwapStats,
    /// Tasks: each thread counts. Of a node that does not count them, processes.
    pub tasks: Option<u64>,
    /// Processes that the kernel killed for lack of memory.
    pub oom_kills: Option<u64>,
    /// What was read from and written to block devices, by device.
    pub devices: Vec<DeviceIo>,
    /// Huge pages, by their size.
    pub hugepages: Vec<HugePages>,
    /// What tasks waited for.
    pub pressure: Pressure,
}

impl Stats {
    /// Bytes in memory and swap that no file of a disk has: what somebody has to write who wants to keep them.
    #[must_use]
    pub fn on_no_disk(&self) -> u64 {
        let parts = [self.memory.rss, self.memory.shared, self.swap.used];
        parts.into_iter().flatten().fold(0, u64::saturating_add)
    }
}

/// Time of processors since the group was made, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// All.
    pub used: Option<u64>,
    /// In programs.
    pub user: Option<u64>,
    /// In the kernel.
    pub system: Option<u64>,
    /// Periods over which a quota was enforced; a number.
    pub periods: Option<u64>,
    /// Those of them in which it was used up; a number.
    pub throttled_periods: Option<u64>,
    /// How long tasks had to stand still for it.
    pub throttled: Option<u64>,
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// All that is charged to the group.
    pub usage: Option<u64>,
    /// The part of it that can't be dropped at once: without inactive file pages.
    pub working_set: Option<u64>,
    /// Anonymous memory.
    pub rss: Option<u64>,
    /// Cached files, with those in memory alone.
    pub cache: Option<u64>,
    /// Those of them that are in memory alone: of a tmpfs, or memory that processes share.
    pub shared: Option<u64>,
    /// Mapped files.
    pub mapped_file: Option<u64>,
    /// The kernel's own.
    pub kernel: Option<u64>,
    /// The most that was ever charged.
    pub max_usage: Option<u64>,
    /// How often the limit was hit; a number.
    pub limit_hits: Option<u64>,
    /// Its own limit; `None` also where it has none.
    pub limit: Option<u64>,
}

/// Page faults since the group was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageFaults {
    /// All.
    pub all: Option<u64>,
    /// Those that had to read.
    pub major: Option<u64>,
    /// All, without those of groups below. Version 2 counts no group alone: the same as [`PageFaults::all`].
    pub own: Option<u64>,
    /// Those of them that had to read.
    pub own_major: Option<u64>,
}

/// Swap, in bytes, without memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwapStats {
    /// What is swapped out.
    pub used: Option<u64>,
    /// The group's own limit; `None` also where it has none.
    pub limit: Option<u64>,
}

/// What went from and to one block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceIo {
    /// The device's major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HugePages {
    /// The size as the kernel calls it: `2MB`.
    pub size: String,
    /// What is used.
    pub usage: Option<u64>,
    /// The most that was ever used; version 2 does not tell.
    pub max_usage: Option<u64>,
}

/// Pressure stall information; `None` where the kernel has none: on version 1, and if it is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Option<Stall>,
    /// Waiting for memory.
    pub memory: Option<Stall>,
    /// Waiting for block devices.
    pub io: Option<Stall>,
}

/// How long tasks waited for one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stall {
    /// Some of them.
    pub some: StallTime,
    /// All of them at once.
    pub full: StallTime,
}

/// Shares of the last time in percent, and a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StallTime {
    /// Of the last 10 seconds.
    pub avg10: f64,
    /// Of the last 60 seconds.
    pub avg60: f64,
    /// Of the last 300 seconds.
    pub avg300: f64,
    /// Microseconds since the group was made.
    pub total: u64,
}

/// How many tasks a group may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskLimit {
    /// The node does not limit tasks, or the group is gone.
    #[default]
    Unknown,
    /// Any number.
    None,
    /// So many.
    AtMost(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_disk_has_is_private_and_shared_memory_and_what_of_it_is_swapped_out() {
        let memory = MemoryStats { rss: Some(1000), shared: Some(200), cache: Some(90_000), ..MemoryStats::default() };
        let swap = SwapStats { used: Some(7), limit: None };
        assert_eq!(Stats { memory, swap, ..Stats::default() }.on_no_disk(), 1207);
        assert_eq!(Stats::default().on_no_disk(), 0);
    }
}
