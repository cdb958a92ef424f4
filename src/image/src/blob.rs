//! A blob as documents name it.

use crate::digest::Digest;

/// A blob as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}
