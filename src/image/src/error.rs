//! What can go wrong, one variant per case that a caller tells apart.
//!
//! Errors of a pull are shared by all who joined it, so they can be cloned.

use crate::bounds::ERROR_TEXT;
use crate::digest::Digest;
use crate::reference::ReferenceError;
use crate::unpack::ArchiveError;
use peapod_store::StoreError;
use peapod_text::{Sample, collapsed};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The image store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory of ours can't be made, read or cleaned.
    #[error("image store: {}: {source}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The records can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A pull failed; nothing of it is visible.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PullError {
    /// What was asked for is not an image reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Every registry that answered says that there is no such image.
    #[error("{reference}: not found: {tried}")]
    NotFound {
        /// The normalised reference.
        reference: String,
        /// Who was asked, and what was answered.
        tried: Attempts,
    },
    /// A registry refused these credentials, or wants some.
    #[error("{reference}: not authorised: {tried}")]
    Unauthorised {
        /// The normalised reference.
        reference: String,
        /// Who was asked, and what was answered.
        tried: Attempts,
    },
    /// No registry could be reached, or those that could be failed.
    #[error("{reference}: no registry could serve it: {tried}")]
    Unavailable {
        /// The normalised reference.
        reference: String,
        /// Who was asked, and what was answered.
        tried: Attempts,
    },
    /// The image exists, but not for this machine.
    #[error("{reference}: has no image for {wanted}, only for {offered}")]
    NoPlatform {
        /// The normalised reference.
        reference: String,
        /// This machine's platform.
        wanted: String,
        /// What the index lists, or what the image says of itself.
        offered: String,
    },
    /// Bytes are not what their digest says, also after they were fetched again.
    #[error("{what}: other bytes came than its digest promises: {found}")]
    Digest {
        /// What was asked for.
        what: Digest,
        /// What came.
        found: Digest,
    },
    /// A layer unpacks to something else than the image's configuration says.
    #[error("layer {layer}: unpacks to {found}, the image's configuration says {wanted}")]
    DiffId {
        /// The compressed layer.
        layer: Digest,
        /// The diff id that the configuration lists.
        wanted: Digest,
        /// What it unpacks to.
        found: Digest,
    },
    /// A manifest, index or configuration that peapod can't use.
    #[error("{reference}: {problem}")]
    Manifest {
        /// The normalised reference.
        reference: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A layer's archive is damaged or hostile.
    #[error("layer {layer}: {source}")]
    Archive {
        /// The compressed layer.
        layer: Digest,
        /// Where and why.
        source: Arc<ArchiveError>,
    },
    /// A hosts.toml can't be used.
    #[error("{}: {problem}", path.display())]
    Hosts {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where known.
        problem: String,
    },
    /// The disk failed or is full.
    #[error("{}: {source}", path.display())]
    Disk {
        /// What was being written or read.
        path: PathBuf,
        /// What the kernel said.
        source: Arc<io::Error>,
    },
    /// The records can't be written.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// Layers that are here could not be verified.
    #[error(transparent)]
    Unverified(#[from] VerifyError),
    /// Nobody waits for this pull any more, or the store is closing.
    #[error("{reference}: the pull was cancelled")]
    Cancelled {
        /// The normalised reference.
        reference: String,
    },
}

impl PullError {
    pub(crate) fn disk(path: &Path, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether what was transferred should not be kept for a later pull: it is of no use, or its room is needed.
    pub(crate) fn condemns(&self) -> bool {
        matches!(self, Self::Digest { .. } | Self::DiffId { .. } | Self::Archive { .. } | Self::Disk { .. })
    }

    /// Whether the same request could succeed later without anyone changing anything: a registry was out of reach.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A manifest or an index cannot be used.
pub(crate) fn unusable(name: &str, problem: &str) -> PullError {
    PullError::Manifest { reference: name.to_owned(), problem: collapsed(problem, ERROR_TEXT) }
}

impl From<StoreError> for PullError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// One host that was asked, and why it did not serve.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Such as `https://registry-1.docker.io`.
    pub host: String,
    /// On one line of bounded length.
    pub outcome: String,
}

/// All hosts that were asked, in order.
#[derive(Clone, Debug, Default)]
pub struct Attempts(pub Vec<Attempt>);

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no host is configured that may serve it");
        }
        for (index, attempt) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", attempt.host, attempt.outcome)?;
        }
        Ok(())
    }
}

/// An image could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Containers have it mounted.
    #[error("artifact {artifact} is in use by {holders}: remove these containers first")]
    InUse {
        /// Its id.
        artifact: String,
        /// Some of who uses it.
        holders: Sample,
    },
    /// The records can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An image could not be pinned or unpinned, or not lose a name.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There is no such image.
    #[error("image {image} is not here: pull or import it first")]
    NotFound {
        /// As it was asked for.
        image: String,
    },
    /// A pin belongs to a name.
    #[error("image {image} has no name to be pinned by: import it with --name, or pull it by a tag")]
    Unnamed {
        /// Its id.
        image: String,
    },
    /// The records can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a layer is whole could not be found out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VerifyError {
    /// It can't be looked at now.
    #[error("layer {layer} can't be verified: {source}; try again")]
    Unreadable {
        /// Its chain id.
        layer: Digest,
        /// What the kernel said.
        source: Arc<io::Error>,
    },
    /// The records can't be read or written.
    #[error(transparent)]
    Store(Arc<StoreError>),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// An image could not be leased to a container.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// There is no such image (any more).
    #[error("image {image} is not here: pull it first")]
    NotFound {
        /// The id that was asked for.
        image: String,
    },
    /// A layer of it is gone from the disk.
    #[error("image {image} is damaged: a layer of it is gone from the disk; pull it again")]
    Lost {
        /// The id that was asked for.
        image: String,
    },
    /// Its layers could not be verified.
    #[error(transparent)]
    Unverified(#[from] VerifyError),
    /// The records can't be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
