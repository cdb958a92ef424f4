//! Streams over WebSocket messages, the channel's number before what was sent on it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};

use crate::version::CommandVersion;

/// How a message holds number and bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The number as a byte, then the bytes: binary messages.
    Binary,
    /// The number as a digit, then the bytes in base64: text messages.
    Base64,
}

/// Of a WebSocket that carries a command's streams, or those of forwarded ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelProtocol {
    /// What is said on the channels.
    pub version: CommandVersion,
    /// How messages hold it.
    pub encoding: Encoding,
}

/// The number of a command's standard input.
pub const STDIN: u8 = 0;
/// Of its output.
pub const STDOUT: u8 = 1;
/// Of its errors.
pub const STDERR: u8 = 2;
/// Of its end.
pub const ERROR: u8 = 3;
/// Of the terminal's size.
pub const RESIZE: u8 = 4;
/// On which the client says, from version 5 on, that it sends no more on the channel that the next byte names.
const CLOSE: u8 = 255;

/// Something that a client said.
#[derive(Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// On a channel.
    Data {
        /// Its number.
        channel: u8,
        /// May be empty.
        payload: Bytes,
    },
    /// Nothing more will come on it.
    Close {
        /// Its number.
        channel: u8,
    },
}

/// What is no message of the protocol: the connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that names no channel, or is not encoded as was agreed")]
pub struct MessageError;

/// Reads a client's messages, in pieces as they come.
#[derive(Debug)]
pub struct ChannelReader {
    protocol: ChannelProtocol,
    state: MessageState,
}

/// What was read of a message.
#[derive(Debug)]
enum MessageState {
    Nothing,
    Channel {
        number: u8,
        /// Of base64, what does not fill a group of four yet.
        group: Vec<u8>,
    },
    /// That a channel is closed; not yet which.
    Closing,
    /// All that means something.
    Done,
}

impl ChannelReader {
    /// One that has read nothing.
    #[must_use]
    pub fn new(protocol: ChannelProtocol) -> Self {
        Self { protocol, state: MessageState::Nothing }
    }

    /// Reads a piece of a message, which may be its last. None: it says nothing, like an empty message, as clients send
    /// them to see whether anybody is there.
    ///
    /// # Errors
    ///
    /// The message names no channel, or its base64 is none.
    pub fn read(&mut self, mut piece: Bytes, last: bool) -> Result<Option<ChannelEvent>, MessageError> {
        if matches!(self.state, MessageState::Nothing) && piece.has_remaining() {
            let number = self.number(piece.get_u8())?;
            let closes = number == CLOSE && self.protocol.version >= CommandVersion::V5;
            self.state =
                if closes { MessageState::Closing } else { MessageState::Channel { number, group: Vec::new() } };
        }
        let event = match &mut self.state {
            MessageState::Nothing | MessageState::Done => None,
            MessageState::Closing if piece.is_empty() && !last => None,
            MessageState::Closing => {
                let channel = piece.try_get_u8().map_err(|_| MessageError)?;
                self.state = MessageState::Done;
                Some(ChannelEvent::Close { channel })
            }
            MessageState::Channel { number, group } => {
                let payload = match self.protocol.encoding {
                    Encoding::Binary => piece,
                    Encoding::Base64 => decode_groups(group, &piece, last)?,
                };
                Some(ChannelEvent::Data { channel: *number, payload })
            }
        };
        if last {
            self.state = MessageState::Nothing;
        }
        Ok(event)
    }

    fn number(&self, first: u8) -> Result<u8, MessageError> {
        match self.protocol.encoding {
            Encoding::Binary => Ok(first),
            Encoding::Base64 => first.checked_sub(b'0').filter(|digit| *digit < 10).ok_or(MessageError),
        }
    }
}

/// Decodes all whole groups of four; what is left waits in `group`.
fn decode_groups(group: &mut Vec<u8>, piece: &[u8], last: bool) -> Result<Bytes, MessageError> {
    group.extend_from_slice(piece);
    let whole = if last { group.len() } else { group.len() - group.len() % 4 };
    let payload = STANDARD.decode(&group[..whole]).map_err(|_| MessageError)?;
    group.drain(..whole);
    Ok(payload.into())
}

impl Encoding {
    /// The message that says `payload` on `channel`, which is below 10.
    #[must_use]
    pub fn encode(self, channel: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Binary => [&[channel], payload].concat(),
            Self::Base64 => {
                let mut message = String::with_capacity(1 + payload.len().div_ceil(3) * 4);
                message.push(char::from(b'0' + channel));
                STANDARD.encode_string(payload, &mut message);
                message.into_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V5: ChannelProtocol = ChannelProtocol { version: CommandVersion::V5, encoding: Encoding::Binary };
    const V4: ChannelProtocol = ChannelProtocol { version: CommandVersion::V4, encoding: Encoding::Binary };
    const TEXT: ChannelProtocol = ChannelProtocol { version: CommandVersion::V4, encoding: Encoding::Base64 };

    /// All that follows from a message that comes in pieces of `size`, data joined.
    fn read(protocol: ChannelProtocol, message: &[u8], size: usize) -> Result<Option<ChannelEvent>, MessageError> {
        let mut reader = ChannelReader::new(protocol);
        let (mut all, mut pieces) = (None, message.chunks(size).peekable());
        loop {
            let piece = Bytes::copy_from_slice(pieces.next().unwrap_or_default());
            let last = pieces.peek().is_none();
            all = match (all, reader.read(piece, last)?) {
                (Some(ChannelEvent::Data { channel, payload }), Some(ChannelEvent::Data { payload: more, .. })) => {
                    Some(ChannelEvent::Data { channel, payload: [payload, more].concat().into() })
                }
                (before, event) => event.or(before),
            };
            if last {
                assert!(matches!(reader.state, MessageState::Nothing));
                return Ok(all);
            }
        }
    }

    fn data(channel: u8, payload: &[u8]) -> Result<Option<ChannelEvent>, MessageError> {
        Ok(Some(ChannelEvent::Data { channel, payload: Bytes::copy_from_slice(payload) }))
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for (protocol, size) in [(V5, 1), (V4, 3), (TEXT, 1), (TEXT, 5), (TEXT, 2000)] {
            for payload in [&b""[..], b"a", b"\0\xff\n", &[7; 1000]] {
                assert_eq!(read(protocol, &protocol.encoding.encode(STDOUT, payload), size), data(STDOUT, payload));
            }
        }
        assert_eq!(Encoding::Base64.encode(ERROR, b"ok"), b"3b2s=");
    }

    #[test]
    fn what_clients_send() {
        for size in [1, 10] {
            assert_eq!(read(V5, b"", size), Ok(None));
            assert_eq!(read(V5, b"\x00", size), data(STDIN, b""));
            assert_eq!(read(V5, b"\xff\x00", size), Ok(Some(ChannelEvent::Close { channel: STDIN })));
            assert_eq!(read(V5, b"\xff\x00 and more", size), Ok(Some(ChannelEvent::Close { channel: STDIN })));
            assert_eq!(read(V5, b"\xff", size), Err(MessageError));
            // An older client can't mean that.
            assert_eq!(read(V4, b"\xff\x00", size), data(255, b"\0"));
            assert_eq!(read(TEXT, b"0aGk=", size), data(STDIN, b"hi"));
            for wrong in [&b"xaGk="[..], b"0a", b"0!!!!"] {
                assert_eq!(read(TEXT, wrong, size), Err(MessageError));
            }
        }
    }
}
