//! Transferring one blob into its partial file: over several hosts, and through any number of interruptions.

use super::gauge::Growth;
use crate::error::PullError;
use crate::hosts::Host;
use crate::manifest::Blob;
use crate::registry::{BlobResponse, Collected, Failure, Session};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
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
    pub(super) blob: &'a Blob,
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    /// How much of it is in the file.
    pub(super) position: u64,
    pub(super) growth: Growth,
}

enum Stop {
    Failed(Failure),
    Disk(std::io::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Download<'_> {
    /// Ends when the file holds as many bytes as the manifest says. Whether they are the right ones is the reader's to
    /// find out: it sees them all in order anyway.
    pub(super) async fn run(mut self) -> Result<(), PullError> {
        let mut collected = Collected::default();
        for host in self.session.hosts(false) {
            let mut tries = 0;
            while self.position < self.blob.size {
                let before = self.position;
                let failure = match self.from(host).await {
                    Ok(()) => continue,
                    Err(Stop::Disk(source)) => return Err(PullError::disk(&self.path, source)),
                    Err(Stop::Failed(failure)) => failure,
                };
                if self.position > before {
                    tries = 0;
                }
                match failure {
                    Failure::Passing(words, after) if tries < self.session.retries => {
                        tracing::debug!(blob = %self.blob.digest, host = host.origin(), position = self.position, words,
                            "a transfer was interrupted and is resumed");
                        self.session.back_off(tries, after).await;
                        tries += 1;
                    }
                    failure => {
                        collected.add(host, failure);
                        break;
                    }
                }
            }
            if self.position >= self.blob.size {
                self.growth.finish();
                return Ok(());
            }
        }
        if self.position >= self.blob.size {
            self.growth.finish();
            return Ok(());
        }
        Err(collected.into_error(&self.session.reference))
    }

    async fn from(&mut self, host: &Host) -> Result<(), Stop> {
        let BlobResponse { mut response, offset } = self.session.blob(host, &self.blob.digest, self.position).await?;
        // A host that knows no ranges sends everything again.
        let mut skip = self.position - offset;
        let mut batch: Vec<u8> = Vec::new();
        let mut due = Instant::now() + LINGER;
        let outcome = loop {
            let Ok(next) = timeout_at(due, response.chunk()).await else {
                batch = self.write(batch).await?;
                due = Instant::now() + LINGER;
                continue;
            };
            match next {
                Ok(Some(chunk)) => {
                    let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
                    skip -= skipped as u64;
                    batch.extend_from_slice(&chunk[skipped..]);
                    if self.position + batch.len() as u64 > self.blob.size {
                        batch.clear();
                        let size = self.blob.size;
                        break Err(Failure::Refused(format!("sends more than the {size} bytes of the blob")));
                    }
                    if batch.len() >= BATCH {
                        batch = self.write(batch).await?;
                        due = Instant::now() + LINGER;
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(Failure::Passing(broken(&error), None)),
            }
        };
        self.write(batch).await?;
        outcome?;
        if self.position < self.blob.size {
            return Err(Failure::Passing("ended before the blob did".to_owned(), None).into());
        }
        Ok(())
    }

    /// Writes, tells the reader, and gives the empty buffer back.
    async fn write(&mut self, mut batch: Vec<u8>) -> Result<Vec<u8>, Stop> {
        if batch.is_empty() {
            return Ok(batch);
        }
        let (file, position) = (Arc::clone(&self.file), self.position);
        let written = tokio::task::spawn_blocking(move || {
            file.write_all_at(&batch, position)?;
            let count = batch.len();
            batch.clear();
            Ok((batch, count as u64))
        });
        let (batch, count) =
            written.await.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(Stop::Disk)?;
        self.position += count;
        self.growth.written(self.position);
        Ok(batch)
    }
}

fn broken(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { "stalled".to_owned() } else { format!("broke off: {cause}") }
}
