//! What the daemon says, and when it is gone.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use peapod_streaming_protocol::{PacketListener, ServerEnd, ToDaemon, ToServer};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, unconstrained};
use tokio::time::sleep_until;

use super::accept::ClientSet;
use super::hello::accept_sessions;
use super::registry::{NoSession, SessionRegistry};
use super::tls::Tls;
use crate::bounds::{ORPHAN_WAIT, SESSIONS, TOKENS};

/// What waits to be told to the daemon: of each token and each session at most two things.
const NEWS: usize = 2 * (TOKENS + SESSIONS);

/// What the daemon made of the server.
struct Control {
    tls: Tls,
    registry: Rc<SessionRegistry>,
    clients: ClientSet,
    /// Listens to shims, as long as somebody may wait for one.
    shims: JoinSet<()>,
}

/// Serves until the daemon is gone and the last session is over.
pub(super) async fn serve(daemon: ServerEnd, tls: Tls) -> io::Result<()> {
    let (news, mut told) = mpsc::channel(NEWS);
    let registry = SessionRegistry::new(news);
    let mut control = Control { tls, clients: ClientSet::new(registry.clone()), registry, shims: JoinSet::new() };
    loop {
        // In this order: a client may come with a token as soon as the daemon has said it.
        let said = tokio::select! {
            biased;
            said = unconstrained(daemon.recv()) => said,
            Some(news) = told.recv() => match daemon.send(&news, &[]).await {
                Ok(()) => continue,
                Err(error) => Err(error),
            },
            () = until(control.registry.next_end()) => {
                control.registry.expire();
                continue;
            }
            () = control.clients.step() => continue,
        };
        // Who says what makes no sense is no daemon of ours.
        let Ok(Some((message, descriptors))) = said else { break };
        match control.obey(message, descriptors) {
            Ok(None) => {}
            Ok(Some(answer)) => {
                if daemon.send(&answer, &[]).await.is_err() {
                    break;
                }
            }
            Err(text) => {
                let _ = daemon.send(&ToDaemon::Failed { text }, &[]).await;
                break;
            }
        }
    }
    // So that clients who are ready only now need not wait.
    drop((daemon, told));
    control.outlive().await;
    Ok(())
}

impl Control {
    /// Answers what is to be said to it. The error is why the server can't go on.
    fn obey(&mut self, message: ToServer, descriptors: Vec<OwnedFd>) -> Result<Option<ToDaemon>, String> {
        let two = || <[OwnedFd; 2]>::try_from(descriptors).map_err(|_| "two descriptors belong to that".to_owned());
        match message {
            ToServer::Register(registration) => self.registry.register(registration),
            ToServer::Refused { token, text } => self.registry.open(&token, Err(NoSession::Refused(text))),
            ToServer::Tls => {
                let [chain, key] = two()?;
                match self.tls.acceptor(chain, key).map_err(|error| error.to_string()) {
                    Ok(acceptor) => self.clients.secure(acceptor),
                    // Sessions need not end for it.
                    Err(text) if self.clients.is_open() => return Ok(Some(ToDaemon::TlsRefused { text })),
                    Err(text) => return Err(text),
                }
            }
            ToServer::Listen => {
                let [shims, clients] = two()?;
                self.listen(shims, clients).map_err(|error| format!("it can't listen: {error}"))?;
                return Ok(Some(ToDaemon::Listening));
            }
        }
        Ok(None)
    }

    fn listen(&mut self, shims: OwnedFd, clients: OwnedFd) -> io::Result<()> {
        let shims = PacketListener::from_descriptor(shims)?;
        self.clients.listen(clients)?;
        self.shims.spawn_local(accept_sessions(shims, self.registry.clone()));
        Ok(())
    }

    /// Without a daemon: serves the sessions that there are, or are on their way.
    async fn outlive(mut self) {
        self.clients.close();
        self.registry.forget_tokens();
        let end = tokio::time::Instant::now() + ORPHAN_WAIT;
        while self.registry.is_waited() {
            tokio::select! {
                () = self.clients.step() => {}
                () = sleep_until(end) => self.registry.refuse_all(),
            }
        }
        self.shims.abort_all();
        while !self.clients.is_idle() {
            self.clients.step().await;
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end.into()).await,
        None => pending().await,
    }
}
