//! Layers: from a compressed archive to a directory that can be a lower layer of an overlay.
//!
//! One pass over the bytes does everything: both digests, decompression, unpacking. Whiteouts become what overlay
//! understands, so that each layer is unpacked by itself and in any order; only [`inherit_attributes`] looks at layers
//! below. The archive is hostile until proven otherwise: no name is used as a path string, each is resolved beneath the
//! layer's directory by the kernel, and `meter` holds all that it costs against its bounds.

mod apply;
mod archive;
mod bundle;
mod decompress;
mod directories;
mod error;
mod fingerprint;
#[cfg(test)]
mod fuzz;
mod implicit;
mod meta;
mod meter;
mod name;
mod parents;
mod place;
mod stream;
mod tree;

pub(crate) use bundle::{Bundle, BundleMember, index};
pub(crate) use decompress::{Window, is_plain};
pub use error::{ArchiveError, EntryError, LimitError};
pub(crate) use fingerprint::fingerprint;
pub(crate) use meter::{ImageCost, Meter, through_reader};
pub(crate) use name::check as check_name;
pub(crate) use parents::{inherit_attributes, is_opaque};
pub(crate) use place::place;
pub(crate) use stream::{Unpacked, unpack, unpack_over};
