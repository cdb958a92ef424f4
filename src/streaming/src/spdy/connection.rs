//! A connection with its streams.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::bounds::STREAMS;

use super::error::SpdyError;
use super::frame;
use super::frame::{Frame, FrameDecoder, ResetReason, StreamId};
use super::headers::{HeaderReader, HeaderWriter, Headers};

/// Something that a client did.
#[derive(Debug, PartialEq, Eq)]
pub enum SpdyEvent {
    /// It opened a stream: it waits until that is [accepted](SpdyConnection::accept) or [reset](SpdyConnection::reset).
    Opened {
        /// The number that it gave it.
        stream: StreamId,
        /// What it is for.
        headers: Headers,
        /// It will send nothing on it.
        ended: bool,
    },
    /// It sent something on a stream.
    Data {
        /// An open one.
        stream: StreamId,
        /// Empty at most if it is the last.
        payload: Bytes,
        /// Nothing more will come.
        last: bool,
    },
    /// It gave a stream up, in both directions.
    Reset(StreamId),
    /// It will open no more streams.
    GoAway,
}

/// The server's end of a connection. Bytes go into [`receive`](Self::receive) and come out of
/// [`take_output`](Self::take_output), in any pieces.
///
/// Nothing is held back but the rest of a control frame. The output grows with what is sent, and by a few bytes for
/// what the client asks (pings): a caller that waits for the client to read before it goes on to receive bounds it.
#[derive(Debug)]
pub struct SpdyConnection {
    decoder: FrameDecoder,
    reader: HeaderReader,
    writer: HeaderWriter,
    streams: BTreeMap<StreamId, StreamState>,
    /// The highest number that a client gave a stream.
    last: StreamId,
    output: BytesMut,
}

/// A stream that at least one end may still send on.
#[derive(Clone, Copy, Debug)]
struct StreamState {
    /// The client may send.
    incoming: bool,
    outgoing: Outgoing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    /// A client drops what comes before the answer to its opening.
    Unanswered,
    Open,
    Closed,
}

impl StreamState {
    fn is_over(self) -> bool {
        !self.incoming && self.outgoing == Outgoing::Closed
    }
}

impl Default for SpdyConnection {
    fn default() -> Self {
        Self::new()
    }
}

impl SpdyConnection {
    /// Bytes of a data frame before its payload.
    pub const DATA_HEAD: usize = frame::HEAD;

    /// A connection on which nothing was said.
    #[must_use]
    pub fn new() -> Self {
        Self {
            decoder: FrameDecoder::default(),
            reader: HeaderReader::new(),
            writer: HeaderWriter::default(),
            streams: BTreeMap::new(),
            last: 0,
            output: BytesMut::new(),
        }
    }

    /// The next thing that the client did, taken off `input`; none if more bytes have to come first.
    ///
    /// # Errors
    ///
    /// The bytes make no sense: the connection has to end.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<SpdyEvent>, SpdyError> {
        while let Some(frame) = self.decoder.next(input)? {
            if let Some(event) = self.take(frame)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn take(&mut self, frame: Frame) -> Result<Option<SpdyEvent>, SpdyError> {
        match frame {
            Frame::SynStream { stream, fin, unidirectional, block } => {
                let headers = self.reader.read(&block)?;
                return self.open(stream, headers, fin, unidirectional);
            }
            Frame::SynReply { block } | Frame::Headers { block } => {
                self.reader.read(&block)?;
            }
            Frame::Data { stream, fin, payload } => return Ok(self.data(stream, payload, fin)),
            Frame::RstStream { stream } => {
                return Ok(self.streams.remove(&stream).map(|_| SpdyEvent::Reset(stream)));
            }
            // An even number would be the answer to one of ours.
            Frame::Ping { id } if id % 2 == 1 => frame::put_ping(&mut self.output, id),
            Frame::GoAway => return Ok(Some(SpdyEvent::GoAway)),
            Frame::Ping { .. } | Frame::Other => {}
        }
        Ok(None)
    }

    fn open(
        &mut self,
        stream: StreamId,
        headers: Option<Headers>,
        ended: bool,
        unidirectional: bool,
    ) -> Result<Option<SpdyEvent>, SpdyError> {
        if stream.is_multiple_of(2) || stream <= self.last {
            return Err(SpdyError::StreamNumber(stream));
        }
        self.last = stream;
        let Some(headers) = headers.filter(|_| self.streams.len() < STREAMS) else {
            frame::put_reset(&mut self.output, stream, ResetReason::RefusedStream);
            return Ok(None);
        };
        let outgoing = if unidirectional { Outgoing::Closed } else { Outgoing::Unanswered };
        self.streams.insert(stream, StreamState { incoming: !ended, outgoing });
        Ok(Some(SpdyEvent::Opened { stream, headers, ended }))
    }

    fn data(&mut self, id: StreamId, payload: Bytes, last: bool) -> Option<SpdyEvent> {
        let Some(stream) = self.streams.get_mut(&id) else {
            // On one that was closed or reset here, more may have been on its way.
            if id.is_multiple_of(2) || id > self.last {
                frame::put_reset(&mut self.output, id, ResetReason::InvalidStream);
            }
            return None;
        };
        if !stream.incoming {
            self.streams.remove(&id);
            frame::put_reset(&mut self.output, id, ResetReason::StreamAlreadyClosed);
            return Some(SpdyEvent::Reset(id));
        }
        if last {
            stream.incoming = false;
            self.forget_if_over(id);
        } else if payload.is_empty() {
            return None;
        }
        Some(SpdyEvent::Data { stream: id, payload, last })
    }

    /// Answers a stream's opening: from now on something can be sent on it.
    pub fn accept(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.outgoing == Outgoing::Unanswered {
            stream.outgoing = Outgoing::Open;
            frame::put_reply(&mut self.output, id, self.writer.empty());
        }
    }

    /// Refuses all streams that are opened from now on, which saves the memory that reading their headers takes.
    pub fn open_no_more(&mut self) {
        self.reader = HeaderReader::Done;
    }

    /// Whether something can be sent on it.
    #[must_use]
    pub fn is_open(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.outgoing == Outgoing::Open)
    }

    /// Sends on a stream that [is open](Self::is_open); on another one it does nothing.
    pub fn send(&mut self, id: StreamId, payload: &[u8]) {
        if self.is_open(id) && !payload.is_empty() {
            frame::put_data(&mut self.output, id, payload, false);
        }
    }

    /// What stands before a payload of so many bytes, fewer than 16 Mi, on a stream that [is open](Self::is_open): for
    /// a caller that has the payload already where it is sent from. It comes after all [output](Self::take_output).
    #[must_use]
    pub fn data_head(id: StreamId, length: usize) -> [u8; Self::DATA_HEAD] {
        frame::data_head(id, length, false)
    }

    /// Says that nothing more will be sent on it. The client may go on.
    pub fn finish(&mut self, id: StreamId) {
        if !self.is_open(id) {
            return;
        }
        frame::put_data(&mut self.output, id, &[], true);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.outgoing = Outgoing::Closed;
        }
        self.forget_if_over(id);
    }

    /// Gives a stream up, in both directions. That is also how the opening of one is refused.
    pub fn reset(&mut self, id: StreamId) {
        if self.streams.remove(&id).is_some() {
            frame::put_reset(&mut self.output, id, ResetReason::Cancel);
        }
    }

    /// Says that the connection ends well.
    pub fn go_away(&mut self) {
        frame::put_go_away(&mut self.output, self.last);
    }

    /// What is to be written to the client, so far.
    pub fn take_output(&mut self) -> BytesMut {
        self.output.split()
    }

    fn forget_if_over(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(|stream| stream.is_over()) {
            self.streams.remove(&id);
        }
    }
}
