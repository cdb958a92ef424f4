//! Layers: from a compressed archive to a directory that can be a lower layer of an overlay.
//!
//! One pass over the bytes does everything: both digests, decompression, unpacking. Whiteouts become what overlay
//! understands, so that each layer is unpacked by itself and in any order; only [`take_after`] looks at layers below.
//! The archive is hostile until proven otherwise: no name is used as a path string, each is resolved beneath the
//! layer's directory by the kernel.

mod apply;
mod error;
mod meta;
mod name;
mod parents;
mod print;
mod stream;
mod tree;

pub use error::{ArchiveError, Problem};
pub(crate) use parents::take_after;
pub(crate) use print::print;
pub(crate) use stream::{Unpacked, unpack};
