//! One layer, from the registry to a directory of its own.

use super::claim::Claims;
use super::download::Download;
use super::partial::{Keep, prune};
use super::slots::Slots;
use super::tail::{Permit, TailReader, tail};
use crate::bounds::{PARTIAL_LOOK, STREAMED_LAYERS, ZSTD_LARGE_WINDOWS};
use crate::config::Config;
use crate::digest::{Digest, Hasher};
use crate::error::PullError;
use crate::manifest::Blob;
use crate::registry::Session;
use crate::scratch::Scratch;
use crate::unpack::{ArchiveError, Cancelled, ImageCost, LimitError, Meter, Unpacked, Window, unpack};
use peapod_sys::{Trash, fail_point};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// What fetching layers needs, shared by all pulls.
pub(crate) struct Fetcher {
    ingest: PathBuf,
    trash: Trash,
    /// Of one registry's blobs. Registries do not wait for one another here either: one that is slow with a layer that many
    /// images have would hold up all of these.
    locks: Claims<(String, Digest)>,
    /// Of the files that stay for the next pull.
    claims: Arc<Claims<Digest>>,
    keep: Keep,
    /// Hundredths of the file system that stay free.
    reserve: u64,
    /// A pull is over: there may be a partial blob too many.
    ended: Arc<Notify>,
    slots: Slots,
    /// Threads that may wait for bytes of a layer.
    streams: Semaphore,
    /// Threads that may work on one.
    unpacks: Arc<Semaphore>,
    /// Unpackers with a large window.
    windows: Semaphore,
}

/// How long to wait for a cancelled transfer to let go.
const DISCARD: Duration = Duration::from_millis(500);

/// A layer that was verified and unpacked, and that nobody knows of yet.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// Holds `diff`, and what `inherit_attributes` needs; goes when dropped.
    pub(crate) dir: Scratch,
    pub(crate) inodes: u64,
    pub(crate) bytes: u64,
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.ended.notify_one();
    }
}

impl Fetcher {
    pub(crate) fn new(config: &Config, trash: Trash) -> Self {
        Self {
            ingest: config.state_root.join("ingest"),
            trash,
            locks: Claims::default(),
            claims: Arc::default(),
            keep: Keep { age: config.keep_partial, bytes: config.max_partial_bytes },
            reserve: config.disk_reserve_percent,
            ended: Arc::default(),
            slots: Slots::new(config.max_downloads.max(1)),
            streams: Semaphore::new(STREAMED_LAYERS),
            unpacks: Arc::new(Semaphore::new(config.max_unpacks.max(1))),
            windows: Semaphore::new(ZSTD_LARGE_WINDOWS),
        }
    }

    /// Transfers, verifies and unpacks `blob`. A blob whose bytes are wrong is fetched once more from its beginning:
    /// what an earlier pull left may be damaged.
    pub(crate) async fn fetch(
        &self,
        session: &Session,
        blob: &Blob,
        diff_id: &Digest,
        cost: &Arc<ImageCost>,
    ) -> Result<Fresh, PullError> {
        let cancelled = || PullError::Cancelled { reference: session.reference.to_string() };
        // Dropped after the claim.
        let _ended = Ended(Arc::clone(&self.ended));
        let key = (session.reference.registry.clone(), blob.digest.clone());
        let _lock = self.locks.claim(&key).await.ok_or_else(cancelled)?;
        let claim = self.claims.try_claim(&blob.digest);
        let part = if claim.is_some() { Part::Named(self.part(&blob.digest)) } else { Part::Passing };
        match self.attempt(session, blob, diff_id, cost, &part).await {
            Err(PullError::Digest { found, .. }) => {
                tracing::warn!(blob = %blob.digest, %found, "a blob has the wrong bytes and is fetched again");
                self.attempt(session, blob, diff_id, cost, &part).await
            }
            other => other,
        }
    }

    /// Drops partial blobs that are too many, now and then and whenever a fetch ends. Ends with its owner.
    pub(crate) fn keep_in_bounds(&self) -> impl Future<Output = ()> + use<> {
        let (ingest, claims, keep, ended) =
            (self.ingest.clone(), Arc::downgrade(&self.claims), self.keep, Arc::clone(&self.ended));
        async move {
            while let Some(claims) = claims.upgrade() {
                let own = ingest.clone();
                if let Ok(Err(error)) = tokio::task::spawn_blocking(move || prune(&own, &claims, keep)).await {
                    tracing::warn!(%error, path = %ingest.display(), "partial blobs can't be listed");
                }
                let _ = tokio::time::timeout(PARTIAL_LOOK, ended.notified()).await;
            }
        }
    }

    /// Drops what is here of blobs that are of no use: their image was refused.
    pub(crate) async fn discard(&self, blobs: &[Blob]) {
        for blob in blobs {
            // Cancelled transfers give their claim back at once; who holds it longer is another pull, which uses it.
            let claimed = tokio::time::timeout(DISCARD, self.claims.claim(&blob.digest)).await;
            if claimed.is_ok() {
                forget(&self.part(&blob.digest));
            }
        }
    }

    fn part(&self, digest: &Digest) -> PathBuf {
        self.ingest.join(format!("{}.part", digest.hex()))
    }

    async fn attempt(
        &self,
        session: &Session,
        blob: &Blob,
        diff_id: &Digest,
        cost: &Arc<ImageCost>,
        part: &Part,
    ) -> Result<Fresh, PullError> {
        let path = part.path().unwrap_or(&self.ingest).to_owned();
        let disk = |source| PullError::disk(&path, source);
        let (file, position) = match part {
            Part::Named(path) => open(path.clone(), blob.size).await,
            Part::Passing => unnamed(self.ingest.clone(), self.trash.clone()).await,
        }
        .map_err(disk)?;
        let (writer, reader, _interest) = tail(Arc::clone(&file), position);
        let (own_path, own_file) = (path.clone(), Arc::clone(&file));
        let lane = self.slots.of(&session.reference.registry);
        let is_here = position >= blob.size;
        // Closed never: the semaphore lives as long as the session.
        let permit = if is_here { None } else { session.transfers.acquire().await.ok() };
        let slot = if is_here { None } else { Some(lane.slot().await) };
        let reserve = self.reserve;
        let download = Download { session, blob, file: own_file, path: own_path, position, writer, lane, reserve };
        let unpacked = match (slot, self.streams.try_acquire()) {
            (None, _) => {
                download.skip();
                self.unpack(reader, Window::Usual, cost).await
            }
            // Unpacked while it comes, unless so many layers are that another one would keep threads waiting.
            (Some(slot), Ok(_stream)) => {
                let transfer = async { (download.run(slot).await, drop(permit)).0 };
                let (transferred, unpacked) = tokio::join!(transfer, self.unpack(reader, Window::Usual, cost));
                transferred?;
                unpacked
            }
            (Some(slot), Err(_)) => {
                download.run(slot).await?;
                drop(permit);
                self.unpack(reader, Window::Usual, cost).await
            }
        };
        let unpacked = match unpacked {
            Err(failure) if failure.is_window() => self.unpack_again(Arc::clone(&file), blob.size, cost).await,
            other => other,
        };
        let (unpacked, dir) = match unpacked {
            Ok(done) => done,
            Err(error) => {
                // Damaged on its way, or made so? The digest knows.
                let found = digest_of(file).await.map_err(disk)?;
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
        if unpacked.blob != blob.digest {
            return Err(PullError::Digest { what: blob.digest.clone(), found: unpacked.blob });
        }
        if unpacked.diff_id != *diff_id {
            let (layer, wanted) = (blob.digest.clone(), diff_id.clone());
            return Err(PullError::DiffId { layer, wanted, found: unpacked.diff_id });
        }
        Ok(Fresh { dir, inodes: unpacked.inodes, bytes: unpacked.bytes })
    }

    /// Unpacks a layer whose zstd frames ask for more memory than every unpacker may have. All of it is here by now: no
    /// large window is held while bytes trickle.
    async fn unpack_again(
        &self,
        file: Arc<File>,
        size: u64,
        cost: &Arc<ImageCost>,
    ) -> Result<(Unpacked, Scratch), UnpackError> {
        // Closed never: the semaphore lives as long as this.
        let _window = self.windows.acquire().await;
        let (writer, reader, _interest) = tail(file, size);
        writer.finish();
        self.unpack(reader, Window::Large, cost).await
    }

    /// Unpacks what `reader` brings on a blocking thread. Few of these work at once; one that waits for bytes does not
    /// count. Who drops this future drops the interest in the file too: the thread finds that out at its next block, ends
    /// and removes what it made.
    async fn unpack(
        &self,
        reader: TailReader,
        window: Window,
        cost: &Arc<ImageCost>,
    ) -> Result<(Unpacked, Scratch), UnpackError> {
        let reader = reader.with(Permit::wait(&self.unpacks).await);
        let wanted = Wanted(Cancelled::default());
        let (ingest, trash) = (self.ingest.clone(), self.trash.clone());
        let meter = Meter::new(Arc::clone(cost), Cancelled::clone(&wanted.0));
        let work = tokio::task::spawn_blocking(move || {
            let dir = Scratch::new(&ingest, &trash).map_err(|source| UnpackError::Disk(ingest.clone(), source))?;
            fail_point("pull-scratch");
            let unpacked =
                unpack(reader, dir.path(), window, meter).map_err(|error| UnpackError::of(error, &ingest))?;
            Ok((unpacked, dir))
        });
        work.await.unwrap_or_else(|error| Err(UnpackError::Disk(self.ingest.clone(), std::io::Error::other(error))))
    }
}

/// Where compressed bytes are kept.
enum Part {
    Named(PathBuf),
    /// Nowhere once they were used: another registry's pull writes the file that stays.
    Passing,
}

impl Part {
    fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Named(path) => Some(path),
            Self::Passing => None,
        }
    }

    fn forget(&self) {
        if let Self::Named(path) = self {
            forget(path);
        }
    }
}

/// Tells when it is dropped.
struct Ended(Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Says to the unpacker, until it is dropped, that somebody waits. (Of the compressed file it knows by itself; a small
/// one may have been read long before all is unpacked.)
struct Wanted(Cancelled);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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

/// Opens a partial blob and says how much of it is there; more than there can be is worth nothing.
async fn open(path: PathBuf, size: u64) -> std::io::Result<(Arc<File>, u64)> {
    let open = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut length = file.metadata()?.len();
        if length > size {
            file.set_len(0)?;
            length = 0;
        }
        Ok((Arc::new(file), length))
    });
    open.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// A file that is gone when it is closed.
async fn unnamed(ingest: PathBuf, trash: Trash) -> std::io::Result<(Arc<File>, u64)> {
    let open = tokio::task::spawn_blocking(move || {
        let dir = Scratch::new(&ingest, &trash)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(dir.path().join("blob"))?;
        Ok((Arc::new(file), 0))
    });
    open.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

async fn digest_of(file: Arc<File>) -> std::io::Result<Digest> {
    use std::os::unix::fs::FileExt;
    let work = tokio::task::spawn_blocking(move || {
        let (mut hasher, mut position, mut buffer) = (Hasher::default(), 0, vec![0; 128 << 10]);
        loop {
            let count = file.read_at(&mut buffer, position)?;
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&buffer[..count]);
            position += count as u64;
        }
    });
    work.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

pub(super) fn forget(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a partial blob can't be removed");
    }
}
