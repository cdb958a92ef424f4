//! Where the bytes of an archive go.

use super::error::ExportError;
use crate::digest::{Digest, Hasher};
use std::io::{self, Write};
use tokio::sync::mpsc;

/// Bytes of an archive that are handed on at once.
const PIECE: usize = 256 << 10;

/// Makes pieces of what is written, and waits until they are taken.
pub(super) struct PieceSink {
    sender: mpsc::Sender<Result<Vec<u8>, ExportError>>,
    piece: Vec<u8>,
}

impl PieceSink {
    pub(super) fn new(sender: mpsc::Sender<Result<Vec<u8>, ExportError>>) -> Self {
        Self { sender, piece: Vec::with_capacity(PIECE) }
    }

    /// Says why no more comes.
    pub(super) fn fail(self, error: ExportError) {
        // Nobody may be left who wants to know.
        let _ = self.sender.blocking_send(Err(error));
    }
}

impl Write for PieceSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Counts and hashes what is written, as long as somebody waits for the archive.
pub(super) struct HashSink<'o> {
    hasher: Hasher,
    size: u64,
    out: &'o PieceSink,
}

impl<'o> HashSink<'o> {
    pub(super) fn new(out: &'o PieceSink) -> Self {
        Self { hasher: Hasher::default(), size: 0, out }
    }

    /// The digest of what was written, and its bytes.
    pub(super) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.size)
    }
}

impl Write for HashSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.sender.is_closed() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands on what is written, and hashes it.
pub(super) struct CheckedSink<'o> {
    hasher: Hasher,
    out: &'o mut PieceSink,
}

impl<'o> CheckedSink<'o> {
    pub(super) fn new(out: &'o mut PieceSink) -> Self {
        Self { hasher: Hasher::default(), out }
    }

    /// The digest of what was written.
    pub(super) fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

impl Write for CheckedSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
