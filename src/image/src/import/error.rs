//! Why an archive was not imported.

use crate::error::PullError;
use crate::unpack::ArchiveError;
use std::io;
use std::sync::Arc;

/// Nothing of the archive was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// What the client asked for can't be done with any archive, or not with this one.
    #[error("{0}")]
    Request(String),
    /// The archive as a whole can't be used.
    #[error("the archive can't be imported: {0}")]
    Archive(String),
    /// It can't be read as an archive.
    #[error("the archive can't be read: {0}")]
    Unreadable(ArchiveError),
    /// An image in it can't be used, or could not be put on the disk or into the records.
    #[error(transparent)]
    Image(#[from] PullError),
    /// It did not come to its end.
    #[error("the archive did not come to its end")]
    BrokenOff,
}

impl ImportError {
    /// Whether the archive, or what was asked of it, is at fault: it fails in the same way each time.
    #[must_use]
    pub fn is_archives(&self) -> bool {
        match self {
            Self::Request(_) | Self::Archive(_) | Self::Unreadable(_) => true,
            Self::BrokenOff => false,
            Self::Image(error) => matches!(
                error,
                PullError::Reference(_)
                    | PullError::NotFound { .. }
                    | PullError::NoPlatform { .. }
                    | PullError::Digest { .. }
                    | PullError::DiffId { .. }
                    | PullError::Manifest { .. }
                    | PullError::Archive { .. }
            ),
        }
    }

    /// Whether there is no room for it.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Image(PullError::Disk { source, .. })
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// What reading the archive ended with: a disk that is full is no fault of the archive.
    pub(super) fn of(error: ArchiveError, ingest: &std::path::Path) -> Self {
        use crate::unpack::LimitError;
        let disk = |source| Self::Image(PullError::Disk { path: ingest.to_owned(), source: Arc::new(source) });
        match error {
            ArchiveError::Cancelled => Self::BrokenOff,
            ArchiveError::Disk { source, .. } => disk(source),
            ArchiveError::TooMuch(excess @ LimitError::Reserve(_)) => {
                disk(io::Error::new(io::ErrorKind::StorageFull, excess))
            }
            other => Self::Unreadable(other),
        }
    }
}
