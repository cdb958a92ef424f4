//! How a client's streams are held by its connection: the three ways, behind one table of what can be done.

use bytes::{Bytes, BytesMut};

use super::outgoing::OutputQueue;
use super::{ClientError, ClientEvent};
use crate::channels::{ChannelEvent, ChannelProtocol, ChannelReader, Encoding};
use crate::spdy::{SpdyConnection, SpdyEvent, StreamId};
use crate::websocket::{MessageHead, MessageKind, SocketEvent, WebSocket};

/// How streams are held by a connection.
#[derive(Debug)]
pub(super) enum Framing {
    /// SPDY alone.
    Spdy(Box<SpdyConnection>),
    /// SPDY within WebSocket messages, whose borders mean nothing.
    Tunnel(Box<Tunnel>),
    /// WebSocket messages: a stream's number is that of its channel.
    Channels(Box<Channels>),
}

#[derive(Debug)]
pub(super) struct Tunnel {
    socket: WebSocket,
    spdy: SpdyConnection,
    /// What came for SPDY and was not read.
    inner: BytesMut,
}

#[derive(Debug)]
pub(super) struct Channels {
    socket: WebSocket,
    reader: ChannelReader,
    encoding: Encoding,
}

impl Framing {
    pub(super) fn spdy() -> Self {
        Self::Spdy(Box::default())
    }

    pub(super) fn tunnel() -> Self {
        Self::Tunnel(Box::new(Tunnel {
            socket: WebSocket::default(),
            spdy: SpdyConnection::default(),
            inner: BytesMut::new(),
        }))
    }

    pub(super) fn channels(protocol: ChannelProtocol) -> Self {
        let ChannelProtocol { encoding, .. } = protocol;
        Self::Channels(Box::new(Channels {
            socket: WebSocket::default(),
            reader: ChannelReader::new(protocol),
            encoding,
        }))
    }

    /// The next thing that the client did; none if more bytes have to come first.
    pub(super) fn receive(&mut self, input: &mut BytesMut) -> Result<Option<ClientEvent>, ClientError> {
        match self {
            Self::Spdy(spdy) => Ok(spdy.receive(input)?.map(of_spdy)),
            Self::Tunnel(tunnel) => tunnel.receive(input),
            Self::Channels(channels) => channels.receive(input),
        }
    }

    fn spdy_mut(&mut self) -> Option<&mut SpdyConnection> {
        match self {
            Self::Spdy(spdy) => Some(spdy),
            Self::Tunnel(tunnel) => Some(&mut tunnel.spdy),
            Self::Channels(_) => None,
        }
    }

    /// Channels are open from the begin.
    pub(super) fn accept(&mut self, stream: StreamId) {
        if let Some(spdy) = self.spdy_mut() {
            spdy.accept(stream);
        }
    }

    pub(super) fn open_no_more(&mut self) {
        if let Some(spdy) = self.spdy_mut() {
            spdy.open_no_more();
        }
    }

    /// Of a channel a server can't tell that.
    pub(super) fn finish(&mut self, stream: StreamId) {
        if let Some(spdy) = self.spdy_mut() {
            spdy.finish(stream);
        }
    }

    /// As [`finish`](Self::finish).
    pub(super) fn reset(&mut self, stream: StreamId) {
        if let Some(spdy) = self.spdy_mut() {
            spdy.reset(stream);
        }
    }

    pub(super) fn send(&mut self, stream: StreamId, payload: &[u8]) {
        match self {
            Self::Spdy(spdy) => spdy.send(stream, payload),
            Self::Tunnel(tunnel) => tunnel.spdy.send(stream, payload),
            Self::Channels(channels) => {
                let message = channels.encoding.encode(channel(stream), payload);
                channels.socket.send(kind(channels.encoding), &message);
            }
        }
    }

    /// Whether what is sent on streams goes as it is.
    pub(super) fn is_binary(&self) -> bool {
        match self {
            Self::Spdy(_) | Self::Tunnel(_) => true,
            Self::Channels(channels) => channels.encoding == Encoding::Binary,
        }
    }

    /// Whether the client takes what is sent on it.
    pub(super) fn is_open(&self, stream: StreamId) -> bool {
        match self {
            Self::Spdy(spdy) => spdy.is_open(stream),
            Self::Tunnel(tunnel) => tunnel.spdy.is_open(stream),
            Self::Channels(_) => true,
        }
    }

    /// Puts before a payload that is to be sent on a stream what belongs there.
    pub(super) fn put_heads(&mut self, stream: StreamId, outgoing: &mut OutputQueue) {
        match self {
            Self::Spdy(_) => outgoing.prepend(&SpdyConnection::data_head(stream, outgoing.len())),
            Self::Tunnel(_) => {
                outgoing.prepend(&SpdyConnection::data_head(stream, outgoing.len()));
                outgoing.prepend(MessageHead::new(MessageKind::Binary, outgoing.len()).as_bytes());
            }
            Self::Channels(channels) if channels.encoding == Encoding::Binary => {
                outgoing.prepend(&[channel(stream)]);
                outgoing.prepend(MessageHead::new(MessageKind::Binary, outgoing.len()).as_bytes());
            }
            Self::Channels(channels) => {
                let message = channels.encoding.encode(channel(stream), outgoing.pending());
                outgoing.advance(outgoing.len());
                channels.socket.send(MessageKind::Text, &message);
            }
        }
    }

    /// Says that the connection ends well.
    pub(super) fn close(&mut self) {
        match self {
            Self::Spdy(spdy) => spdy.go_away(),
            Self::Tunnel(tunnel) => {
                tunnel.spdy.go_away();
                tunnel.wrap();
                tunnel.socket.close();
            }
            Self::Channels(channels) => channels.socket.close(),
        }
    }

    /// What is to be written to the client, so far.
    pub(super) fn take_output(&mut self) -> BytesMut {
        match self {
            Self::Spdy(spdy) => spdy.take_output(),
            Self::Tunnel(tunnel) => {
                tunnel.wrap();
                tunnel.socket.take_output()
            }
            Self::Channels(channels) => channels.socket.take_output(),
        }
    }
}

impl Tunnel {
    fn receive(&mut self, input: &mut BytesMut) -> Result<Option<ClientEvent>, ClientError> {
        loop {
            if let Some(event) = self.spdy.receive(&mut self.inner)? {
                return Ok(Some(of_spdy(event)));
            }
            match self.socket.receive(input)? {
                Some(SocketEvent::Piece { payload, .. }) => self.inner.extend_from_slice(&payload),
                Some(SocketEvent::Closed) => return Ok(Some(ClientEvent::Closed)),
                None => {
                    if self.inner.is_empty() {
                        self.inner = BytesMut::new();
                    }
                    return Ok(None);
                }
            }
        }
    }

    fn wrap(&mut self) {
        let output = self.spdy.take_output();
        if !output.is_empty() {
            self.socket.send(MessageKind::Binary, &output);
        }
    }
}

impl Channels {
    fn receive(&mut self, input: &mut BytesMut) -> Result<Option<ClientEvent>, ClientError> {
        loop {
            let (payload, last) = match self.socket.receive(input)? {
                Some(SocketEvent::Piece { payload, last, .. }) => (payload, last),
                Some(SocketEvent::Closed) => return Ok(Some(ClientEvent::Closed)),
                None => return Ok(None),
            };
            match self.reader.read(payload, last)? {
                Some(ChannelEvent::Data { channel, payload }) => {
                    return Ok(Some(ClientEvent::Data { stream: channel.into(), payload, last: false }));
                }
                Some(ChannelEvent::Close { channel }) => {
                    return Ok(Some(ClientEvent::Data { stream: channel.into(), payload: Bytes::new(), last: true }));
                }
                None => {}
            }
        }
    }
}

fn of_spdy(event: SpdyEvent) -> ClientEvent {
    match event {
        SpdyEvent::Opened { stream, headers, ended: _ } => ClientEvent::Opened { stream, headers },
        SpdyEvent::Data { stream, payload, last } => ClientEvent::Data { stream, payload, last },
        SpdyEvent::Reset(stream) => ClientEvent::Reset(stream),
        SpdyEvent::GoAway => ClientEvent::GoAway,
    }
}

/// The number of a stream that is a channel.
fn channel(stream: StreamId) -> u8 {
    u8::try_from(stream).unwrap_or(u8::MAX)
}

/// What all messages of an encoding are.
fn kind(encoding: Encoding) -> MessageKind {
    match encoding {
        Encoding::Binary => MessageKind::Binary,
        Encoding::Base64 => MessageKind::Text,
    }
}
