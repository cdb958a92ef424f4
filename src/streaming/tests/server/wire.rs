//! HTTP as clients speak it, by hand; and what carries SPDY.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::stage::soon;

/// An answer's head, in lines.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    /// What came behind it so far.
    pub(crate) rest: Vec<u8>,
}

impl Answer {
    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// Sends a request, and reads the answer's head.
pub(crate) async fn ask(tcp: &mut TcpStream, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: peapod\r\n{headers}\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    read_answer(tcp).await
}

pub(crate) async fn read_answer(tcp: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        assert!(soon(tcp.read_buf(&mut bytes)).await.unwrap() > 0, "the connection ended within the answer");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, rest: bytes[end + 4..].to_vec() }
}

/// Carries bytes.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    Tunnel(Box<WebSocketStream<TcpStream>>),
}

impl Wire {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        match self {
            Self::Tcp(tcp) => tcp.write_all(bytes).await.unwrap(),
            Self::Tls(tls) => {
                tls.write_all(bytes).await.unwrap();
                tls.flush().await.unwrap();
            }
            Self::Tunnel(socket) => socket.send(Message::binary(bytes.to_vec())).await.unwrap(),
        }
    }

    /// None: the end, which of a tunnel is a good one.
    pub(crate) async fn receive(&mut self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(64 << 10);
        let count = match self {
            Self::Tcp(tcp) => tcp.read_buf(&mut bytes).await.unwrap(),
            Self::Tls(tls) => tls.read_buf(&mut bytes).await.unwrap(),
            Self::Tunnel(socket) => match socket.next().await.unwrap().unwrap() {
                Message::Binary(bytes) => return Some(bytes.to_vec()),
                Message::Close(frame) => {
                    assert_eq!(u16::from(frame.unwrap().code), 1000);
                    return None;
                }
                other => panic!("{other:?}"),
            },
        };
        (count > 0).then_some(bytes)
    }
}
