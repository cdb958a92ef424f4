//! What containers use that can't be read at the moment somebody asks: sizes of writable layers, which take a walk, and
//! processor time per second, which takes two readings. Taken in the background; calls only look at the last sample.

mod layers;
mod processors;
mod sampler;

pub(crate) use layers::Layers;
pub(crate) use processors::{Processors, Reading};
pub(crate) use sampler::run;
