//! Streams over WebSocket messages, the channel's number before what was sent on it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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

/// A message that a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum ChannelMessage {
    /// Something on a channel.
    Data {
        /// Its number.
        channel: u8,
        /// May be empty.
        payload: Vec<u8>,
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

impl ChannelProtocol {
    /// Reads a message. None: it is empty, as clients send them to see whether anybody is there.
    ///
    /// # Errors
    ///
    /// It names no channel, or its base64 is none.
    pub fn decode(self, message: &[u8]) -> Result<Option<ChannelMessage>, MessageError> {
        let Some((first, rest)) = message.split_first() else { return Ok(None) };
        let (channel, payload) = match self.encoding {
            Encoding::Binary => (*first, rest.to_vec()),
            Encoding::Base64 => {
                let digit = first.checked_sub(b'0').filter(|digit| *digit < 10).ok_or(MessageError)?;
                (digit, STANDARD.decode(rest).map_err(|_| MessageError)?)
            }
        };
        if channel == CLOSE && self.version >= CommandVersion::V5 {
            let channel = *payload.first().ok_or(MessageError)?;
            return Ok(Some(ChannelMessage::Close { channel }));
        }
        Ok(Some(ChannelMessage::Data { channel, payload }))
    }
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

    fn data(channel: u8, payload: &[u8]) -> Result<Option<ChannelMessage>, MessageError> {
        Ok(Some(ChannelMessage::Data { channel, payload: payload.to_vec() }))
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for protocol in [V5, V4, TEXT] {
            for payload in [&b""[..], b"a", b"\0\xff\n", &[7; 1000]] {
                assert_eq!(protocol.decode(&protocol.encoding.encode(STDOUT, payload)), data(STDOUT, payload));
            }
        }
        assert_eq!(Encoding::Base64.encode(ERROR, b"ok"), b"3b2s=");
    }

    #[test]
    fn what_clients_send() {
        assert_eq!(V5.decode(b""), Ok(None));
        assert_eq!(V5.decode(b"\x00"), data(STDIN, b""));
        assert_eq!(V5.decode(b"\xff\x00"), Ok(Some(ChannelMessage::Close { channel: STDIN })));
        assert_eq!(V5.decode(b"\xff"), Err(MessageError));
        // An older client can't mean that.
        assert_eq!(V4.decode(b"\xff\x00"), data(255, b"\0"));
        assert_eq!(TEXT.decode(b"0aGk="), data(STDIN, b"hi"));
        for wrong in [&b"xaGk="[..], b"0a", b"0!!!!"] {
            assert_eq!(TEXT.decode(wrong), Err(MessageError));
        }
    }
}
