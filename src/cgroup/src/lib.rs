//! Control groups: paths, statistics, killing, out-of-memory counts. Versions 1 and 2 differ in one small table each
//! ([`version`]), and so do the ways of making containers' groups ([`CgroupDriver`]); everything else is written once.
//!
//! All calls are plain file operations: they block, and are quick. Nothing here waits; what must be repeated until the
//! kernel is done ([`Cgroup::kill`], [`Cgroup::remove`]) says so, and the caller waits in its own way.

mod bounds;
mod delegate;
mod driver;
mod error;
mod files;
#[cfg(test)]
mod fuzz;
mod group;
mod hierarchy;
mod interface_files;
mod last_reading;
mod lift;
mod limits;
mod mount_root;
mod node;
mod oom;
mod open_folders;
mod open_group;
mod parse;
mod saved;
mod scope_prefix;
mod shared;
mod spawn_target;
mod stats;
mod stats_reader;
mod total;
mod total_limits;
mod trees;
mod version;
mod walk;
mod warm_up;

pub use delegate::{NoDelegation, check_delegation};
pub use driver::{CgroupDriver, id_of, of_runtime_path, pod_id_of};
pub use error::{DetectError, DriverError, GroupError, PathError};
pub use group::Cgroup;
pub use hierarchy::Hierarchy;
pub use lift::Lift;
pub use limits::Limits;
pub use oom::OomWatch;
pub use open_group::OpenGroup;
pub use saved::SavedFiles;
pub use scope_prefix::{NoScopePrefix, ScopePrefix};
pub use shared::Shared;
pub use spawn_target::SpawnTarget;
pub use stats::{
    CpuStats, DeviceIo, HugePages, MemoryStats, PageFaults, Pressure, Stall, StallTime, Stats, StatsPart, SwapStats,
    TaskLimit,
};

pub use total_limits::TotalLimits;

#[cfg(test)]
mod tests;
