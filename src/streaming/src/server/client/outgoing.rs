//! What is to be written to a client.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite as _;

use super::super::descriptor::{ReadOutcome, StreamEnd};
use super::buffers::TransferBuffers;
use super::carrier::CarrierPipe;
use super::io::{ClientIo, More};
use crate::spdy::SpdyConnection;
use crate::websocket::MessageHead;

/// Room for all heads that one read may need before it: a message's, and a frame's or a channel's number.
const HEADROOM: usize = MessageHead::LONGEST + SpdyConnection::DATA_HEAD;

/// How what a stream has comes to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carriage {
    /// It is read.
    Copied,
    /// Large pieces may be passed on unread.
    Passed,
}

/// What is to be written to a client. What a stream has is read to where it is written from: it is never moved.
#[derive(Debug)]
pub(super) struct OutputQueue {
    bytes: Vec<u8>,
    /// What lies before it was written, or is room that was not needed.
    start: usize,
    /// How much of the bytes was read of a stream, with its heads. It is in front.
    piece: usize,
    passed: Passed,
    buffers: TransferBuffers,
}

/// What goes behind the bytes.
#[derive(Debug)]
enum Passed {
    Nothing,
    Piece {
        pipe: CarrierPipe,
        /// What is in it.
        left: usize,
        /// What goes behind that.
        behind: Vec<u8>,
    },
}

impl OutputQueue {
    pub(super) fn new(buffers: TransferBuffers) -> Self {
        Self { bytes: Vec::new(), start: 0, piece: 0, passed: Passed::Nothing, buffers }
    }

    /// What waits of it as bytes, before what is passed on.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        let passed = match &self.passed {
            Passed::Nothing => 0,
            Passed::Piece { left, behind, .. } => left + behind.len(),
        };
        self.pending().len() + passed
    }

    /// Bytes of answers among it.
    pub(super) fn replies(&self) -> usize {
        let behind = match &self.passed {
            Passed::Nothing => 0,
            Passed::Piece { behind, .. } => behind.len(),
        };
        self.pending().len() - self.piece + behind
    }

    /// All that is there belongs to what was read of a stream. What comes behind it is answers.
    pub(super) fn mark_piece(&mut self) {
        self.piece = self.pending().len();
    }

    /// So many bytes were written, or are not to be.
    pub(super) fn advance(&mut self, written: usize) {
        self.start += written;
        self.piece = self.piece.saturating_sub(written);
        if self.pending().is_empty() {
            self.free();
        }
    }

    fn free(&mut self) {
        (self.start, self.piece) = (0, 0);
        self.buffers.keep(std::mem::take(&mut self.bytes));
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        match &mut self.passed {
            Passed::Nothing => self.bytes.extend_from_slice(bytes),
            Passed::Piece { behind, .. } => behind.extend_from_slice(bytes),
        }
    }

    /// Puts something before what is there: into the room that [`read`](Self::read) has left.
    pub(super) fn prepend(&mut self, head: &[u8]) {
        if let Some(start) = self.start.checked_sub(head.len()) {
            self.bytes[start..self.start].copy_from_slice(head);
            self.start = start;
        }
    }

    /// Reads what a stream has, if nothing waits. Then the heads go before it.
    pub(super) fn read(&mut self, from: &StreamEnd, carriage: Carriage) -> ReadOutcome {
        if carriage == Carriage::Passed
            && from.is_large()
            && let Some(pipe) = self.buffers.take_carrier()
        {
            return self.load(from, pipe);
        }
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

    fn load(&mut self, from: &StreamEnd, pipe: CarrierPipe) -> ReadOutcome {
        let outcome = pipe.load(from);
        if let ReadOutcome::Bytes(left) = outcome {
            (self.bytes, self.start) = (vec![0; HEADROOM], HEADROOM);
            self.passed = Passed::Piece { pipe, left, behind: Vec::new() };
        } else {
            self.buffers.keep_carrier(pipe);
        }
        outcome
    }

    /// Writes what the socket takes now. Why it takes no more is seen when it is waited for.
    pub(super) fn write_now(&mut self, io: &ClientIo) {
        let more = if matches!(self.passed, Passed::Nothing) { More::No } else { More::Comes };
        if !self.pending().is_empty() {
            self.advance(io.write_now(self.pending(), more));
        }
        if self.pending().is_empty() {
            while let Passed::Piece { pipe, left, .. } = &self.passed
                && let Some(taken) = io.pass_now(pipe, *left)
            {
                self.passed_on(taken);
            }
        }
    }

    /// Waits until some of it was written, if there is something. Answers how much.
    pub(super) fn poll_write(&mut self, io: &mut ClientIo, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Passed::Piece { pipe, left, .. } = &self.passed else {
            return self.poll_write_bytes(io, cx);
        };
        if !self.pending().is_empty() {
            return self.poll_write_bytes(io, cx);
        }
        let taken = io.poll_pass(cx, pipe, *left);
        if let Poll::Ready(Ok(taken)) = taken {
            self.passed_on(taken);
        }
        taken
    }

    fn poll_write_bytes(&mut self, io: &mut ClientIo, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let written = pin!(io).poll_write(cx, self.pending());
        if let Poll::Ready(Ok(written)) = written {
            self.advance(written);
        }
        written
    }

    /// The socket has taken so much of what is passed on.
    fn passed_on(&mut self, taken: usize) {
        if let Passed::Piece { left, .. } = &mut self.passed {
            *left = left.saturating_sub(taken);
            if *left > 0 {
                return;
            }
        }
        if let Passed::Piece { pipe, behind, .. } = std::mem::replace(&mut self.passed, Passed::Nothing) {
            self.buffers.keep_carrier(pipe);
            (self.bytes, self.start, self.piece) = (behind, 0, 0);
        }
    }
}
