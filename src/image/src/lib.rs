//! Images: pulled from registries, verified, unpacked into layers, leased to containers.
//!
//! [`Images`] is the public API. A pull goes through `pull` (reference to manifest to layers), `registry` (HTTP,
//! credentials, mirrors from `hosts`), `fetch` (transfer and unpacking of one layer at the same time), `unpack` (a
//! hostile archive to a directory) and `commit`, which makes the result visible in one transaction of `records`. Lists
//! and look-ups read `catalog`, an immutable snapshot.
//!
//! Beside registries, images come from archives (`import`) and go into them (`export`). `inspect` tells what a pull
//! would do, `usage` who holds what of the store.
//!
//! On disk, below the state root:
//!
//! ```text
//! image.db             the truth: images with manifest and configuration, names, layers, leases
//! ingest/<hex>.part    compressed blobs on their way; resumed by the next pull; gone once unpacked
//! ingest/<random>/     layers being unpacked
//! layers/<random>/diff unpacked layers: lower directories of overlays
//! images/*.tar…        archives that are imported when the daemon starts
//! trash/<number>       what nobody needs: one thread removes it, one tree after the other (`peapod_sys::Trash`)
//! ```
//!
//! A directory that the records do not know does not exist: the next start removes it. When the node went down under a
//! running daemon, each layer is verified (`verify`) before it is used; one that is not what it was is pulled again.
//! Nothing here knows of pods: a lease's holder is a name that the caller chose.

mod artifact;
mod blob;
mod bounds;
mod bring;
mod catalog;
mod changes;
mod choose;
mod commit;
mod config;
mod configuration;
mod digest;
mod documents;
mod error;
mod export;
mod fetch;
#[cfg(test)]
mod fuzz;
mod hosts;
mod images;
mod import;
mod inspect;
mod layers;
mod layers_dir;
mod lenient;
mod manifest;
mod measures;
mod model;
mod names;
mod open;
mod part;
mod permits;
mod platform;
mod pull;
mod pull_refusal;
mod records;
mod reference;
mod registry;
mod rootfs;
mod scratch;
mod single_flight;
mod space;
mod stages;
mod store;
mod sweep;
mod unpack;
mod usage;
mod verify;
mod volumes;
mod wanted;

pub use bounds::{DELETED_BYTES, DELETED_PATHS};
pub use changes::{ChangesError, apply_changes, unpack_files, write_changes};
pub use config::{Config, PartialConfig, RequestConfig, UnpackLimits};
pub use digest::Digest;
pub use error::{Attempt, Attempts, LeaseError, OpenError, PinError, PullError, RemoveError, VerifyError};
pub use export::{ExportError, ExportedPieces};
pub use images::Images;
pub use import::{
    ArchiveSource, BrokenArchive, FolderImport, ImportError, ImportRequest, ImportedImage, PieceReader, PieceWriter,
    pieces,
};
pub use inspect::{InspectedStep, Inspection};
pub use measures::{FetchedBytes, ImageMeasures};
pub use model::{Credentials, FsInfo, Image, ImageConfig, ImageId, PullRequest, Rootfs};
pub use names::ImageNaming;
pub use part::{ImagePart, PartError};
pub use records::{LayerUse, MIGRATIONS};
pub use reference::{Reference, ReferenceError, Selector};
pub use rootfs::Writable;
pub use stages::STAGES;
pub use unpack::{ArchiveError, EntryError, LimitError};
pub use usage::{ImageUse, StoreUsage};
pub use volumes::FolderOwners;
pub use wanted::{Cancelled, Wanted};
