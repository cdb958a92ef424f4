//! An archive that comes piece by piece, and who reads it on a thread of its own.

use crate::unpack::{ArchiveError, through_reader};
use std::io::{self, Read};
use tokio::sync::{mpsc, oneshot};

/// Pieces that wait until the reader takes them. With the one that is read and the one that waits for its place so many
/// are in memory.
const WAITING: usize = 1;

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// Where the pieces go. Dropped before [`PieceWriter::finish`], it makes the import fail.
#[derive(Debug)]
pub struct PieceWriter {
    pieces: mpsc::Sender<Piece>,
    begun: Option<oneshot::Receiver<()>>,
}

/// What they become.
#[derive(Debug)]
pub struct PieceReader {
    pieces: mpsc::Receiver<Piece>,
    current: Vec<u8>,
    position: usize,
    ended: bool,
    begin: Option<oneshot::Sender<()>>,
}

/// Both ends.
#[must_use]
pub fn pieces() -> (PieceWriter, PieceReader) {
    let (writer, pieces) = mpsc::channel(WAITING);
    let (begin, begun) = oneshot::channel();
    let reader = PieceReader { pieces, current: Vec::new(), position: 0, ended: false, begin: Some(begin) };
    (PieceWriter { pieces: writer, begun: Some(begun) }, reader)
}

impl PieceWriter {
    /// Waits until somebody reads: until then the import waits for its turn, and whoever brings an archive should hold
    /// none of it in memory. False if nobody will.
    pub async fn wanted(&mut self) -> bool {
        if let Some(begun) = &mut self.begun {
            let is_wanted = begun.await.is_ok();
            self.begun = None;
            return is_wanted;
        }
        !self.pieces.is_closed()
    }

    /// Waits until there is room for a piece; false if nobody reads any more.
    pub async fn write(&self, piece: Vec<u8>) -> bool {
        self.pieces.send(Piece::Bytes(piece)).await.is_ok()
    }

    /// That was all of it.
    pub async fn finish(self) {
        // If nobody reads any more, the import's error says why.
        let _ = self.pieces.send(Piece::End).await;
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(begin) = self.begin.take() {
            // If nobody brings anything any more, that shows at once.
            let _ = begin.send(());
        }
        while self.position == self.current.len() && !self.ended {
            // Not beside the next one.
            self.current = Vec::new();
            match self.pieces.blocking_recv() {
                Some(Piece::Bytes(bytes)) => (self.current, self.position) = (bytes, 0),
                Some(Piece::End) => (self.position, self.ended) = (0, true),
                None => return Err(through_reader(ArchiveError::Cancelled)),
            }
        }
        let count = (self.current.len() - self.position).min(buffer.len());
        buffer[..count].copy_from_slice(&self.current[self.position..self.position + count]);
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn nothing_is_wanted_before_somebody_reads() {
        let (mut writer, mut reader) = pieces();
        let mut wanted = Box::pin(writer.wanted());
        assert!(wanted.as_mut().now_or_never().is_none());
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        assert!(wanted.await && writer.wanted().await);
        for piece in [&b"one"[..], b"", b"two"] {
            assert!(writer.write(piece.to_vec()).await);
        }
        writer.finish().await;
        assert_eq!(reading.await.unwrap().unwrap(), b"onetwo");
        // Nobody ever reads.
        let (mut writer, reader) = pieces();
        drop(reader);
        assert!(!writer.wanted().await && !writer.write(vec![1]).await);
    }

    #[tokio::test]
    async fn one_piece_waits_for_the_reader_and_no_more() {
        let (writer, _reader) = pieces();
        assert!(writer.write(vec![1]).now_or_never().is_some());
        assert!(writer.write(vec![2]).now_or_never().is_none());
    }
}
