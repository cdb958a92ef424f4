//! Descriptors that are written to, and what waits until they take it.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;

use super::client::Intake;
use super::descriptor::{StreamEnd, WriteOutcome};
use super::readiness::{Direction, Readiness};
use crate::bounds::BACKLOG_BYTES;
use crate::spdy::StreamId;

/// A piece below that is copied rather than that it keeps what it came in.
const COPIED_BYTES: usize = 16 << 10;

/// What a piece that waits takes beside its bytes, at most: clients may send one byte at a time.
const PIECE_BYTES: usize = 64;

/// Descriptors that are written to, by the stream on which it came.
#[derive(Debug, Default)]
pub(super) struct StreamSinks {
    all: BTreeMap<StreamId, StreamSink>,
    waiting: FuturesUnordered<Abortable<Readiness>>,
    /// What all queues take.
    backlog: usize,
}

#[derive(Debug, Default)]
struct StreamSink {
    state: SinkState,
    queue: VecDeque<Bytes>,
    /// Nothing more will come.
    ended: bool,
}

#[derive(Debug, Default)]
enum SinkState {
    /// The descriptor is not there yet.
    #[default]
    Expected,
    Idle(Rc<StreamEnd>),
    /// What is in the queue waits until it takes it.
    Full(Rc<StreamEnd>, AbortHandle),
}

/// Whether more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SinkLife {
    Goes,
    /// All was written, or nothing is taken any more: the descriptor was let go.
    Over,
}

impl StreamSinks {
    /// A descriptor will come for it.
    pub(super) fn expect(&mut self, stream: StreamId) {
        self.all.insert(stream, StreamSink::default());
    }

    /// It is there. None if nobody writes to it any more.
    pub(super) fn connect(&mut self, stream: StreamId, descriptor: Rc<StreamEnd>) -> SinkLife {
        let Some(sink) = self.all.get_mut(&stream) else { return SinkLife::Over };
        sink.state = SinkState::Idle(descriptor);
        self.go_on(stream)
    }

    /// What came on a stream. On one of which nothing is written any more it is dropped.
    pub(super) fn write(&mut self, stream: StreamId, mut payload: Bytes, last: bool) -> SinkLife {
        let Some(sink) = self.all.get_mut(&stream) else { return SinkLife::Over };
        sink.ended |= last;
        if let SinkState::Idle(descriptor) = &sink.state
            && sink.queue.is_empty()
            && !payload.is_empty()
        {
            match descriptor.write(&payload) {
                WriteOutcome::Bytes(count) => payload.advance(count),
                WriteOutcome::Full => {}
                WriteOutcome::Closed => return self.close(stream),
            }
        }
        if !payload.is_empty() {
            self.backlog += payload.len() + PIECE_BYTES;
            let small = payload.len() < COPIED_BYTES;
            sink.queue.push_back(if small { Bytes::copy_from_slice(&payload) } else { payload });
        }
        self.go_on(stream)
    }

    /// Writes what waits, as far as it is taken.
    fn go_on(&mut self, stream: StreamId) -> SinkLife {
        let Some(sink) = self.all.get_mut(&stream) else { return SinkLife::Over };
        let descriptor = match &sink.state {
            SinkState::Idle(descriptor) => descriptor.clone(),
            SinkState::Expected | SinkState::Full(..) => return SinkLife::Goes,
        };
        while let Some(piece) = sink.queue.front_mut() {
            match descriptor.write(piece) {
                WriteOutcome::Bytes(count) => {
                    self.backlog -= count;
                    piece.advance(count);
                    if piece.is_empty() {
                        self.backlog -= PIECE_BYTES;
                        sink.queue.pop_front();
                    }
                }
                WriteOutcome::Full => {
                    let (handle, registration) = AbortHandle::new_pair();
                    let readiness = Readiness { stream, descriptor: descriptor.clone(), direction: Direction::Write };
                    self.waiting.push(Abortable::new(readiness, registration));
                    sink.state = SinkState::Full(descriptor, handle);
                    return SinkLife::Goes;
                }
                WriteOutcome::Closed => return self.close(stream),
            }
        }
        if !sink.ended {
            return SinkLife::Goes;
        }
        descriptor.end_writing();
        self.close(stream)
    }

    fn close(&mut self, stream: StreamId) -> SinkLife {
        self.remove(stream);
        SinkLife::Over
    }

    /// Lets a descriptor go, with what waits for it. True: it was there until now.
    pub(super) fn remove(&mut self, stream: StreamId) -> bool {
        let Some(sink) = self.all.remove(&stream) else { return false };
        self.backlog -= sink.queue.iter().map(|piece| piece.len() + PIECE_BYTES).sum::<usize>();
        if let SinkState::Full(_, waits) = sink.state {
            waits.abort();
        }
        true
    }

    /// Writes what waits for one descriptor, once that takes some. By that the [intake](Self::intake) may have become
    /// another one.
    pub(super) async fn next_written(&mut self) -> (StreamId, SinkLife) {
        loop {
            let stream = poll_fn(|cx| {
                while let Poll::Ready(Some(ready)) = self.waiting.poll_next_unpin(cx) {
                    if let Ok(stream) = ready {
                        return Poll::Ready(stream);
                    }
                }
                Poll::Pending
            })
            .await;
            let Some(sink) = self.all.get_mut(&stream) else { continue };
            if let SinkState::Full(descriptor, _) = &sink.state {
                sink.state = SinkState::Idle(descriptor.clone());
            }
            return (stream, self.go_on(stream));
        }
    }

    /// Whether that one is written to, or will be.
    pub(super) fn has(&self, stream: StreamId) -> bool {
        self.all.contains_key(&stream)
    }

    /// Whether the client may be read from.
    pub(super) fn intake(&self) -> Intake {
        if self.backlog < BACKLOG_BYTES { Intake::Open } else { Intake::Held }
    }
}
