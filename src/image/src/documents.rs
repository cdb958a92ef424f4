//! An image's manifest and configuration while its layers come, which may take hours.

use crate::error::PullError;
use crate::registry::Allowance;
use crate::scratch::{Ingest, Scratch};
use std::io;

/// Both documents, byte for byte: large ones on disk, where they wait for nobody's memory.
pub(crate) enum Documents {
    Held { manifest: Vec<u8>, configuration: Vec<u8> },
    OnDisk(Scratch),
}

impl Documents {
    /// Puts large documents into a directory of their own in `ingest`, and releases the right to hold them.
    pub(crate) async fn new(
        manifest: Vec<u8>,
        configuration: Vec<u8>,
        ingest: &Ingest,
        allowance: &Allowance,
    ) -> Result<Self, PullError> {
        if !allowance.is_held() {
            return Ok(Self::Held { manifest, configuration });
        }
        let own = ingest.clone();
        let written = blocking(move || {
            let dir = own.scratch()?;
            std::fs::write(dir.path().join("manifest"), manifest)?;
            std::fs::write(dir.path().join("configuration"), configuration)?;
            Ok(dir)
        });
        let dir = written.await.map_err(|source| PullError::disk(ingest.path(), source))?;
        allowance.release();
        Ok(Self::OnDisk(dir))
    }

    /// The manifest and the configuration. Waits for the right to hold them if they are large.
    pub(crate) async fn read(self, allowance: &Allowance) -> Result<(Vec<u8>, Vec<u8>), PullError> {
        let dir = match self {
            Self::Held { manifest, configuration } => return Ok((manifest, configuration)),
            Self::OnDisk(dir) => dir,
        };
        allowance.take().await;
        let path = dir.path().to_owned();
        let read = blocking(move || {
            Ok((std::fs::read(dir.path().join("manifest"))?, std::fs::read(dir.path().join("configuration"))?))
        });
        read.await.map_err(|source| PullError::disk(&path, source))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
