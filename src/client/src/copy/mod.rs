//! Files between this node and a container, as tar archives that a `tar` in the container reads or writes.
//!
//! What comes out of a container is hostile: [`extract`] writes beneath one folder and nowhere else, whatever the
//! archive says, and nothing that it leaves there leads out.

mod archive;
mod beneath;
mod error;
mod extract;
mod pack;
mod pipe;
#[cfg(test)]
mod tests;

pub(crate) use error::CopyError;
pub(crate) use extract::{CopyDestination, LeftOut, extract};
pub(crate) use pack::pack;
pub(crate) use pipe::{PipeReader, PipeWriter};
