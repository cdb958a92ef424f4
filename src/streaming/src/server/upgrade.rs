//! A client's request: whether there is a session for it, and what it will speak. Pure.

use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Method, StatusCode};
use peapod_streaming_protocol::{CommandStreams, SessionKind, SessionToken};

use super::command::CommandKind;
use crate::channels::{ChannelProtocol, Encoding};
use crate::negotiate::{self, COMMAND_VERSIONS, PORT_FORWARD, PORT_FORWARD_TUNNEL, PortForwardSocket};
use crate::version::CommandVersion;
use crate::websocket::accept_key;

/// Versions that a client of SPDY knows, and the one that was chosen.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Versions that it could have named.
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");
const SPDY: &str = "SPDY/3.1";
const WEBSOCKET: &str = "websocket";
/// Channels that a number names: a byte, or a digit, and two for each port.
const PORTS_OF_BYTE: usize = 127;
const PORTS_OF_DIGIT: usize = 5;

/// What a client will speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    CommandSpdy(CommandKind, CommandStreams, CommandVersion),
    CommandChannels(CommandKind, CommandStreams, ChannelProtocol),
    ForwardSpdy,
    ForwardTunnel,
    /// Of these ports.
    ForwardChannels(ChannelProtocol, Vec<u16>),
}

/// An answer that changes the protocol.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) speech: Speech,
    pub(super) headers: HeaderMap,
}

/// An answer that does not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// What it says beside the text.
    pub(super) headers: Vec<(HeaderName, &'static str)>,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        // One request a connection.
        let headers = vec![(CONNECTION, "close"), (CONTENT_TYPE, "text/plain; charset=utf-8")];
        Self { status, headers, text: text.into() }
    }

    /// No version is known to both.
    fn versions(known: &[&'static str]) -> Self {
        let mut refusal = Self::new(
            StatusCode::FORBIDDEN,
            format!("none of the protocols that were offered is known here; these are: {}", known.join(", ")),
        );
        refusal.headers.extend(known.iter().map(|name| (ACCEPTED_PROTOCOLS, *name)));
        refusal
    }

    /// Nobody was promised a session there; or somebody has it already.
    pub(super) fn unknown() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no session is waiting here: its token is used, too old, or was never given out",
        )
    }
}

/// The token that a request's path names, and which kind of session it asks for.
pub(super) fn address(path: &str) -> Option<(&str, SessionToken)> {
    let (kind, token) = path.strip_prefix('/')?.split_once('/')?;
    Some((kind, SessionToken::parse(token.as_bytes())?))
}

/// The first part of the path of such sessions.
pub(super) fn path_of(kind: &SessionKind) -> &'static str {
    match kind {
        SessionKind::Exec(_) => "exec",
        SessionKind::Attach(_) => "attach",
        SessionKind::PortForward(_) => "portforward",
    }
}

/// What is answered to a request for a session that waits.
pub(super) fn switch(method: &Method, headers: &HeaderMap, session: &SessionKind) -> Result<Switch, Refusal> {
    if method != Method::GET && method != Method::POST {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "sessions are begun by GET or POST"));
    }
    let upgrades = has_token(headers, &CONNECTION, "upgrade");
    if upgrades && has_token(headers, &UPGRADE, WEBSOCKET) {
        return websocket(method, headers, session);
    }
    if upgrades && has_token(headers, &UPGRADE, SPDY) {
        return spdy(headers, session);
    }
    Err(Refusal::new(StatusCode::BAD_REQUEST, format!("the connection has to be upgraded to {SPDY} or {WEBSOCKET}")))
}

fn spdy(headers: &HeaderMap, session: &SessionKind) -> Result<Switch, Refusal> {
    if !headers.contains_key(STREAM_PROTOCOL) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the header X-Stream-Protocol-Version is missing"));
    }
    let offered = texts(headers, &STREAM_PROTOCOL);
    let command = |kind, streams: &CommandStreams| {
        let (name, version) =
            negotiate::command(offered.iter().copied()).ok_or_else(|| Refusal::versions(COMMAND_VERSIONS))?;
        Ok((name, Speech::CommandSpdy(kind, *streams, version)))
    };
    let (name, speech) = match session {
        SessionKind::Exec(streams) => command(CommandKind::Exec, streams)?,
        SessionKind::Attach(streams) => command(CommandKind::Attach, streams)?,
        SessionKind::PortForward(_) if negotiate::port_forward(offered.iter().copied()) => {
            (PORT_FORWARD, Speech::ForwardSpdy)
        }
        SessionKind::PortForward(_) => return Err(Refusal::versions(&[PORT_FORWARD])),
    };
    let mut headers = switched(SPDY);
    headers.insert(STREAM_PROTOCOL, value(name)?);
    Ok(Switch { speech, headers })
}

fn websocket(method: &Method, headers: &HeaderMap, session: &SessionKind) -> Result<Switch, Refusal> {
    const KNOWN: &[&str] = &["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];
    let bad = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, text);
    if method != Method::GET {
        return Err(bad("a WebSocket is begun by GET"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut refusal = bad("of WebSocket, version 13 is spoken");
        refusal.headers.push((SEC_WEBSOCKET_VERSION, "13"));
        return Err(refusal);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or_else(|| bad("the header Sec-WebSocket-Key is missing"))?;
    let offered = texts(headers, &SEC_WEBSOCKET_PROTOCOL);
    let command = |kind, streams: &CommandStreams| {
        let (name, protocol) =
            negotiate::command_socket(offered.iter().copied()).ok_or_else(|| Refusal::versions(KNOWN))?;
        Ok((name, Speech::CommandChannels(kind, *streams, protocol)))
    };
    let (name, speech) = match session {
        SessionKind::Exec(streams) => command(CommandKind::Exec, streams)?,
        SessionKind::Attach(streams) => command(CommandKind::Attach, streams)?,
        SessionKind::PortForward(ports) => {
            let (name, protocol) = negotiate::port_forward_socket(offered.iter().copied())
                .ok_or_else(|| Refusal::versions(&[PORT_FORWARD_TUNNEL, "v4.channel.k8s.io"]))?;
            (name, forward_socket(protocol, ports)?)
        }
    };
    let mut headers = switched(WEBSOCKET);
    headers.insert(SEC_WEBSOCKET_ACCEPT, value(&accept_key(key.as_bytes()))?);
    if let Some(name) = name {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, value(name)?);
    }
    Ok(Switch { speech, headers })
}

fn forward_socket(protocol: PortForwardSocket, ports: &[u16]) -> Result<Speech, Refusal> {
    let protocol = match protocol {
        PortForwardSocket::Spdy => return Ok(Speech::ForwardTunnel),
        PortForwardSocket::Channels(protocol) => protocol,
    };
    let most = match protocol.encoding {
        Encoding::Binary => PORTS_OF_BYTE,
        Encoding::Base64 => PORTS_OF_DIGIT,
    };
    if ports.is_empty() || ports.len() > most {
        let text = format!("over channels 1 to {most} ports can be forwarded, and the request has {}", ports.len());
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    Ok(Speech::ForwardChannels(protocol, ports.to_vec()))
}

fn switched(protocol: &'static str) -> HeaderMap {
    let value = HeaderValue::from_static;
    HeaderMap::from_iter([(CONNECTION, value("Upgrade")), (UPGRADE, value(protocol))])
}

/// What is text is a header, but that can't be seen of its type.
fn value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "a protocol's name that can't be"))
}

fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
}

/// Whether a list has something, in whatever case.
fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    texts(headers, name).iter().flat_map(|list| list.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
}
