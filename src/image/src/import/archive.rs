//! An archive of images whose bytes are all here.

use super::error::ImportError;
use super::pieces::PieceReader;
use crate::bounds::{ARCHIVE_LIST_BYTES, ARCHIVE_READS, CONFIGURATION_BYTES, MANIFEST_BYTES};
use crate::config::UnpackLimits;
use crate::digest::Digest;
use crate::error::{Attempt, Attempts, PullError, unusable};
use crate::fetch::FileRegion;
use crate::manifest::Blob;
use crate::registry::Fetched;
use crate::scratch::Ingest;
use crate::unpack::{Bundle, BundleMember, index};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where an archive comes from.
#[derive(Debug)]
pub enum ArchiveSource {
    /// A client, piece by piece.
    Pieces(PieceReader),
    /// A file of this node, and what it is called in errors.
    File(File, String),
}

/// All of an archive, and what is where in it. Its bytes go with it.
pub(crate) struct ImageArchive {
    file: Arc<File>,
    bundle: Bundle,
    name: String,
    /// Bytes of its documents, each time that one was read.
    looked_at: AtomicU64,
}

impl ImageArchive {
    /// Takes all that comes, on a thread of its own. A file that is no compressed one is read where it is.
    pub(super) async fn read(
        source: ArchiveSource,
        ingest: &Ingest,
        limits: UnpackLimits,
    ) -> Result<Self, ImportError> {
        let own = ingest.clone();
        let work = tokio::task::spawn_blocking(move || {
            let disk = |source| ImportError::Image(PullError::disk(own.path(), source));
            let of = |error| ImportError::of(error, own.path());
            let (file, bundle, name) = match source {
                ArchiveSource::File(file, name) if is_plain(&file).map_err(disk)? => {
                    let bundle = index(&file, None, limits).map_err(of)?;
                    (file, bundle, name)
                }
                ArchiveSource::File(file, name) => {
                    let copy = own.unnamed().map_err(disk)?;
                    let bundle = index(&file, Some(&copy), limits).map_err(of)?;
                    (copy, bundle, name)
                }
                ArchiveSource::Pieces(pieces) => {
                    let copy = own.unnamed().map_err(disk)?;
                    let bundle = index(pieces, Some(&copy), limits).map_err(of)?;
                    (copy, bundle, "the archive".to_owned())
                }
            };
            Ok(Self { file: Arc::new(file), bundle, name, looked_at: AtomicU64::new(0) })
        });
        work.await.unwrap_or(Err(ImportError::BrokenOff))
    }

    /// For errors.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A manifest or an index.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<Fetched, PullError> {
        let bytes = self.document(digest, MANIFEST_BYTES).await?;
        Ok(Fetched { digest: digest.clone(), media_type: None, bytes })
    }

    /// An image's configuration.
    pub(crate) async fn config(&self, digest: &Digest) -> Result<Vec<u8>, PullError> {
        self.document(digest, CONFIGURATION_BYTES).await
    }

    async fn document(&self, digest: &Digest, limit: usize) -> Result<Vec<u8>, PullError> {
        let region = self.blob(digest)?;
        let bytes = self.whole(&region, &path_of(digest), limit).await?;
        let found = Digest::of(&bytes);
        if found == *digest { Ok(bytes) } else { Err(PullError::Digest { what: digest.clone(), found }) }
    }

    /// Whether there is anything under this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.bundle.find(name).is_some()
    }

    /// The list of images under a name, if the archive has that.
    pub(super) async fn list(&self, name: &str) -> Result<Option<Vec<u8>>, PullError> {
        match self.bundle.find(name) {
            None => Ok(None),
            Some(_) => self.whole(&self.file(name)?, name, ARCHIVE_LIST_BYTES).await.map(Some),
        }
    }

    /// A configuration by the name that Docker's list has for it.
    pub(super) async fn named_config(&self, name: &str) -> Result<Vec<u8>, PullError> {
        self.whole(&self.file(name)?, name, CONFIGURATION_BYTES).await
    }

    async fn whole(&self, region: &FileRegion, name: &str, limit: usize) -> Result<Vec<u8>, PullError> {
        let size = region.size.min(limit as u64);
        if self.looked_at.fetch_add(size, Ordering::Relaxed).saturating_add(size) > ARCHIVE_READS {
            let problem = format!("its lists lead to more than {} MiB of documents", ARCHIVE_READS >> 20);
            return Err(unusable(&self.name, &problem));
        }
        match region.read(limit).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => {
                let problem = format!("{name} has {} bytes, more than {} MiB", region.size, limit >> 20);
                Err(unusable(&self.name, &problem))
            }
            Err(error) => Err(unusable(&self.name, &format!("{name} can't be read: {error}"))),
        }
    }

    /// A layer of a manifest, if it has the size that this says.
    pub(super) fn layer(&self, blob: &Blob) -> Result<FileRegion, PullError> {
        let region = self.blob(&blob.digest)?;
        if region.size != blob.size {
            let (digest, found, said) = (&blob.digest, region.size, blob.size);
            return Err(unusable(&self.name, &format!("layer {digest} has {found} bytes, its manifest says {said}")));
        }
        Ok(region)
    }

    fn blob(&self, digest: &Digest) -> Result<FileRegion, PullError> {
        let path = path_of(digest);
        match self.bundle.find(&path) {
            None => {
                let attempt = Attempt { host: self.name.clone(), outcome: format!("has no {path}") };
                Err(PullError::NotFound { reference: digest.to_string(), tried: Attempts(vec![attempt]) })
            }
            Some(_) => self.file(&path),
        }
    }

    /// A file by its name.
    pub(super) fn file(&self, name: &str) -> Result<FileRegion, PullError> {
        let problem = match self.bundle.find(name) {
            Some(BundleMember::File { start, size }) => {
                return Ok(FileRegion { file: Arc::clone(&self.file), start: *start, size: *size });
            }
            None => "is not in it, or is a link that leads nowhere",
            Some(BundleMember::Twice) => "is in it more than once",
            Some(BundleMember::Folder | BundleMember::Link(_) | BundleMember::Other) => "is no file",
        };
        Err(unusable(&self.name, &format!("{name:?} {problem}")))
    }
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Whether a file is not compressed: then it need not be copied.
fn is_plain(file: &File) -> std::io::Result<bool> {
    let mut first = [0; 6];
    let count = std::os::unix::fs::FileExt::read_at(file, &mut first, 0)?;
    Ok(crate::unpack::is_plain(&first[..count]))
}
