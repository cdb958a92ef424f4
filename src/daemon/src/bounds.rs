//! What the daemon may take of the node. ARCHITECTURE.md, "Bounds", lists all of them.

/// Bytes of the run root: a thousand pods with large configurations and full shim logs.
pub(crate) const RUN_ROOT_BYTES: u64 = 1 << 30;
/// The run root takes no more than this part of the node's memory: a fifth, as systemd gives /run.
pub(crate) const RUN_ROOT_PART: u64 = 5;
/// Inodes of the run root; a pod with a container takes some twenty.
pub(crate) const RUN_ROOT_INODES: u64 = 1 << 20;
