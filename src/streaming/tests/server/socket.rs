//! A client of WebSocket, by a library that has nothing to do with the server.

use futures_util::{SinkExt as _, StreamExt as _};
use peapod_streaming_protocol::SessionToken;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::stage::{Server, soon};

pub(crate) struct SocketClient {
    pub(crate) socket: WebSocketStream<TcpStream>,
    base64: bool,
}

impl SocketClient {
    /// With a protocol, or none.
    pub(crate) async fn connect(server: &Server, path: &str, token: SessionToken, protocol: Option<&str>) -> Self {
        Self::try_connect(server, path, token, protocol).await.unwrap()
    }

    pub(crate) async fn try_connect(
        server: &Server,
        path: &str,
        token: SessionToken,
        protocol: Option<&str>,
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{}/{path}/{}", server.address, token.as_str()).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_str(protocol).unwrap());
        }
        let tcp = server.connect().await;
        let (socket, response) = soon(tokio_tungstenite::client_async(request, tcp)).await?;
        let chosen = response.headers().get("Sec-WebSocket-Protocol").map(|value| value.to_str().unwrap());
        assert_eq!(chosen, protocol);
        Ok(Self { socket, base64: protocol.is_some_and(|protocol| protocol.contains("base64")) })
    }

    pub(crate) async fn send(&mut self, channel: u8, payload: &[u8]) {
        use base64::Engine as _;
        let message = if self.base64 {
            Message::text(format!("{channel}{}", base64::engine::general_purpose::STANDARD.encode(payload)))
        } else {
            Message::binary([&[channel][..], payload].concat())
        };
        self.socket.send(message).await.unwrap();
    }

    /// What comes next on which channel; none at the end, which is a good one.
    pub(crate) async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        use base64::Engine as _;
        match soon(self.socket.next()).await?.unwrap() {
            Message::Binary(bytes) => {
                assert!(!self.base64);
                Some((bytes[0], bytes[1..].to_vec()))
            }
            Message::Text(text) => {
                assert!(self.base64);
                let payload = base64::engine::general_purpose::STANDARD.decode(&text[1..]).unwrap();
                Some((text[..1].parse().unwrap(), payload))
            }
            Message::Close(frame) => {
                assert_eq!(u16::from(frame.expect("a code").code), 1000);
                None
            }
            other => panic!("{other:?}"),
        }
    }

    /// All that comes until the end, by channel.
    pub(crate) async fn rest(&mut self) -> [Vec<u8>; 4] {
        let mut channels = [const { Vec::new() }; 4];
        while let Some((channel, payload)) = self.next().await {
            channels[usize::from(channel)].extend(payload);
        }
        channels
    }
}
