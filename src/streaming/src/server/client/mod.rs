//! A client after its upgrade: streams with numbers, whatever protocol it speaks. What sessions are is written once, in
//! terms of [`ClientStreams`].

mod buffers;
mod carrier;
mod framing;
mod io;
mod outgoing;

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

pub(super) use self::buffers::TransferBuffers;
use self::framing::Framing;
pub(super) use self::io::ClientIo;
use self::outgoing::{Carriage, OutputQueue};
use super::descriptor::{ReadOutcome, StreamEnd};
use crate::bounds::{FAREWELL_TIME, LEFT_LOOK, REPLY_BYTES, TRANSFER_BYTES};
use crate::channels::{ChannelProtocol, MessageError};
use crate::spdy::{Headers, SpdyError, StreamId};
use crate::websocket::SocketError;

/// Something that a client did.
#[derive(Debug)]
pub(super) enum ClientEvent {
    /// It opened a stream, of SPDY: that is to be accepted or reset.
    Opened { stream: StreamId, headers: Headers },
    /// It sent something.
    Data {
        stream: StreamId,
        /// May be empty.
        payload: Bytes,
        /// Nothing more will come.
        last: bool,
    },
    /// It gave a stream up.
    Reset(StreamId),
    /// It will open no more streams.
    GoAway,
    /// It has ended the connection well.
    Closed,
    /// It has said something that is no session's matter: that it is there.
    Heard,
    /// It has taken all that was sent.
    Flushed,
}

/// Why a client's connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("the client has left")]
    Left,
    /// And waits for the answer to that.
    #[error("the client has ended the connection")]
    Closed,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Spdy(#[from] SpdyError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// Whether the client is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    Open,
    /// What it sent before has to go on first.
    Held,
}

/// A client's streams.
#[derive(Debug)]
pub(super) struct ClientStreams {
    io: ClientIo,
    /// What came and was not looked at.
    input: BytesMut,
    outgoing: OutputQueue,
    tail: RecordTail,
    framing: Framing,
}

/// Where the last is of what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordTail {
    Sent,
    /// A record of TLS may wait for room in the socket.
    InRecord,
}

/// One step of a connection.
enum Exchange {
    Received,
    Written,
}

impl ClientStreams {
    /// Over SPDY. `early` came with the request; the buffers are those of all clients.
    pub(super) fn spdy(io: ClientIo, early: &[u8], buffers: TransferBuffers) -> Self {
        Self::new(io, early, buffers, Framing::spdy())
    }

    /// Over SPDY within WebSocket.
    pub(super) fn tunnel(io: ClientIo, early: &[u8], buffers: TransferBuffers) -> Self {
        Self::new(io, early, buffers, Framing::tunnel())
    }

    /// Over WebSocket: streams are channels.
    pub(super) fn channels(io: ClientIo, early: &[u8], buffers: TransferBuffers, protocol: ChannelProtocol) -> Self {
        Self::new(io, early, buffers, Framing::channels(protocol))
    }

    fn new(io: ClientIo, early: &[u8], buffers: TransferBuffers, framing: Framing) -> Self {
        let (input, outgoing) = (BytesMut::from(early), OutputQueue::new(buffers));
        Self { io, input, outgoing, tail: RecordTail::Sent, framing }
    }

    /// What the client does next; meanwhile what waits for it is written. A call that is dropped has lost nothing.
    pub(super) async fn next(&mut self, intake: Intake) -> Result<ClientEvent, ClientError> {
        loop {
            // What waits of a stream must not keep the client from being heard, however much that is.
            let reads = intake == Intake::Open && self.outgoing.replies() < REPLY_BYTES;
            let event = if reads { self.framing.receive(&mut self.input)? } else { None };
            self.outgoing.append(&self.framing.take_output());
            if let Some(event) = event {
                return Ok(event);
            }
            match self.exchange(reads).await? {
                Exchange::Written if self.is_flushed() => return Ok(ClientEvent::Flushed),
                Exchange::Written => {}
                Exchange::Received => {
                    let event = self.framing.receive(&mut self.input)?;
                    self.outgoing.append(&self.framing.take_output());
                    return Ok(event.unwrap_or(ClientEvent::Heard));
                }
            }
        }
    }

    async fn exchange(&mut self, reads: bool) -> Result<Exchange, ClientError> {
        if reads {
            return poll_fn(|cx| self.poll_exchange(cx, true)).await;
        }
        // Who is not read from can't be heard leaving.
        loop {
            tokio::select! {
                done = poll_fn(|cx| self.poll_exchange(cx, false)) => return done,
                () = sleep(LEFT_LOOK) => {}
            }
            if self.io.has_left() {
                return Err(ClientError::Left);
            }
        }
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>, reads: bool) -> Poll<Result<Exchange, ClientError>> {
        if let Poll::Ready(written) = self.poll_write(cx) {
            return Poll::Ready(written);
        }
        if reads { self.poll_receive(cx) } else { Poll::Pending }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Exchange, ClientError>> {
        if self.is_flushed() {
            return Poll::Pending;
        }
        if !self.outgoing.is_empty() {
            let written = ready!(self.outgoing.poll_write(&mut self.io, cx))?;
            if written == 0 {
                return Poll::Ready(Err(ClientError::Left));
            }
            self.tail = RecordTail::InRecord;
        }
        if self.outgoing.is_empty() {
            ready!(pin!(&mut self.io).poll_flush(cx))?;
            self.tail = RecordTail::Sent;
        }
        Poll::Ready(Ok(Exchange::Written))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Exchange, ClientError>> {
        if self.io.poll_readable(cx)?.is_pending() {
            self.free_input();
            return Poll::Pending;
        }
        self.input.reserve(TRANSFER_BYTES);
        let received = pin!(self.io.read_buf(&mut self.input)).poll(cx)?;
        match received {
            Poll::Ready(0) => Poll::Ready(Err(ClientError::Left)),
            Poll::Ready(_) => Poll::Ready(Ok(Exchange::Received)),
            Poll::Pending => {
                self.free_input();
                Poll::Pending
            }
        }
    }

    /// Most clients are silent most of the time: they cost no buffer.
    fn free_input(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// Whether nothing waits for the client to take it. Then a stream may be [read](Self::fill).
    pub(super) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty() && self.tail == RecordTail::Sent
    }

    /// Reads what a process or a pod sends, and sends that on a stream. Only when all [was taken](Self::is_flushed).
    pub(super) fn fill(&mut self, stream: StreamId, from: &StreamEnd) -> ReadOutcome {
        self.outgoing.append(&self.framing.take_output());
        if !self.is_flushed() {
            return ReadOutcome::Bytes(0);
        }
        if !self.framing.is_open(stream) {
            return ReadOutcome::Broken;
        }
        let passes = self.io.is_plain() && self.framing.is_binary();
        let outcome = self.outgoing.read(from, if passes { Carriage::Passed } else { Carriage::Copied });
        if matches!(outcome, ReadOutcome::Bytes(_)) {
            self.framing.put_heads(stream, &mut self.outgoing);
            // What can't be sent as it was read is with the framing.
            self.outgoing.append(&self.framing.take_output());
            self.outgoing.mark_piece();
            // Most of the time the socket has room.
            self.outgoing.write_now(&self.io);
        }
        outcome
    }

    /// Accepts a stream that the client has opened.
    pub(super) fn accept(&mut self, stream: StreamId) {
        self.framing.accept(stream);
    }

    /// Refuses all streams that it opens from now on.
    pub(super) fn open_no_more(&mut self) {
        self.framing.open_no_more();
    }

    /// Sends something short.
    pub(super) fn send(&mut self, stream: StreamId, payload: &[u8]) {
        self.framing.send(stream, payload);
    }

    /// Says that nothing more will be sent on a stream.
    pub(super) fn finish(&mut self, stream: StreamId) {
        self.framing.finish(stream);
    }

    /// Gives a stream up.
    pub(super) fn reset(&mut self, stream: StreamId) {
        self.framing.reset(stream);
    }

    /// Ends the connection well, once the client has taken all. What it still sends is read, and thrown away: a
    /// connection that is closed over that takes back what is on its way.
    pub(super) async fn close(mut self) {
        self.framing.close();
        self.outgoing.append(&self.framing.take_output());
        let farewell = async {
            while !self.outgoing.is_empty() {
                if poll_fn(|cx| self.outgoing.poll_write(&mut self.io, cx)).await? == 0 {
                    return Err(std::io::ErrorKind::WriteZero.into());
                }
            }
            self.io.flush().await?;
            self.io.shutdown().await?;
            let mut rest = BytesMut::new();
            while self
                .io
                .read_buf({
                    rest.clear();
                    rest.reserve(TRANSFER_BYTES);
                    &mut rest
                })
                .await?
                > 0
            {}
            Ok::<_, std::io::Error>(())
        };
        // A client that does not leave is left.
        let _ = timeout(FAREWELL_TIME, farewell).await;
    }
}

#[cfg(test)]
mod tests;
