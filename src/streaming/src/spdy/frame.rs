//! Frames as they stand on the wire (SPDY/3, section 2.2), blocks of headers still compressed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::bounds::CONTROL_FRAME_BYTES;

use super::error::SpdyError;

/// Both kinds of frame begin with as many bytes.
pub(super) const HEAD: usize = 8;
const VERSION: u16 = 3;
/// The bit that tells a control frame from data, in the first two bytes and in the first four.
const CONTROL: u16 = 0x8000;
const CONTROL_WORD: u32 = 0x8000_0000;
/// Set in no stream's number.
const RESERVED: u32 = 0x8000_0000;
/// The flag of a sender's last frame on a stream.
const FIN: u8 = 0x01;
/// The flag of a stream on which its opener alone sends.
const UNIDIRECTIONAL: u8 = 0x02;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// A stream's number: odd if the client opened it.
pub type StreamId = u32;

/// Why a stream is reset (SPDY/3, section 2.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum ResetReason {
    InvalidStream = 2,
    RefusedStream = 3,
    Cancel = 5,
    StreamAlreadyClosed = 9,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    SynStream {
        stream: StreamId,
        /// The client sends nothing on it.
        fin: bool,
        /// Nothing may be sent to the client on it.
        unidirectional: bool,
        block: Bytes,
    },
    /// Of a stream that we would have opened, which we never do: its headers are read for the compressor's sake.
    SynReply {
        block: Bytes,
    },
    RstStream {
        stream: StreamId,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// More headers of an open stream; they too are only decompressed.
    Headers {
        block: Bytes,
    },
    /// A piece of a data frame: `fin` stands on the last one.
    Data {
        stream: StreamId,
        fin: bool,
        payload: Bytes,
    },
    /// One that means nothing here.
    Other,
}

/// Cuts a client's bytes into frames.
#[derive(Debug, Default)]
pub(super) struct FrameDecoder {
    /// The rest of the data frame that has begun. Data is passed on as it comes, so a frame of 16 MiB takes no memory.
    data: Option<DataRest>,
}

#[derive(Debug)]
struct DataRest {
    stream: StreamId,
    fin: bool,
    left: usize,
}

impl FrameDecoder {
    /// Takes the next frame, or piece of one, off `input`; none if more has to come first.
    ///
    /// # Errors
    ///
    /// The bytes are no SPDY/3.1, or a control frame passes [`CONTROL_FRAME_BYTES`].
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, SpdyError> {
        if let Some(rest) = self.data.take() {
            return Ok(self.piece(rest, input));
        }
        let Some(head) = input.first_chunk::<HEAD>() else { return Ok(None) };
        let (mut word, mut second) = (&head[..4], &head[4..]);
        let (word, second) = (word.get_u32(), second.get_u32());
        let (flags, length) = (head[4], (second & 0x00ff_ffff) as usize);
        if word & CONTROL_WORD == 0 {
            input.advance(HEAD);
            let rest = DataRest { stream: word, fin: flags & FIN != 0, left: length };
            return Ok(self.piece(rest, input));
        }
        let (version, kind) = ((word >> 16) as u16 & !CONTROL, (word & 0xffff) as u16);
        if version != VERSION {
            return Err(SpdyError::Version(version));
        }
        if length > CONTROL_FRAME_BYTES {
            return Err(SpdyError::FrameTooLong(length));
        }
        if input.len() < HEAD + length {
            return Ok(None);
        }
        input.advance(HEAD);
        control(kind, flags, input.split_to(length).freeze()).map(Some)
    }

    /// What is here of a data frame. An empty one is a frame too: it is how a stream ends.
    fn piece(&mut self, rest: DataRest, input: &mut BytesMut) -> Option<Frame> {
        let DataRest { stream, fin, left } = rest;
        if left > 0 && input.is_empty() {
            self.data = Some(rest);
            return None;
        }
        let payload = input.split_to(left.min(input.len())).freeze();
        let left = left - payload.len();
        if left > 0 {
            self.data = Some(DataRest { stream, fin, left });
        }
        Some(Frame::Data { stream, fin: fin && left == 0, payload })
    }
}

fn control(kind: u16, flags: u8, mut body: Bytes) -> Result<Frame, SpdyError> {
    let short = |_| SpdyError::FrameTooShort(kind);
    Ok(match kind {
        SYN_STREAM => {
            let stream = body.try_get_u32().map_err(short)? & !RESERVED;
            // The stream that it belongs to, its priority and a slot: all without a meaning here.
            let _associated = body.try_get_u32().map_err(short)?;
            let _priority = body.try_get_u16().map_err(short)?;
            let (fin, unidirectional) = (flags & FIN != 0, flags & UNIDIRECTIONAL != 0);
            Frame::SynStream { stream, fin, unidirectional, block: body }
        }
        SYN_REPLY => {
            let _stream = body.try_get_u32().map_err(short)?;
            Frame::SynReply { block: body }
        }
        RST_STREAM => Frame::RstStream { stream: body.try_get_u32().map_err(short)? & !RESERVED },
        PING => Frame::Ping { id: body.try_get_u32().map_err(short)? },
        GOAWAY => Frame::GoAway,
        HEADERS => {
            let _stream = body.try_get_u32().map_err(short)?;
            Frame::Headers { block: body }
        }
        _ => Frame::Other,
    })
}

/// Appends the head of a control frame.
fn put_head(out: &mut BytesMut, kind: u16, length: u32) {
    out.put_u16(CONTROL | VERSION);
    out.put_u16(kind);
    // No control frame of ours has a flag.
    out.put_u32(length);
}

/// The answer to a SYN_STREAM.
pub(super) fn put_reply(out: &mut BytesMut, stream: StreamId, block: &[u8]) {
    put_head(out, SYN_REPLY, u32::try_from(4 + block.len()).unwrap_or(u32::MAX));
    out.put_u32(stream);
    out.put_slice(block);
}

pub(super) fn put_reset(out: &mut BytesMut, stream: StreamId, reason: ResetReason) {
    put_head(out, RST_STREAM, 8);
    out.put_u32(stream);
    out.put_u32(reason as u32);
}

pub(super) fn put_ping(out: &mut BytesMut, id: u32) {
    put_head(out, PING, 4);
    out.put_u32(id);
}

/// No stream after `last` was looked at; the connection ends well.
pub(super) fn put_go_away(out: &mut BytesMut, last: StreamId) {
    put_head(out, GOAWAY, 8);
    out.put_u32(last);
    out.put_u32(0);
}

/// The head of a data frame.
pub(super) fn data_head(stream: StreamId, length: usize, fin: bool) -> [u8; HEAD] {
    let flags = if fin { u32::from(FIN) << 24 } else { 0 };
    let (stream, rest) = (stream.to_be_bytes(), (flags | u32::try_from(length).unwrap_or(0)).to_be_bytes());
    std::array::from_fn(|at| if at < 4 { stream[at] } else { rest[at - 4] })
}

/// Data in frames of a bounded size, the last one with FIN if that is asked for: at least one frame.
pub(super) fn put_data(out: &mut BytesMut, stream: StreamId, payload: &[u8], fin: bool) {
    const LARGEST: usize = 0x00ff_ffff;
    let mut rest = payload;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(LARGEST));
        out.put_slice(&data_head(stream, piece.len(), fin && after.is_empty()));
        out.put_slice(piece);
        if after.is_empty() {
            return;
        }
        rest = after;
    }
}
