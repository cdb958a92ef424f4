//! What is to be written to a client.

use super::super::descriptor::{ReadOutcome, StreamEnd};
use super::buffers::TransferBuffers;
use crate::spdy::SpdyConnection;
use crate::websocket::MessageHead;

/// Room for all heads that one read may need before it: a message's, and a frame's or a channel's number.
const HEADROOM: usize = MessageHead::LONGEST + SpdyConnection::DATA_HEAD;

/// What is to be written to a client. What a stream has is read to where it is written from: it is never moved.
#[derive(Debug)]
pub(super) struct OutputQueue {
    bytes: Vec<u8>,
    /// What lies before it was written, or is room that was not needed.
    start: usize,
    /// How much of what waits was read of a stream, with its heads. It is in front.
    piece: usize,
    buffers: TransferBuffers,
}

impl OutputQueue {
    pub(super) fn new(buffers: TransferBuffers) -> Self {
        Self { bytes: Vec::new(), start: 0, piece: 0, buffers }
    }

    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Bytes of answers among it.
    pub(super) fn replies(&self) -> usize {
        self.len() - self.piece
    }

    /// All that is there was read of a stream. What comes behind it is answers.
    pub(super) fn mark_piece(&mut self) {
        self.piece = self.len();
    }

    /// So much was written.
    pub(super) fn advance(&mut self, written: usize) {
        self.start += written;
        self.piece = self.piece.saturating_sub(written);
        if self.is_empty() {
            self.free();
        }
    }

    fn free(&mut self) {
        self.start = 0;
        self.buffers.keep(std::mem::take(&mut self.bytes));
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Puts something before what is there: into the room that [`read`](Self::read) has left.
    pub(super) fn prepend(&mut self, head: &[u8]) {
        if let Some(start) = self.start.checked_sub(head.len()) {
            self.bytes[start..self.start].copy_from_slice(head);
            self.start = start;
        }
    }

    /// Reads what a stream has, if nothing waits. Then the heads go before it.
    pub(super) fn read(&mut self, from: &StreamEnd) -> ReadOutcome {
        let piece = from.piece();
        self.bytes = self.buffers.take(HEADROOM, piece);
        self.start = HEADROOM;
        let outcome = from.read(&mut self.bytes);
        match outcome {
            // It has more than that.
            ReadOutcome::Bytes(count) if count >= piece => self.buffers.enlarge(from),
            ReadOutcome::Bytes(_) => {}
            ReadOutcome::Nothing | ReadOutcome::End | ReadOutcome::Broken => self.free(),
        }
        outcome
    }
}
