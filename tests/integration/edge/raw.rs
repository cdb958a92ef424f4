//! A client that speaks HTTP/2 by hand, so that it can do what no library does.

use std::path::Path;

use peapod_tests::default_timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const GOAWAY: u8 = 7;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const VERSION: &str = "/runtime.v1.RuntimeService/Version";

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 127, "a number of one byte");
    [&[length], text].concat()
}

/// A field that is not remembered, under a name of its own.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0], &text(name.as_bytes())[..], &text(value.as_bytes())].concat()
}

/// The fields of a call, without an authority.
pub(crate) fn call(path: &str) -> Vec<u8> {
    let method = [0x83, 0x86].to_vec();
    [method, field(":path", path), field("content-type", "application/grpc"), field("te", "trailers")].concat()
}

/// The same with one, behind the other fields that begin with a colon.
pub(crate) fn call_to(path: &str, authority: &[u8]) -> Vec<u8> {
    let method = [0x83, 0x86].to_vec();
    let rest = [field("content-type", "application/grpc"), field("te", "trailers")].concat();
    [method, field(":path", path), authority.to_vec(), rest].concat()
}

pub(crate) struct Raw(UnixStream);

impl Raw {
    /// Says hello.
    pub(crate) async fn connect(socket: &Path) -> Self {
        let mut raw = Self(UnixStream::connect(socket).await.unwrap());
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.send(&frame(4, 0, 0, &[])).await;
        raw
    }

    /// A daemon that has cut the connection shows so when it is read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Asks for the version, over this stream.
    pub(crate) async fn ask(&mut self, stream: u32, fields: &[u8]) {
        self.send(&frame(HEADERS, END_HEADERS, stream, fields)).await;
        self.send(&frame(DATA, END_STREAM, stream, &[0; 5])).await;
    }

    /// The next frame; none when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(default_timeout(), self.read()).await.expect("neither a frame nor an end")
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let mut payload = vec![0; usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2)];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
    }

    /// What came of a call: its data, or the frame that ended it.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Result<Vec<u8>, Option<Frame>> {
        let mut data = Vec::new();
        loop {
            match self.next().await {
                Some(frame) if frame.kind == GOAWAY => return Err(Some(frame)),
                Some(frame) if frame.stream != stream => {}
                Some(frame) if frame.kind == DATA => data.extend(frame.payload),
                Some(frame) if frame.kind == HEADERS && frame.flags & END_STREAM != 0 && data.is_empty() => {
                    return Err(Some(frame));
                }
                Some(frame) if frame.kind == HEADERS && frame.flags & END_STREAM != 0 => return Ok(data),
                Some(frame) if frame.kind == RESET => return Err(Some(frame)),
                Some(_) => {}
                None => return Err(None),
            }
        }
    }

    /// Waits until the daemon has ended the connection.
    pub(crate) async fn ended(mut self) {
        while self.next().await.is_some() {}
    }
}
