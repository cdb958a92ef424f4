//! What the daemon may take of the node. ARCHITECTURE.md, "Bounds", lists all of them.

use std::time::Duration;

/// Time that one count of a writable layer takes at most: a million files of which nothing is in memory.
pub(crate) const LAYER_WALK: Duration = Duration::from_secs(60);
/// Time between two counts of a writable layer: as often as a kubelet asks.
pub(crate) const LAYER_PERIOD: Duration = Duration::from_secs(10);
/// A layer that took long is counted again after so many times as long, so that counting it takes no more than this part of a processor.
pub(crate) const LAYER_COST_PARTS: u32 = 10;
/// Time between two readings of a control group's processor time.
pub(crate) const PROCESSOR_PERIOD: Duration = Duration::from_secs(10);

/// Bytes per second by which a container's log may grow on disk. A kubelet looks every ten seconds whether a log is to be rotated, and
/// keeps 50 MiB of it: what this drops would have been deleted at the next look.
pub(crate) const CONTAINER_LOG_RATE: i64 = 64 << 20;

/// Bytes of the run root: a thousand pods with large configurations and full shim logs.
pub(crate) const RUN_ROOT_BYTES: u64 = 1 << 30;
/// The run root takes no more than this part of the node's memory: a fifth, as systemd gives /run.
pub(crate) const RUN_ROOT_PART: u64 = 5;
/// Inodes of the run root; a pod with a container takes some twenty.
pub(crate) const RUN_ROOT_INODES: u64 = 1 << 20;
