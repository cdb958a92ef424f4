//! A WebSocket after its handshake.

use bytes::{BufMut, Bytes, BytesMut};

use super::error::SocketError;
use super::frame::{FrameHead, FrameKind, MessageHead, MessageKind, unmask};

/// The end of all is well (section 7.4.1).
const NORMAL: u16 = 1000;

/// Something that a client did.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketEvent {
    /// It sent a piece of a message.
    Piece {
        /// May be empty.
        payload: Bytes,
        /// Of the message.
        first: bool,
        /// Of the message.
        last: bool,
    },
    /// It has ended the WebSocket, or agrees to its end: nothing more comes.
    Closed,
}

/// The server's end of a WebSocket. Bytes go into [`receive`](Self::receive) and come out of
/// [`take_output`](Self::take_output), in any pieces; messages are sent by writing a [`MessageHead`] before them.
#[derive(Debug, Default)]
pub struct WebSocket {
    /// The frame whose head was read.
    frame: Option<FrameRest>,
    /// A message has begun, and goes on in the next frame that is not a control frame.
    in_message: bool,
    output: BytesMut,
    closing: bool,
}

#[derive(Debug)]
struct FrameRest {
    first: bool,
    last: bool,
    left: u64,
    mask: [u8; 4],
}

impl WebSocket {
    /// The next thing that the client did, taken off `input`; none if more bytes have to come first. Pings are
    /// answered.
    ///
    /// # Errors
    ///
    /// The bytes make no sense: the connection has to end.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<SocketEvent>, SocketError> {
        loop {
            if let Some(rest) = self.frame.take() {
                return Ok(self.piece(rest, input));
            }
            // A control frame is looked at once all of it is here; its head is not taken before.
            if is_cut_control(input) {
                return Ok(None);
            }
            let Some(head) = FrameHead::take(input)? else { return Ok(None) };
            match head.kind {
                FrameKind::Message if self.in_message => return Err(SocketError::Order),
                FrameKind::Continuation if !self.in_message => return Err(SocketError::Order),
                FrameKind::Message | FrameKind::Continuation => {
                    self.in_message = !head.last;
                    let first = head.kind == FrameKind::Message;
                    self.frame = Some(FrameRest { first, last: head.last, left: head.length, mask: head.mask });
                }
                FrameKind::Close | FrameKind::Ping | FrameKind::Pong => {
                    let length = usize::try_from(head.length).unwrap_or(usize::MAX).min(input.len());
                    let mut payload = input.split_to(length);
                    unmask(&mut payload, head.mask);
                    match head.kind {
                        FrameKind::Close => {
                            self.put_close(&payload);
                            return Ok(Some(SocketEvent::Closed));
                        }
                        FrameKind::Ping => {
                            self.output.put_slice(MessageHead::pong(payload.len()).as_bytes());
                            self.output.put_slice(&payload);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// What is here of a frame. An empty one is a piece too: a message ends with it.
    fn piece(&mut self, mut rest: FrameRest, input: &mut BytesMut) -> Option<SocketEvent> {
        if rest.left > 0 && input.is_empty() {
            self.frame = Some(rest);
            return None;
        }
        let length = usize::try_from(rest.left).unwrap_or(usize::MAX).min(input.len());
        let mut payload = input.split_to(length);
        rest.mask = unmask(&mut payload, rest.mask);
        rest.left -= length as u64;
        let (first, last) = (rest.first, rest.last && rest.left == 0);
        if rest.left > 0 {
            rest.first = false;
            self.frame = Some(rest);
        }
        Some(SocketEvent::Piece { payload: payload.freeze(), first, last })
    }

    /// Sends a whole message.
    pub fn send(&mut self, kind: MessageKind, payload: &[u8]) {
        self.output.put_slice(MessageHead::new(kind, payload.len()).as_bytes());
        self.output.put_slice(payload);
    }

    /// Says that the WebSocket ends well. The client answers that.
    pub fn close(&mut self) {
        self.put_close(&NORMAL.to_be_bytes());
    }

    /// Once: it is the last that is sent.
    fn put_close(&mut self, payload: &[u8]) {
        if !std::mem::replace(&mut self.closing, true) {
            self.output.put_slice(MessageHead::close(payload.len()).as_bytes());
            self.output.put_slice(payload);
        }
    }

    /// What is to be written to the client, so far.
    pub fn take_output(&mut self) -> BytesMut {
        self.output.split()
    }
}

/// Whether a control frame begins there of which something is missing.
fn is_cut_control(input: &[u8]) -> bool {
    const CONTROL: u8 = 0x08;
    const MASK: usize = 4;
    match input {
        [first, second, rest @ ..] if first & CONTROL != 0 => {
            let length = usize::from(second & 0x7f);
            // A longer one is an error, however much of it is here.
            length < 126 && rest.len() < MASK + length
        }
        _ => false,
    }
}
