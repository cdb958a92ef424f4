//! Getting a layer here: the transfer and the unpacking of one blob run at the same time, joined by a file.
//!
//! The transfer writes to `ingest/<digest>.part` and resumes there after any interruption; the unpacker reads the same
//! file from its beginning and waits where the transfer has not come yet. Neither knows of the other's retries.

mod download;
mod layer;
mod makers;
mod partial;
mod region;
mod slots;
mod tail;

pub(crate) use layer::{ARCHIVES, BlobContent, Fetcher, Fresh, WantedLayer};
pub(crate) use region::FileRegion;
pub(crate) use slots::TransferSlot;
