//! Transferring one blob into its partial file: over several hosts, and through any number of interruptions.

use super::slots::{Lane, TransferSlot};
use super::tail::TailWriter;
use crate::bounds::{PROGRESS_RATE, PROGRESS_TIME, PROGRESS_TIME_MAX};
use crate::error::PullError;
use crate::hosts::RegistryHost;
use crate::manifest::Blob;
use crate::measures::FetchedBytes;
use crate::registry::{BlobResponse, Collected, RequestError, Session};
use crate::space::has_space;
use crate::stages;
use crate::unpack::LimitError;
use peapod_text::innermost;
use peapod_trace::Span;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Written at once: fewer, larger writes on the blocking threads.
const BATCH: usize = 1 << 20;
/// A slow transfer writes what has come after this time: a daemon that dies loses no more than that.
const LINGER: Duration = Duration::from_millis(500);

/// A blob on its way to a file.
pub(super) struct Download<'a> {
    pub(super) session: &'a Session,
    /// Of the layer.
    pub(super) span: &'a Span,
    pub(super) blob: &'a Blob,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    /// How much of it is in the file.
    pub(super) position: u64,
    pub(super) writer: TailWriter,
    pub(super) lane: Lane,
    /// Hundredths of the file system that stay free.
    pub(super) reserve: u64,
    pub(super) fetched: &'a FetchedBytes,
}

enum TransferError {
    Failed(RequestError),
    Disk(io::Error),
    /// It brings next to nothing, and somebody waits for its slot.
    MakesWay,
}

/// Whether a transfer gets on, looked at from time to time.
struct Progress {
    time: Duration,
    due: Instant,
    bytes: u64,
}

impl Progress {
    fn within(time: Duration) -> Self {
        Self { time, due: Instant::now() + time, bytes: 0 }
    }

    /// To be called after each wait: an error where others should have the slot.
    fn look(&mut self, lane: &Lane) -> Result<(), TransferError> {
        if Instant::now() < self.due {
            return Ok(());
        }
        if self.bytes < PROGRESS_RATE.saturating_mul(self.time.as_secs()) && lane.is_wanted() {
            return Err(TransferError::MakesWay);
        }
        *self = Self::within(self.time);
        Ok(())
    }
}

impl From<RequestError> for TransferError {
    fn from(failure: RequestError) -> Self {
        Self::Failed(failure)
    }
}

impl Download<'_> {
    /// All of it is in the file already.
    pub(super) fn skip(self) {
        self.writer.finish();
    }

    /// Ends when the file holds as many bytes as the manifest says. Whether they are the right ones is the reader's to
    /// find out: it sees them all in order anyway.
    /// It holds a slot while it transfers: not while it waits before a retry, and not while it waits for its turn.
    pub(super) async fn run(mut self, slot: TransferSlot) -> Result<(), PullError> {
        // What can't fit is not begun: a layer takes at least as much again once it is unpacked.
        let left = self.blob.size.saturating_sub(self.position);
        let (file, reserve) = (Arc::clone(&self.file), self.reserve);
        let space = tokio::task::spawn_blocking(move || check_space(&file, reserve, left)).await;
        let space = space.unwrap_or_else(|error| Err(io::Error::other(error)));
        space.map_err(|source| PullError::disk(&self.path, source))?;
        let mut collected = Collected::default();
        let (mut slot, mut progress_time) = (Some(slot), PROGRESS_TIME);
        for host in self.session.hosts(false) {
            let mut tries = 0;
            while self.position < self.blob.size {
                if slot.is_none() {
                    self.span.enter(&stages::SLOT);
                    slot = Some(self.lane.slot().await);
                }
                self.span.enter_on(&stages::TRANSFER, &host.address);
                self.span.progress(self.position, self.blob.size);
                let before = self.position;
                let Err(stop) = self.transfer(host, progress_time).await else { continue };
                if self.position > before {
                    tries = 0;
                }
                match stop {
                    TransferError::Disk(source) => return Err(PullError::disk(&self.path, source)),
                    TransferError::MakesWay => {
                        tracing::debug!(blob = %self.blob.digest, host = host.origin(), position = self.position,
                            "a transfer without progress makes way and goes on later");
                        slot = None;
                        progress_time = PROGRESS_TIME_MAX.min(progress_time * 2);
                    }
                    TransferError::Failed(RequestError::Passing(message, after)) if tries < self.session.retries => {
                        let (blob, host, position) = (&self.blob.digest, host.origin(), self.position);
                        tracing::debug!(%blob, host, position, message,
                            "a transfer was interrupted and is resumed");
                        slot = None;
                        self.span.enter_on(&stages::BACK_OFF, &self.session.reference.registry);
                        self.session.back_off(tries, after).await;
                        tries += 1;
                    }
                    TransferError::Failed(failure) => {
                        collected.add(host, failure);
                        break;
                    }
                }
            }
            if self.position >= self.blob.size {
                break;
            }
        }
        if self.position < self.blob.size {
            return Err(collected.into_error(&self.session.reference));
        }
        self.writer.finish();
        Ok(())
    }

    async fn transfer(&mut self, host: &RegistryHost, progress_time: Duration) -> Result<(), TransferError> {
        let mut progress = Progress::within(progress_time);
        let mut asking = pin!(self.session.blob(host, &self.blob.digest, self.position));
        let BlobResponse { mut response, offset } = loop {
            match timeout_at(progress.due, &mut asking).await {
                Ok(answer) => break answer?,
                Err(_) => progress.look(&self.lane)?,
            }
        };
        // A host that knows no ranges sends everything again.
        let mut skip = self.position - offset;
        let (mut batch, mut counter) = (Vec::new(), None);
        let mut due = Instant::now() + LINGER;
        let outcome = loop {
            let next = timeout_at(due.min(progress.due), response.chunk()).await;
            if let Err(stop) = progress.look(&self.lane) {
                break Err(stop);
            }
            let Ok(next) = next else {
                if Instant::now() >= due {
                    batch = self.write(batch).await?;
                    due = Instant::now() + LINGER;
                }
                continue;
            };
            match next {
                Ok(Some(chunk)) => {
                    progress.bytes += chunk.len() as u64;
                    let counter = counter.get_or_insert_with(|| self.fetched.of(host.origin()));
                    counter.add(chunk.len() as u64);
                    let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
                    skip -= skipped as u64;
                    batch.extend_from_slice(&chunk[skipped..]);
                    if self.position + batch.len() as u64 > self.blob.size {
                        batch.clear();
                        let size = self.blob.size;
                        break Err(
                            RequestError::Refused(format!("sends more than the {size} bytes of the blob")).into()
                        );
                    }
                    if batch.len() >= BATCH {
                        batch = self.write(batch).await?;
                        due = Instant::now() + LINGER;
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(RequestError::Passing(broken(&error), None).into()),
            }
        };
        self.write(batch).await?;
        outcome?;
        if self.position < self.blob.size {
            return Err(RequestError::Passing("ended before the blob did".to_owned(), None).into());
        }
        Ok(())
    }

    /// Writes, tells the reader, and gives the empty buffer back.
    async fn write(&mut self, mut batch: Vec<u8>) -> Result<Vec<u8>, TransferError> {
        if batch.is_empty() {
            return Ok(batch);
        }
        let (file, position, reserve) = (Arc::clone(&self.file), self.position, self.reserve);
        let written = tokio::task::spawn_blocking(move || {
            check_space(&file, reserve, batch.len() as u64)?;
            file.write_all_at(&batch, position)?;
            let count = batch.len();
            batch.clear();
            Ok((batch, count as u64))
        });
        let (batch, count) =
            written.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(TransferError::Disk)?;
        self.position += count;
        self.span.progress(self.position, self.blob.size);
        self.writer.written(self.position);
        Ok(batch)
    }
}

/// Refuses by name what would not leave the reserve free. Blocks.
fn check_space(file: &File, reserve: u64, bytes: u64) -> io::Result<()> {
    if has_space(file, reserve, bytes)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::StorageFull, LimitError::Reserve(reserve)))
}

fn broken(error: &reqwest::Error) -> String {
    if error.is_timeout() { "stalled".to_owned() } else { format!("broke off: {}", innermost(error)) }
}
