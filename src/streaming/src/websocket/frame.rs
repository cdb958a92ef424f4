//! Frames as they stand on the wire (section 5.2).

use bytes::{Buf, BytesMut};

use super::error::SocketError;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// From this one on they are control frames.
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Payload of a control frame, at most; also the longest whose length fits into the second byte.
const SHORT: u8 = 125;
/// In place of a short length: it follows in two bytes, or in eight.
const IN_TWO: u8 = 126;
const IN_EIGHT: u8 = 127;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// The rest of a message.
    Continuation,
    /// The begin of one, binary or text: what it means follows from the protocol.
    Message,
    Close,
    Ping,
    Pong,
}

/// The head of a client's frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    pub(super) kind: FrameKind,
    /// The last of its message.
    pub(super) last: bool,
    pub(super) length: u64,
    pub(super) mask: [u8; 4],
}

impl FrameHead {
    /// Takes one off `input`; none if more has to come first.
    pub(super) fn take(input: &mut BytesMut) -> Result<Option<Self>, SocketError> {
        let Some(&[first, second]) = input.first_chunk() else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(SocketError::Reserved);
        }
        if second & MASKED == 0 {
            return Err(SocketError::Unmasked);
        }
        let kind = match first & 0x0f {
            0 => FrameKind::Continuation,
            1 | 2 => FrameKind::Message,
            CLOSE => FrameKind::Close,
            PING => FrameKind::Ping,
            PONG => FrameKind::Pong,
            other => return Err(SocketError::Kind(other)),
        };
        let (last, short) = (first & FIN != 0, second & !MASKED);
        let is_control = !matches!(kind, FrameKind::Continuation | FrameKind::Message);
        if is_control && (!last || short > SHORT) {
            return Err(SocketError::Control);
        }
        let mut rest = &input[2..];
        let length = match short {
            IN_TWO => rest.try_get_u16().map(u64::from),
            IN_EIGHT => rest.try_get_u64(),
            short => Ok(short.into()),
        };
        let (Ok(length), Ok(mask)) = (length, rest.try_get_u32()) else { return Ok(None) };
        if length >> 63 != 0 {
            return Err(SocketError::Length);
        }
        let used = input.len() - rest.len();
        input.advance(used);
        Ok(Some(Self { kind, last, length, mask: mask.to_be_bytes() }))
    }
}

/// Takes the mask off a piece of a frame; answers the mask of the piece that follows.
pub(super) fn unmask(piece: &mut [u8], mask: [u8; 4]) -> [u8; 4] {
    let wide = u64::from_ne_bytes(std::array::from_fn(|at| mask[at % 4]));
    let (chunks, rest) = piece.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let used = rest.len();
    std::array::from_fn(|at| mask[(at + used) % 4])
}

/// What a message of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// What stands before a message of ours, which is one frame.
#[derive(Clone, Copy, Debug)]
pub struct MessageHead {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl MessageHead {
    /// Bytes of the longest.
    pub const LONGEST: usize = 10;

    /// Before so many bytes.
    #[must_use]
    pub fn new(kind: MessageKind, payload: usize) -> Self {
        let opcode = match kind {
            MessageKind::Text => 1,
            MessageKind::Binary => 2,
        };
        Self::of(opcode, payload)
    }

    pub(super) fn close(payload: usize) -> Self {
        Self::of(CLOSE, payload)
    }

    pub(super) fn pong(payload: usize) -> Self {
        Self::of(PONG, payload)
    }

    fn of(opcode: u8, payload: usize) -> Self {
        let mut bytes = [0; Self::LONGEST];
        bytes[0] = FIN | opcode;
        let length = match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short @ ..=SHORT), _) => {
                bytes[1] = short;
                2
            }
            (_, Ok(middle)) => {
                bytes[1] = IN_TWO;
                bytes[2..4].copy_from_slice(&middle.to_be_bytes());
                4
            }
            _ => {
                bytes[1] = IN_EIGHT;
                bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
                Self::LONGEST
            }
        };
        Self { bytes, length }
    }

    /// As it is sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
