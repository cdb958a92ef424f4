//! One layer, from the registry to a directory of its own.

use super::download::Download;
use super::partial::{Partial, Partials};
use super::region::FileRegion;
use super::slots::{Lane, Slots, TransferSlot};
use super::tail::{Permit, TailReader, tail};
use crate::bounds::{STREAMED_LAYERS, ZSTD_LARGE_WINDOWS};
use crate::config::Config;
use crate::digest::Digest;
use crate::error::PullError;
use crate::manifest::Blob;
use crate::measures::ImageMeasures;
use crate::registry::Session;
use crate::scratch::{Ingest, Scratch};
use crate::stages;
use crate::unpack::{ArchiveError, ImageCost, LimitError, Meter, Unpacked, Window, place, unpack};
use crate::wanted::Wanted;
use peapod_sys::fail_point;
use peapod_trace::Span;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What stands in the place of a registry's name for what clients bring: no registry has it.
pub(crate) const ARCHIVES: &str = "";

/// What fetching layers needs, shared by all pulls.
pub(crate) struct Fetcher {
    ingest: Ingest,
    partials: Partials,
    /// Hundredths of the file system that stay free.
    reserve: u64,
    slots: Slots,
    /// That of archives. As long as nobody has a lane it begins anew, whoever still has a slot of it.
    archives: Lane,
    /// Threads that may wait for bytes of a layer.
    streams: Semaphore,
    /// Threads that may work on one.
    unpacks: Arc<Semaphore>,
    /// Unpackers with a large window.
    windows: Arc<Semaphore>,
    measures: ImageMeasures,
}

/// A layer that is not here.
#[derive(Clone)]
pub(crate) struct WantedLayer {
    pub(crate) blob: Blob,
    /// Of a file that is no archive: [`ArtifactFile::id`](crate::artifact::ArtifactFile::id).
    pub(crate) diff_id: Digest,
    pub(crate) content: BlobContent,
    pub(crate) cost: Arc<ImageCost>,
}

/// What a blob is.
#[derive(Clone, Debug)]
pub(crate) enum BlobContent {
    /// A layer's archive.
    Archive,
    /// A file of that name.
    File(PathBuf),
}

/// A layer that was verified and unpacked, and that nobody knows of yet.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Holds `diff`, and what `inherit_attributes` needs; goes when dropped.
    pub(crate) dir: Scratch,
    pub(crate) inodes: u64,
    pub(crate) bytes: u64,
}

impl Fetcher {
    pub(crate) fn new(config: &Config, ingest: Ingest, measures: ImageMeasures) -> Self {
        let slots = Slots::new(config.max_downloads.max(1));
        Self {
            partials: Partials::new(config, ingest.clone()),
            ingest,
            reserve: config.limits.reserve_percent,
            archives: slots.of(ARCHIVES),
            slots,
            streams: Semaphore::new(STREAMED_LAYERS),
            unpacks: Arc::new(Semaphore::new(config.max_unpacks.max(1))),
            windows: Arc::new(Semaphore::new(ZSTD_LARGE_WINDOWS)),
            measures,
        }
    }

    /// Transfers, verifies and unpacks `blob`. A blob whose bytes are wrong is fetched once more from its beginning:
    /// what an earlier pull left may be damaged.
    pub(crate) async fn fetch(&self, session: &Session, wanted: &WantedLayer, span: &Span) -> Result<Fresh, PullError> {
        let part = self.partials.lock(&session.reference, &session.refusal, &wanted.blob.digest).await;
        let began = Instant::now();
        let fetched = match self.attempt(session, wanted, span, &part).await {
            Err(PullError::Digest { found, .. }) => {
                let blob = &wanted.blob.digest;
                tracing::warn!(%blob, %found, "a blob has the wrong bytes and is fetched again");
                self.attempt(session, wanted, span, &part).await
            }
            other => other,
        };
        self.measured(began, fetched)
    }

    /// Verifies and unpacks a layer that is whole in a file.
    pub(crate) async fn unpack_file(&self, region: FileRegion, wanted: &WantedLayer) -> Result<Fresh, PullError> {
        let began = Instant::now();
        let (reader, _interest) = region.reader();
        let unpacked = match self.unpack(reader, Window::Usual, None, wanted).await {
            Err(failure) if failure.is_window() => self.unpack_again(&region, wanted).await,
            other => other,
        };
        let fresh = match unpacked {
            Ok((unpacked, dir)) => verified(unpacked, dir, wanted),
            Err(error) => {
                // Damaged, or made so? The digest knows.
                let found = region.digest().await.map_err(|source| PullError::disk(self.ingest.path(), source))?;
                match found == wanted.blob.digest {
                    true => Err(error.about(&found)),
                    false => Err(PullError::Digest { what: wanted.blob.digest.clone(), found }),
                }
            }
        };
        self.measured(began, fresh)
    }

    fn measured(&self, began: Instant, fetched: Result<Fresh, PullError>) -> Result<Fresh, PullError> {
        if let Ok(fresh) = &fetched {
            self.measures.layers.observe_since(began);
            self.measures.unpacked.add(fresh.bytes);
        }
        fetched
    }

    /// The right to take an archive from a client: one of the transfers of all registries, and of so many archives as
    /// of the blobs of one. What it holds in memory afterwards is bounded by its turn, which it keeps to its end.
    pub(crate) async fn archive_slot(&self) -> TransferSlot {
        self.archives.slot().await
    }

    /// Whether somebody waits for what an archive of a client's has.
    pub(crate) fn is_archive_slot_wanted(&self) -> bool {
        self.archives.is_wanted()
    }

    pub(crate) fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Drops partial blobs that are too many, now and then and whenever a fetch ends. Ends with its owner.
    pub(crate) fn keep_in_bounds(&self) -> impl Future<Output = ()> + use<> {
        self.partials.keep_in_bounds()
    }

    /// Drops what an image's pulls alone have brought of its blobs, which are of no use: it was refused, and with it
    /// what still goes on for this pull.
    pub(crate) fn discard(&self, session: &Session, blobs: &[Blob]) {
        self.partials.discard(&session.reference, &session.refusal, blobs.iter().map(|blob| &blob.digest));
    }

    async fn attempt(
        &self,
        session: &Session,
        wanted: &WantedLayer,
        span: &Span,
        part: &Partial,
    ) -> Result<Fresh, PullError> {
        let blob = &wanted.blob;
        let path = part.path().to_owned();
        let disk = |source| PullError::disk(&path, source);
        let (file, position) = part.open(blob.size).await.map_err(disk)?;
        let (writer, reader, _interest) = tail(Arc::clone(&file), position);
        let (own_path, own_file) = (path.clone(), Arc::clone(&file));
        let lane = self.slots.of(&session.reference.registry);
        let is_here = position >= blob.size;
        span.enter(&stages::SLOT);
        // Closed never: the semaphore lives as long as the session.
        let permit = if is_here { None } else { session.transfers.acquire().await.ok() };
        let slot = if is_here { None } else { Some(lane.slot().await) };
        let (reserve, fetched) = (self.reserve, &self.measures.fetched);
        let download =
            Download { session, span, blob, file: own_file, path: own_path, position, writer, lane, reserve, fetched };
        let unpacked = match (slot, self.streams.try_acquire()) {
            (None, _) => {
                download.skip();
                span.enter(&stages::UNPACK);
                self.unpack(reader, Window::Usual, None, wanted).await
            }
            // Unpacked while it comes, unless so many layers are that another one would keep threads waiting.
            (Some(slot), Ok(_stream)) => {
                let transfer = async {
                    let transferred = download.run(slot).await;
                    drop(permit);
                    // What comes is unpacked already.
                    span.enter(&stages::UNPACK);
                    transferred
                };
                let (transferred, unpacked) = tokio::join!(transfer, self.unpack(reader, Window::Usual, None, wanted));
                transferred?;
                unpacked
            }
            (Some(slot), Err(_)) => {
                download.run(slot).await?;
                drop(permit);
                span.enter(&stages::UNPACK);
                self.unpack(reader, Window::Usual, None, wanted).await
            }
        };
        let unpacked = match unpacked {
            Err(failure) if failure.is_window() => {
                let region = FileRegion { file: Arc::clone(&file), start: 0, size: blob.size };
                self.unpack_again(&region, wanted).await
            }
            other => other,
        };
        let (unpacked, dir) = match unpacked {
            Ok(done) => done,
            Err(error) => {
                // Damaged on its way, or made so? The digest knows.
                let all = FileRegion { file, start: 0, size: u64::MAX };
                let found = all.digest().await.map_err(disk)?;
                part.forget();
                if found != blob.digest {
                    return Err(PullError::Digest { what: blob.digest.clone(), found });
                }
                return Err(error.about(&blob.digest));
            }
        };
        fail_point("pull-unpacked");
        // Unpacked or wrong, the compressed bytes have no further use.
        part.forget();
        verified(unpacked, dir, wanted)
    }

    /// Unpacks a layer whose zstd frames ask for more memory than every unpacker may have. All of it is here by now: no
    /// large window is held while bytes trickle.
    async fn unpack_again(
        &self,
        region: &FileRegion,
        wanted: &WantedLayer,
    ) -> Result<(Unpacked, Scratch), UnpackError> {
        // Closed never: the semaphore lives as long as this.
        let permit = Arc::clone(&self.windows).acquire_owned().await.ok();
        let (reader, _interest) = region.reader();
        self.unpack(reader, Window::Large, permit, wanted).await
    }

    /// Unpacks what `reader` brings on a blocking thread. Few of these work at once; one that waits for bytes does not
    /// count. `permit` is for the window. Who drops this future drops the interest in the file too: the thread finds
    /// that out at its next block, ends and removes what it made.
    async fn unpack(
        &self,
        reader: TailReader,
        window: Window,
        permit: Option<OwnedSemaphorePermit>,
        WantedLayer { content, cost, .. }: &WantedLayer,
    ) -> Result<(Unpacked, Scratch), UnpackError> {
        let reader = reader.with(Permit::wait(&self.unpacks).await);
        // (Of the compressed file it knows by itself; a small one may have been read long before all is unpacked.)
        let wanted = Wanted::default();
        let (ingest, content) = (self.ingest.clone(), content.clone());
        let meter = Meter::new(Arc::clone(cost), wanted.cancelled());
        let work = tokio::task::spawn_blocking(move || {
            // As long as the memory that it is for.
            let _permit = permit;
            let at = ingest.path();
            let dir = ingest.scratch().map_err(|source| UnpackError::Disk(at.to_owned(), source))?;
            fail_point("pull-scratch");
            let unpacked = match content {
                BlobContent::Archive => unpack(reader, dir.path(), window, meter),
                BlobContent::File(name) => place(reader, dir.path(), &name, &meter),
            };
            Ok((unpacked.map_err(|error| UnpackError::of(error, at))?, dir))
        });
        work.await
            .unwrap_or_else(|error| Err(UnpackError::Disk(self.ingest.path().to_owned(), std::io::Error::other(error))))
    }
}

/// What was unpacked, if it is what was wanted.
fn verified(unpacked: Unpacked, dir: Scratch, wanted: &WantedLayer) -> Result<Fresh, PullError> {
    let WantedLayer { blob, diff_id, .. } = wanted;
    if unpacked.blob != blob.digest {
        return Err(PullError::Digest { what: blob.digest.clone(), found: unpacked.blob });
    }
    if unpacked.diff_id != *diff_id {
        let (layer, wanted) = (blob.digest.clone(), diff_id.clone());
        return Err(PullError::DiffId { layer, wanted, found: unpacked.diff_id });
    }
    Ok(Fresh { dir, inodes: unpacked.inodes, bytes: unpacked.bytes })
}

enum UnpackError {
    Archive(Box<ArchiveError>),
    Disk(PathBuf, std::io::Error),
}

impl UnpackError {
    /// Whether a larger window may help.
    fn is_window(&self) -> bool {
        matches!(self, Self::Archive(source) if matches!(**source, ArchiveError::TooMuch(LimitError::Window(_))))
    }

    /// A disk that is full is no fault of the archive.
    fn of(error: ArchiveError, ingest: &Path) -> Self {
        use std::io::{Error, ErrorKind};
        match error {
            ArchiveError::Disk { source, .. }
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                Self::Disk(ingest.to_owned(), source)
            }
            ArchiveError::TooMuch(excess @ LimitError::Reserve(_)) => {
                Self::Disk(ingest.to_owned(), Error::new(ErrorKind::StorageFull, excess))
            }
            other => Self::Archive(Box::new(other)),
        }
    }

    fn about(self, layer: &Digest) -> PullError {
        match self {
            Self::Archive(source) => PullError::Archive { layer: layer.clone(), source: Arc::from(source) },
            Self::Disk(path, source) => PullError::disk(&path, source),
        }
    }
}
