//! What a group uses.

/// A reading of one group, in bytes and counts. What the node does not account for is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Processor time used since the group was made, in nanoseconds.
    pub cpu_ns: u64,
    /// All memory charged to the group.
    pub memory_usage: u64,
    /// The part of it that can't be dropped at once: without inactive file pages.
    pub working_set: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// Page faults.
    pub page_faults: u64,
    /// Page faults that had to read.
    pub major_page_faults: u64,
    /// Swap used.
    pub swap: u64,
    /// Tasks in the group and below.
    pub pids: u64,
    /// Its own limit of memory, if it has one.
    pub memory_limit: Option<u64>,
}
