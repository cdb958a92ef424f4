//! Bytes between a session and the thread that reads or writes an archive.

use std::io::{self, Read, Write};

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Bytes;

/// As much as goes at once.
const PIECE: usize = 64 << 10;

/// What a session receives, to be read by a thread.
pub(crate) struct PipeReader {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl PipeReader {
    pub(crate) fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self { pieces, piece: Bytes::new() }
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.pieces.blocking_recv().unwrap_or_default();
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// What a session sends, written by a thread.
pub(crate) struct PipeWriter {
    pieces: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl PipeWriter {
    pub(crate) fn new(pieces: mpsc::Sender<Vec<u8>>) -> Self {
        Self { pieces, piece: Vec::with_capacity(PIECE) }
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
