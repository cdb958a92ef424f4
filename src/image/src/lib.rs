//! Images: pulled from registries, verified, unpacked into layers, leased to containers.
//!
//! Nothing here knows of pods: a lease's holder is a name that the caller chose.

mod config;
mod digest;
mod error;
mod images;
mod model;
mod reference;
mod rootfs;
mod unpack;

pub use config::Config;
pub use digest::Digest;
pub use error::{Attempt, Attempts, LeaseError, OpenError, PullError, RemoveError};
pub use images::{Images, MIGRATIONS};
pub use model::{Credentials, FsInfo, Image, ImageConfig, ImageId, PullRequest, Rootfs};
pub use reference::{Reference, ReferenceError, Selector};
pub use unpack::{ArchiveError, Problem};
