//! A client of SPDY, written from the specification.

use std::collections::BTreeMap;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use peapod_streaming::spdy::dictionary;
use peapod_streaming_protocol::SessionToken;

use crate::stage::{Server, soon};
use crate::wire::{Answer, Wire, ask};

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Reply(u32),
    Reset(u32, u32),
    Ping(u32),
    GoAway,
    Data { stream: u32, payload: Vec<u8>, fin: bool },
}

pub(crate) struct SpdyClient {
    wire: Wire,
    compress: Compress,
    inflate: Decompress,
    input: Vec<u8>,
    last: u32,
}

/// What came on each stream, and in which order streams ended.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) streams: BTreeMap<u32, Vec<u8>>,
    pub(crate) ended: Vec<u32>,
    pub(crate) reset: Vec<u32>,
    pub(crate) gone_away: bool,
}

impl Session {
    pub(crate) fn text(&self, stream: u32) -> String {
        String::from_utf8(self.streams.get(&stream).cloned().unwrap_or_default()).unwrap()
    }
}

pub(crate) const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")];

/// Upgrades a connection for a session.
pub(crate) async fn upgrade(server: &Server, path: &str, token: SessionToken, version: &str) -> (SpdyClient, Answer) {
    let mut tcp = server.connect().await;
    let headers = [UPGRADE[0], UPGRADE[1], ("X-Stream-Protocol-Version", version)];
    let answer = ask(&mut tcp, "POST", &format!("/{path}/{}?command=x", token.as_str()), &headers).await;
    assert_eq!(answer.status, 101);
    (SpdyClient::new(Wire::Tcp(tcp), &answer.rest), answer)
}

impl SpdyClient {
    pub(crate) fn new(wire: Wire, early: &[u8]) -> Self {
        let mut compress = Compress::new(Compression::default(), true);
        compress.set_dictionary(&dictionary()).unwrap();
        Self { wire, compress, inflate: Decompress::new(true), input: early.to_vec(), last: 0 }
    }

    /// The client of an exec with version 4, whose streams are open.
    pub(crate) async fn exec(server: &Server, token: SessionToken, streams: &[&str]) -> (Self, Vec<u32>) {
        let (mut client, _) = upgrade(server, "exec", token, "v4.channel.k8s.io").await;
        let ids = client.open_kinds(streams).await;
        (client, ids)
    }

    pub(crate) async fn open_kinds(&mut self, kinds: &[&str]) -> Vec<u32> {
        let mut ids = Vec::new();
        for kind in kinds {
            ids.push(self.open(&[("streamtype", kind)]).await);
        }
        for id in &ids {
            assert_eq!(self.next().await, Some(Frame::Reply(*id)));
        }
        ids
    }

    fn block(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.as_bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 1024);
        self.compress.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
        block
    }

    /// A frame that opens the next stream, not sent.
    pub(crate) fn opening(&mut self, headers: &[(&str, &str)]) -> (u32, Vec<u8>) {
        let stream = if self.last == 0 { 1 } else { self.last + 2 };
        self.last = stream;
        let block = self.block(headers);
        (stream, control(1, &[&stream.to_be_bytes()[..], &[0; 6], &block].concat()))
    }

    pub(crate) async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let (stream, frame) = self.opening(headers);
        self.send(&frame).await;
        stream
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.wire.send(bytes).await;
    }

    pub(crate) async fn data(&mut self, stream: u32, payload: &[u8]) {
        self.send(&data(stream, payload, false)).await;
    }

    pub(crate) async fn finish(&mut self, stream: u32) {
        self.send(&data(stream, b"", true)).await;
    }

    pub(crate) async fn reset(&mut self, stream: u32) {
        self.send(&control(3, &[stream.to_be_bytes(), 5u32.to_be_bytes()].concat())).await;
    }

    pub(crate) async fn ping(&mut self, id: u32) {
        self.send(&control(6, &id.to_be_bytes())).await;
    }

    /// The next frame; none at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        soon(async {
            loop {
                if let Some(frame) = self.take() {
                    return Some(frame);
                }
                let Some(bytes) = self.wire.receive().await else {
                    assert!(self.input.is_empty(), "the connection ends within a frame");
                    return None;
                };
                self.input.extend(bytes);
            }
        })
        .await
    }

    fn take(&mut self) -> Option<Frame> {
        let head: [u8; 8] = self.input.get(..8)?.try_into().unwrap();
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let length = (number(&head[4..]) & 0x00ff_ffff) as usize;
        if self.input.len() < 8 + length {
            return None;
        }
        let body: Vec<u8> = self.input.drain(..8 + length).skip(8).collect();
        if head[0] & 0x80 == 0 {
            return Some(Frame::Data { stream: number(&head), payload: body, fin: head[4] & 1 != 0 });
        }
        assert_eq!(&head[..3], [0x80, 3, 0]);
        Some(match head[3] {
            2 => {
                self.read_block(&body[4..]);
                Frame::Reply(number(&body))
            }
            3 => Frame::Reset(number(&body), number(&body[4..])),
            6 => Frame::Ping(number(&body)),
            7 => Frame::GoAway,
            other => panic!("a control frame of type {other}"),
        })
    }

    /// The server's headers are empty, and each block can be read by itself, as Go's reader needs it.
    fn read_block(&mut self, mut block: &[u8]) {
        let mut plain = Vec::with_capacity(64);
        while !block.is_empty() {
            let before = self.inflate.total_in();
            if let Err(error) = self.inflate.decompress_vec(block, &mut plain, FlushDecompress::Sync) {
                assert!(error.needs_dictionary().is_some());
                self.inflate.set_dictionary(&dictionary()).unwrap();
            }
            block = &block[(self.inflate.total_in() - before) as usize..];
        }
        assert_eq!(plain, [0; 4]);
    }

    /// What carries it, for who reads frames by himself or not at all.
    pub(crate) fn into_tcp(self) -> tokio::net::TcpStream {
        match self.wire {
            Wire::Tcp(tcp) => tcp,
            Wire::Tls(_) | Wire::Tunnel(_) => panic!("no plain connection"),
        }
    }

    /// All that comes until the end of the connection.
    pub(crate) async fn rest(&mut self) -> Session {
        let mut session = Session::default();
        while let Some(frame) = self.next().await {
            match frame {
                Frame::Data { stream, payload, fin } => {
                    assert!(!session.ended.contains(&stream), "something comes after a stream's end");
                    session.streams.entry(stream).or_default().extend(payload);
                    if fin {
                        session.ended.push(stream);
                    }
                }
                Frame::Reset(stream, _) => session.reset.push(stream),
                Frame::GoAway => session.gone_away = true,
                Frame::Ping(_) => {}
                Frame::Reply(stream) => panic!("an answer for {stream}"),
            }
        }
        session
    }

    /// So many bytes of a stream, on which nothing else comes meanwhile.
    pub(crate) async fn read(&mut self, wanted: u32, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            match self.next().await {
                Some(Frame::Data { stream, payload, .. }) if stream == wanted => bytes.extend(payload),
                Some(Frame::Ping(_)) => {}
                other => panic!("{other:?} after {} bytes", bytes.len()),
            }
        }
        bytes
    }
}

pub(crate) fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[0x80, 3][..], &kind.to_be_bytes(), &[0], &length[1..], body].concat()
}

pub(crate) fn data(stream: u32, payload: &[u8], fin: bool) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&stream.to_be_bytes()[..], &[u8::from(fin)], &length[1..], payload].concat()
}
