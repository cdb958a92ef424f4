//! Clients that connect: greeted, and then served in sessions.

use std::collections::VecDeque;
use std::future::pending;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{error::Elapsed, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::client::{ClientStreams, TransferBuffers};
use super::command::CommandSession;
use super::forward::ForwardSession;
use super::greet::{Greeted, Room, greet};
use super::registry::SessionRegistry;
use super::upgrade::Speech;
use crate::bounds::{ACCEPT_PAUSE, GREETING_TIME, GREETINGS, SESSIONS};

/// All clients.
pub(super) struct ClientSet {
    registry: Rc<SessionRegistry>,
    /// None: nobody can connect any more, or yet.
    listener: Option<TcpListener>,
    tls: Option<TlsAcceptor>,
    greetings: JoinSet<Result<Option<Greeted>, Elapsed>>,
    /// The same, the oldest in front.
    oldest: VecDeque<AbortHandle>,
    sessions: JoinSet<()>,
    buffers: TransferBuffers,
}

impl ClientSet {
    pub(super) fn new(registry: Rc<SessionRegistry>) -> Self {
        Self {
            registry,
            listener: None,
            tls: None,
            greetings: JoinSet::new(),
            oldest: VecDeque::new(),
            sessions: JoinSet::new(),
            buffers: TransferBuffers::new(),
        }
    }

    /// Lets clients in.
    pub(super) fn listen(&mut self, listener: OwnedFd) -> std::io::Result<()> {
        let listener = std::net::TcpListener::from(listener);
        peapod_sys::set_nonblocking(&listener)?;
        self.listener = Some(TcpListener::from_std(listener)?);
        Ok(())
    }

    /// Whether clients are let in.
    pub(super) fn is_open(&self) -> bool {
        self.listener.is_some()
    }

    /// Clients that connect from now on speak TLS.
    pub(super) fn secure(&mut self, tls: TlsAcceptor) {
        self.tls = Some(tls);
    }

    /// Lets nobody in any more, and forgets who has not said what he wants.
    pub(super) fn close(&mut self) {
        self.listener = None;
        self.greetings.abort_all();
    }

    /// No session is open.
    pub(super) fn is_idle(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Accepts, greets and serves; comes back now and then. A call that is dropped has lost nothing.
    pub(super) async fn step(&mut self) {
        tokio::select! {
            accepted = accept(self.listener.as_ref()) => match accepted {
                Ok(tcp) => self.greet(tcp),
                // No descriptors are left, or no memory: it can get better.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(greeted) = self.greetings.join_next() => {
                self.oldest.retain(|greeting| !greeting.is_finished());
                if let Ok(Ok(Some(greeted))) = greeted {
                    self.sessions.spawn_local(serve(greeted, self.buffers.clone()));
                }
            }
            // One that panicked has closed what it had.
            Some(_) = self.sessions.join_next() => {}
            else => pending().await,
        }
    }

    /// Of too many that have shown no token the oldest makes room: who has one shows it at once.
    fn greet(&mut self, tcp: TcpStream) {
        if self.oldest.len() >= GREETINGS
            && let Some(oldest) = self.oldest.pop_front()
        {
            oldest.abort();
        }
        // It works without, if not as well.
        let _ = prepare(&tcp);
        let room = if self.sessions.len() < SESSIONS { Room::Left } else { Room::None };
        let greeting = greet(tcp, self.tls.clone(), self.registry.clone(), room);
        self.oldest.push_back(self.greetings.spawn_local(timeout(GREETING_TIME, greeting)));
    }
}

/// What waits to be sent together with more would wait for the client's answer to what was sent before. And a client
/// that has gone while it was not read from, or without a word, is found out.
fn prepare(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    peapod_sys::keep_alive(tcp)
}

async fn accept(listener: Option<&TcpListener>) -> std::io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(tcp, _)| tcp),
        None => pending().await,
    }
}

async fn serve(greeted: Greeted, buffers: TransferBuffers) {
    let Greeted { io, early, claim, speech } = greeted;
    match speech {
        Speech::CommandSpdy(kind, streams, version) => {
            let client = ClientStreams::spdy(io, &early, buffers);
            CommandSession::spdy(client, kind, streams, version).run(claim).await;
        }
        Speech::CommandChannels(kind, streams, protocol) => {
            let client = ClientStreams::channels(io, &early, buffers, protocol);
            CommandSession::channels(client, kind, streams, protocol).run(claim).await;
        }
        Speech::ForwardSpdy => {
            let client = ClientStreams::spdy(io, &early, buffers);
            ForwardSession::streams(client, &claim).run(claim).await;
        }
        Speech::ForwardTunnel => {
            let client = ClientStreams::tunnel(io, &early, buffers);
            ForwardSession::streams(client, &claim).run(claim).await;
        }
        Speech::ForwardChannels(protocol, ports) => {
            let client = ClientStreams::channels(io, &early, buffers, protocol);
            ForwardSession::channels(client, &ports).run(claim).await;
        }
    }
}
