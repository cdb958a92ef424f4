//! What containers and pods use, as plain numbers; `cri/convert/stats.rs` makes messages of them.
//!
//! Most is read from cgroup files when somebody asks. Sizes of writable layers take a walk, and processor time per
//! second takes two readings: both are sampled in the background, and calls only look at the last sample.

mod layers;
mod network;
mod processors;
mod sampler;
mod sources;

pub(crate) use network::{DEFAULT_INTERFACE, InterfaceUsage};
pub(crate) use sampler::run;
pub(crate) use sources::{ContainerUsage, GroupUsage, PodUsage, Sources, is_running, now};
