//! A client of streams over WebSocket, with as much of the protocol as measuring needs: any CRI runtime speaks it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Streams are numbered by the first byte of each message; the last of a command is a `Status` of Kubernetes.
const PROTOCOL: &str = "v4.channel.k8s.io";
/// The number of the stream that says how a command ended.
const ERROR: u8 = 3;
/// An answer's head is a few hundred bytes.
const HEAD: usize = 16 << 10;

/// A connection with its streams.
pub(crate) struct Stream {
    tcp: TcpStream,
    /// What came and was not looked at.
    input: Vec<u8>,
}

impl Stream {
    /// Connects to a URL that the runtime gave, and has the server speak streams.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("http://").with_context(|| format!("{url} is no URL of plain HTTP"))?;
        let (address, path) = rest.split_once('/').with_context(|| format!("{url} has no path"))?;
        let mut tcp = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        let request = format!(
            "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
        );
        tcp.write_all(request.as_bytes()).await.context("ask for streams")?;
        let mut stream = Self { tcp, input: Vec::new() };
        let head = loop {
            if let Some(end) = stream.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break stream.input.drain(..end + 4).collect::<Vec<_>>();
            }
            ensure!(stream.input.len() < HEAD && stream.more().await?, "no answer to the request for streams");
        };
        let head = String::from_utf8_lossy(&head);
        ensure!(head.starts_with("HTTP/1.1 101 "), "no streams: {}", head.lines().next().unwrap_or_default());
        Ok(stream)
    }

    /// Reads once. False: nothing will come any more.
    async fn more(&mut self) -> Result<bool> {
        Ok(self.tcp.read_buf(&mut self.input).await.context("read from a stream")? > 0)
    }

    /// The next message: the stream's number and what was sent on it. None: there will be none.
    async fn message(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        loop {
            // A server does not mask what it sends.
            if let &[kind, short, ref rest @ ..] = &self.input[..] {
                let (width, length) = match (short, rest) {
                    (126, [a, b, ..]) => (2, Some(u64::from(u16::from_be_bytes([*a, *b])))),
                    (127, rest) => (8, rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))),
                    (126, _) => (2, None),
                    (length, _) => (0, Some(length.into())),
                };
                let head = 2 + width;
                if let Some(length) = length {
                    let end = head + usize::try_from(length).context("a message is too long")?;
                    if self.input.len() >= end {
                        let payload = self.input[head..end].to_vec();
                        self.input.drain(..end);
                        match (kind & 15, payload.split_first()) {
                            (1 | 2, Some((stream, payload))) => return Ok(Some((*stream, payload.to_vec()))),
                            (8, _) => return Ok(None),
                            _ => continue,
                        }
                    }
                }
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// Waits for the end of a command, which has to be a good one.
    pub(crate) async fn success(mut self) -> Result<()> {
        while let Some((stream, payload)) = self.message().await? {
            if stream == ERROR {
                let status: Value = serde_json::from_slice(&payload).context("read how a command ended")?;
                ensure!(status["status"] == "Success", "a command ended with {status}");
                return Ok(());
            }
        }
        bail!("nobody says how a command ended")
    }

    /// Waits until it is sure that a command runs: it has said something.
    pub(crate) async fn said(&mut self) -> Result<()> {
        while let Some((_, payload)) = self.message().await? {
            if !payload.is_empty() {
                return Ok(());
            }
        }
        bail!("a command says nothing")
    }

    /// What is left of it, for who reads without looking; and how much of that was read already.
    pub(crate) fn into_blocking(self) -> Result<(std::net::TcpStream, usize)> {
        let tcp = self.tcp.into_std().context("read a stream")?;
        tcp.set_nonblocking(false).context("read a stream")?;
        Ok((tcp, self.input.len()))
    }
}
