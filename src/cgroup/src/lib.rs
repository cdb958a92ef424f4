//! Control groups: paths, statistics, killing, out-of-memory counts. Versions 1 and 2 differ in one small table each
//! ([`table`]); everything else is written once.
//!
//! All calls are plain file operations: they block, and are quick. Nothing here waits; what must be repeated until the kernel
//! is done ([`Cgroup::kill`], [`Cgroup::remove`]) says so, and the caller waits in its own way.

mod error;
mod files;
mod group;
mod hierarchy;
mod stats;
mod table;

pub use error::{DetectError, GroupError, PathError};
pub use group::Cgroup;
pub use hierarchy::Hierarchy;
pub use stats::Stats;

#[cfg(test)]
mod tests;
