//! Why images were not exported.

use crate::error::VerifyError;
use peapod_store::StoreError;
use std::io;
use std::path::PathBuf;

/// What was written until then is no archive.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no such image.
    #[error("image {image} is not here: pull or import it first")]
    NotFound {
        /// As it was asked for.
        image: String,
    },
    /// A layer of it is gone.
    #[error("image {image} is damaged: a layer of it is gone; pull or import it again")]
    Lost {
        /// Its id.
        image: String,
    },
    /// It can't be put into an archive.
    #[error("image {image}: {problem}")]
    Image {
        /// Its id.
        image: String,
        /// Why.
        problem: String,
    },
    /// A layer can't be read.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Its directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Its layers could not be verified.
    #[error(transparent)]
    Unverified(#[from] VerifyError),
    /// The records can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
