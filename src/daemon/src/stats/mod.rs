//! What containers and pods use, as plain numbers; `cri/convert/stats.rs` makes messages of them.
//!
//! Most is read from cgroup files when somebody asks, through folders that stay open. Sizes of writable layers take a
//! walk, and processor time per second takes two readings: both are sampled in the background, and calls only look at
//! the last sample. So is what processes have open, which only metrics tell, and therefore only while somebody asks for
//! these.

mod devices;
mod groups;
mod layers;
pub(crate) mod metrics;
mod network;
mod processes;
mod processors;
mod running;
mod sample;
mod sampler;
mod signals;
mod sources;

#[cfg(test)]
pub(crate) use layers::LayerUsage;
#[cfg(test)]
pub(crate) use network::Traffic;
pub(crate) use network::{DEFAULT_INTERFACE, InterfaceUsage};
#[cfg(test)]
pub(crate) use processes::ProcessCounts;
pub(crate) use running::{is_running, now};
#[cfg(test)]
pub(crate) use sample::Disk;
pub(crate) use sample::{ContainerSample, NodeSample, PodSample};
pub(crate) use sampler::run;
pub(crate) use sources::{ContainerUsage, GroupUsage, PodUsage, Sources};
