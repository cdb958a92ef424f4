//! The begin of a connection: TLS, one request, and its answer.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio_rustls::TlsAcceptor;

use super::client::ClientIo;
use super::registry::{SessionRegistry, TokenClaim};
use super::upgrade::{Refusal, Speech, Switch, address, path_of, switch};
use crate::bounds::{REQUEST_HEAD_BYTES, REQUEST_HEADERS};

/// A client that was answered with another protocol, which it speaks from now on.
#[derive(Debug)]
pub(super) struct Greeted {
    pub(super) io: ClientIo,
    /// What it has said of that already.
    pub(super) early: Bytes,
    pub(super) claim: TokenClaim,
    pub(super) speech: Speech,
}

/// A promise that was taken up, and the connection that it was by.
type Agreed = (TokenClaim, Speech, OnUpgrade);

/// What was agreed on, if anything was.
type Slot = Rc<Cell<Option<Agreed>>>;

/// Answers one request. None: it was refused, or made no sense.
pub(super) async fn greet(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    registry: Rc<SessionRegistry>,
    room: Room,
) -> Option<Greeted> {
    let io = match tls {
        Some(tls) => ClientIo::Tls(Box::new(tls.accept(tcp).await.ok()?)),
        None => ClientIo::Plain(tcp),
    };
    let slot = Slot::default();
    let service = service_fn(|request: Request<_>| async {
        // The daemon has said the token before its client could: it is heard first, and no task that yields goes on
        // before the kernel was asked what has come (`control::serve` is polled before all tasks).
        yield_now().await;
        Ok::<_, Infallible>(answer(request, &registry, room, &slot))
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(REQUEST_HEAD_BYTES).max_headers(REQUEST_HEADERS).header_read_timeout(None);
    http.serve_connection(TokioIo::new(io), service).with_upgrades().await.ok()?;
    let (claim, speech, upgrade) = slot.take()?;
    let parts = upgrade.await.ok()?.downcast::<TokioIo<ClientIo>>().ok()?;
    Some(Greeted { io: parts.io.into_inner(), early: parts.read_buf, claim, speech })
}

/// Whether there is room for one more session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Left,
    None,
}

fn answer<B>(
    mut request: Request<B>,
    registry: &Rc<SessionRegistry>,
    room: Room,
    slot: &Slot,
) -> Response<Full<Bytes>> {
    let upgrade = hyper::upgrade::on(&mut request);
    match agree(&request, registry, room) {
        Ok((claim, Switch { speech, headers })) => {
            slot.set(Some((claim, speech, upgrade)));
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.headers_mut() = headers;
            response
        }
        Err(Refusal { status, headers, text }) => {
            let mut response = Response::new(Full::from(text + "\n"));
            *response.status_mut() = status;
            for (name, value) in headers {
                response.headers_mut().append(name, HeaderValue::from_static(value));
            }
            response
        }
    }
}

fn agree<B>(request: &Request<B>, registry: &Rc<SessionRegistry>, room: Room) -> Result<(TokenClaim, Switch), Refusal> {
    let (kind, token) = address(request.uri().path()).ok_or_else(Refusal::unknown)?;
    let registration = registry.look_up(&token).ok_or_else(Refusal::unknown)?;
    if path_of(&registration.kind) != kind {
        return Err(Refusal::unknown());
    }
    if room == Room::None {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many sessions are open"));
    }
    // A request that can't be answered uses nothing up.
    let switch = switch(request.method(), request.headers(), &registration.kind)?;
    let claim = registry.claim(&token).ok_or_else(Refusal::unknown)?;
    Ok((claim, switch))
}
