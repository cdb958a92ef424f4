//! An archive that comes piece by piece, and who reads it on a thread of its own.

use crate::unpack::{ArchiveError, through_reader};
use std::io::{self, Read};
use tokio::sync::mpsc;

/// Pieces that wait until the reader takes them.
const WAITING: usize = 4;

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// Where the pieces go. Dropped before [`PieceWriter::finish`], it makes the import fail.
#[derive(Debug)]
pub struct PieceWriter(mpsc::Sender<Piece>);

/// What they become.
#[derive(Debug)]
pub struct PieceReader {
    pieces: mpsc::Receiver<Piece>,
    current: Vec<u8>,
    position: usize,
    ended: bool,
}

/// Both ends.
#[must_use]
pub fn pieces() -> (PieceWriter, PieceReader) {
    let (writer, pieces) = mpsc::channel(WAITING);
    (PieceWriter(writer), PieceReader { pieces, current: Vec::new(), position: 0, ended: false })
}

impl PieceWriter {
    /// Waits until there is room for a piece; false if nobody reads any more.
    pub async fn write(&self, piece: Vec<u8>) -> bool {
        self.0.send(Piece::Bytes(piece)).await.is_ok()
    }

    /// That was all of it.
    pub async fn finish(self) {
        // If nobody reads any more, the import's error says why.
        let _ = self.0.send(Piece::End).await;
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.current.len() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => (self.current, self.position) = (bytes, 0),
                Some(Piece::End) => self.ended = true,
                None => return Err(through_reader(ArchiveError::Cancelled)),
            }
        }
        let count = (self.current.len() - self.position).min(buffer.len());
        buffer[..count].copy_from_slice(&self.current[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}
