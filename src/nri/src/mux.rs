//! Several connections over one, as the interface has them: frames with the number of a connection and their length.
//! Pure.
//!
//! What goes through each of them is ttrpc: messages with a header of their own, which may be cut into frames anywhere.

use crate::bounds::SENT_BYTES;

/// The connection on which a plugin is called.
pub(crate) const TO_PLUGIN: u32 = 1;
/// The connection on which the runtime is called.
pub(crate) const TO_RUNTIME: u32 = 2;

/// Bytes of a frame's header.
pub(crate) const FRAME_HEADER: usize = 8;
/// Bytes of a message's header.
const MESSAGE_HEADER: usize = 10;
/// A message's first frame: readers take a header with whatever comes in one read of so many bytes, and a frame is
/// nothing that they can read in parts.
const FIRST_FRAME: usize = 4096;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// Why what came is none of the protocol's: the connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MuxError {
    #[error("it sent a frame of {0} bytes; {1} are the most")]
    Frame(usize, usize),
    #[error("it sent a message of {0} bytes; {1} are the most")]
    Message(usize, usize),
    #[error("it sent a message of kind {0}, which is neither a request nor a response")]
    Kind(u8),
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MuxMessageKind {
    Request,
    Response,
}

/// A message of ttrpc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MuxMessage {
    pub(crate) kind: MuxMessageKind,
    /// Of the call that it belongs to.
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) connection: u32,
    pub(crate) length: usize,
}

impl FrameHeader {
    /// Reads a header. `most` is the length of the longest message that is taken.
    pub(crate) fn parse(bytes: [u8; FRAME_HEADER], most: usize) -> Result<Self, MuxError> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let length = usize::try_from(u32::from_be_bytes([e, f, g, h])).unwrap_or(usize::MAX);
        if length > MESSAGE_HEADER + most {
            return Err(MuxError::Frame(length, MESSAGE_HEADER + most));
        }
        Ok(Self { connection: u32::from_be_bytes([a, b, c, d]), length })
    }
}

/// A message as it goes over the wire; `None` if it is too long for that.
pub(crate) fn encode(connection: u32, message: &MuxMessage) -> Option<Vec<u8>> {
    let length = message.payload.len();
    if length > SENT_BYTES {
        return None;
    }
    let kind = match message.kind {
        MuxMessageKind::Request => REQUEST,
        MuxMessageKind::Response => RESPONSE,
    };
    let mut bytes = Vec::with_capacity(MESSAGE_HEADER + length);
    bytes.extend(u32::try_from(length).ok()?.to_be_bytes());
    bytes.extend(message.stream.to_be_bytes());
    bytes.extend([kind, 0]);
    bytes.extend(&message.payload);
    let (first, rest) = bytes.split_at(FIRST_FRAME.min(bytes.len()));
    let mut frames = Vec::with_capacity(2 * FRAME_HEADER + bytes.len());
    for frame in [first, rest] {
        if !frame.is_empty() {
            frames.extend(connection.to_be_bytes());
            frames.extend(u32::try_from(frame.len()).ok()?.to_be_bytes());
            frames.extend(frame);
        }
    }
    Some(frames)
}

/// Puts the messages of one connection together again.
#[derive(Debug)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    most: usize,
}

impl Assembly {
    /// `most` is the length of the longest message that is taken.
    pub(crate) fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    /// Takes a frame's content, and gives the messages that are whole with it.
    pub(crate) fn take(&mut self, frame: &[u8]) -> Result<Vec<MuxMessage>, MuxError> {
        self.bytes.extend_from_slice(frame);
        let (mut messages, mut rest) = (Vec::new(), self.bytes.as_slice());
        while let Some((header, behind)) = rest.split_first_chunk::<MESSAGE_HEADER>() {
            let [a, b, c, d, e, f, g, h, kind, _flags] = *header;
            let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
            if length > self.most {
                return Err(MuxError::Message(length, self.most));
            }
            let kind = match kind {
                REQUEST => MuxMessageKind::Request,
                RESPONSE => MuxMessageKind::Response,
                other => return Err(MuxError::Kind(other)),
            };
            let Some((payload, behind)) = behind.split_at_checked(length) else { break };
            messages.push(MuxMessage { kind, stream: u32::from_be_bytes([e, f, g, h]), payload: payload.to_vec() });
            rest = behind;
        }
        let taken = self.bytes.len() - rest.len();
        self.bytes.drain(..taken);
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::RECEIVED_BYTES;

    fn message(stream: u32, bytes: usize) -> MuxMessage {
        MuxMessage { kind: MuxMessageKind::Request, stream, payload: vec![7; bytes] }
    }

    /// What comes out of what was sent, in pieces of that size.
    fn through(messages: &[MuxMessage], piece: usize) -> Vec<MuxMessage> {
        let mut wire: Vec<u8> = messages.iter().flat_map(|message| encode(TO_PLUGIN, message).unwrap()).collect();
        let (mut assembly, mut whole) = (Assembly::new(RECEIVED_BYTES), Vec::new());
        while !wire.is_empty() {
            let header = FrameHeader::parse(wire[..FRAME_HEADER].try_into().unwrap(), RECEIVED_BYTES).unwrap();
            assert_eq!(header.connection, TO_PLUGIN);
            let rest = wire.split_off(FRAME_HEADER + header.length);
            for part in wire[FRAME_HEADER..].chunks(piece) {
                whole.extend(assembly.take(part).unwrap());
            }
            wire = rest;
        }
        assert!(assembly.bytes.is_empty());
        whole
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        for bytes in [0, 1, 4085, 4086, 4087, 9000, RECEIVED_BYTES] {
            let sent = [message(1, bytes), message(3, 2)];
            for piece in [1, 9, 10, 4096, 1 << 21] {
                if bytes < 10_000 || piece > 100 {
                    assert_eq!(through(&sent, piece), sent, "{bytes} bytes in pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn the_first_frame_fits_into_one_read_and_the_rest_is_one_frame() {
        let wire = encode(TO_RUNTIME, &message(5, 100_000)).unwrap();
        let header =
            |at: usize| FrameHeader::parse(wire[at..at + FRAME_HEADER].try_into().unwrap(), RECEIVED_BYTES).unwrap();
        assert_eq!(header(0), FrameHeader { connection: TO_RUNTIME, length: 4096 });
        assert_eq!(header(8 + 4096).length, 100_010 - 4096);
    }

    #[test]
    fn what_is_too_long_ends_the_connection() {
        assert!(encode(TO_PLUGIN, &message(1, SENT_BYTES + 1)).is_none());
        let frame = |length: u32| {
            FrameHeader::parse([[0, 0, 0, 1], length.to_be_bytes()].concat().try_into().unwrap(), RECEIVED_BYTES)
        };
        assert!(frame(u32::try_from(RECEIVED_BYTES).unwrap() + 10).is_ok());
        assert!(matches!(frame(u32::MAX), Err(MuxError::Frame(..))));
        let head = |length: u32, kind| [&length.to_be_bytes()[..], &[0, 0, 0, 1, kind, 0]].concat();
        assert!(matches!(Assembly::new(RECEIVED_BYTES).take(&head(u32::MAX, REQUEST)), Err(MuxError::Message(..))));
        assert!(matches!(Assembly::new(RECEIVED_BYTES).take(&head(0, 3)), Err(MuxError::Kind(3))));
    }
}
