//! Channels over a WebSocket, as a client has them.

use std::borrow::Cow;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use peapod_text::one_line;

use super::connect::{SessionUrl, SessionWire};
use super::error::StreamError;
use crate::bounds::{CHANNEL_MESSAGE_BYTES, END_BYTES, SESSION_END, STREAMING_ANSWER};

/// Of version 5, in which a channel can be closed.
const V5: &str = "v5.channel.k8s.io";
/// What is offered, the best first.
const OFFERED: HeaderValue = HeaderValue::from_static("v5.channel.k8s.io, v4.channel.k8s.io");
/// On it, the client says in version 5 which one it closes.
const CLOSE: u8 = 255;

type Socket = WebSocketStream<Box<dyn SessionWire>>;

/// To send on.
pub(super) struct ChannelSink {
    sink: SplitSink<Socket, Message>,
    closes: bool,
}

/// What comes.
pub(super) struct ChannelSource(SplitStream<Socket>);

/// Connects to a session: from here on it is claimed.
pub(super) async fn open(url: &str) -> Result<(ChannelSink, ChannelSource), StreamError> {
    let place = SessionUrl::parse(url)?;
    let answered = timeout(STREAMING_ANSWER, upgrade(&place)).await;
    answered.map_err(|_| StreamError::Silent { address: place.address() })?
}

async fn upgrade(place: &SessionUrl) -> Result<(ChannelSink, ChannelSource), StreamError> {
    let wire = place.connect().await?;
    let refused = |error: Error| StreamError::Refused { text: refusal(&error) };
    let mut request = place.url.as_str().into_client_request().map_err(refused)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, OFFERED);
    let config = WebSocketConfig::default()
        .max_message_size(Some(CHANNEL_MESSAGE_BYTES))
        .max_frame_size(Some(CHANNEL_MESSAGE_BYTES))
        // Nothing of a terminal's may wait for more.
        .write_buffer_size(0)
        .max_write_buffer_size(CHANNEL_MESSAGE_BYTES);
    let upgraded = tokio_tungstenite::client_async_with_config(request, wire, Some(config)).await;
    let (socket, response) = upgraded.map_err(refused)?;
    let closes = response.headers().get(SEC_WEBSOCKET_PROTOCOL).is_some_and(|chosen| chosen == V5);
    let (sink, stream) = socket.split();
    Ok((ChannelSink { sink, closes }, ChannelSource(stream)))
}

/// What a server said in place of a session.
fn refusal(error: &Error) -> String {
    let Error::Http(response) = error else { return one_line(&error.to_string()).into_owned() };
    let body = response.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(END_BYTES)]);
    match text.trim() {
        "" => response.status().to_string(),
        text => format!("{} ({})", one_line(text), response.status()),
    }
}

impl ChannelSink {
    /// An error is for the reader to tell.
    pub(super) async fn send(&mut self, channel: u8, payload: &[u8]) -> Result<(), Error> {
        self.sink.send(Message::binary([&[channel], payload].concat())).await
    }

    /// Says that nothing more comes on a channel. False: the server knows no way to hear that.
    pub(super) async fn finish(&mut self, channel: u8) -> Result<bool, Error> {
        if self.closes {
            self.sink.send(Message::binary(vec![CLOSE, channel])).await?;
        }
        Ok(self.closes)
    }
}

impl ChannelSource {
    /// What comes next on which channel; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(u8, Bytes)>, StreamError> {
        loop {
            let mut message = match self.0.next().await {
                None => return Ok(None),
                Some(Ok(Message::Binary(message))) => message,
                Some(Ok(Message::Close(_))) => {
                    // Sends the answer. Then the connection's end may come or not.
                    let _ = timeout(SESSION_END, self.0.next()).await;
                    return Ok(None);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Text(_))) => return Err(StreamError::Nonsense("text".to_owned())),
                Some(Err(error @ (Error::Capacity(_) | Error::Utf8(_)))) => {
                    return Err(StreamError::Nonsense(one_line(&error.to_string()).into_owned()));
                }
                Some(Err(error)) => return Err(StreamError::Broke(format!(" ({})", one_line(&error.to_string())))),
            };
            if let Some(channel) = message.first().copied() {
                return Ok(Some((channel, message.split_off(1))));
            }
        }
    }

    /// The same, which takes the end as come then.
    pub(super) async fn next_until(&mut self, end: Instant) -> Result<Option<(u8, Bytes)>, StreamError> {
        timeout_at(end, self.next()).await.unwrap_or(Ok(None))
    }
}

/// Adds to a text of others, up to its bound.
pub(super) fn collect(text: &mut Vec<u8>, more: &[u8]) {
    let room = END_BYTES.saturating_sub(text.len());
    text.extend_from_slice(&more[..more.len().min(room)]);
}

/// A text of others, as one line.
pub(super) fn line(text: &[u8]) -> String {
    let text: Cow<'_, str> = String::from_utf8_lossy(text);
    one_line(text.trim()).into_owned()
}
