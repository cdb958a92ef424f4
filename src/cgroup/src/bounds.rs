//! What a group may cost who reads it. ARCHITECTURE.md, chapter "Bounds", lists them all.

/// Bytes of one file of a group that are read for statistics; `memory.stat` has 2 KiB, `io.stat` a line of some 80 for
/// each device.
pub(crate) const STATS_FILE_BYTES: usize = 64 << 10;

/// Block devices of a group in its statistics.
pub(crate) const DEVICES: usize = 64;

/// Bytes of what is configured to stand before the id in the names of scopes.
pub(crate) const SCOPE_PREFIX_BYTES: usize = 64;
