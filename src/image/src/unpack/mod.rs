//! Layers: from a compressed archive to a directory that can be a lower layer of an overlay.

mod error;

pub use error::{ArchiveError, Problem};
