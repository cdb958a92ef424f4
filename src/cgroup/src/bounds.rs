//! What a group may cost who reads it. ARCHITECTURE.md, chapter "Bounds", lists them all.

use std::time::Duration;

/// Bytes of one file of a group that are read for statistics; `memory.stat` has 2 KiB, `io.stat` a line of some 80 for
/// each device.
pub(crate) const STATS_FILE_BYTES: usize = 64 << 10;

/// How old statistics of a group may be in which nothing has run since.
pub(crate) const IDLE_STATS_AGE: Duration = Duration::from_secs(15);
/// The same of counters that nothing but tasks that run can move.
pub(crate) const IDLE_COUNTERS_AGE: Duration = Duration::from_secs(60);

/// Block devices of a group in its statistics.
pub(crate) const DEVICES: usize = 64;

/// Groups below its own that a container may have which divides that. The kernel has 65535 memory cgroups for the whole
/// node.
pub(crate) const DELEGATED_GROUPS: u32 = 1024;

/// How deep such groups may be nested: what runs a container runtime with systemd inside needs some ten.
pub(crate) const DELEGATED_DEPTH: u32 = 32;

/// Bytes of what is configured to stand before the id in the names of scopes.
pub(crate) const SCOPE_PREFIX_BYTES: usize = 64;
