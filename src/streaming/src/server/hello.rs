//! Shims that connect: for which session, is the first thing that they say.

use std::rc::Rc;

use peapod_streaming_protocol::{PacketListener, SessionEnd, ToSession};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::registry::SessionRegistry;
use crate::bounds::{ACCEPT_PAUSE, HELLO_TIME, HELLOS};

/// Brings sessions to the clients that wait for them, for ever.
pub(super) async fn accept_sessions(listener: PacketListener, registry: Rc<SessionRegistry>) {
    let mut hellos = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if hellos.len() < HELLOS => match accepted {
                Ok(session) => {
                    hellos.spawn_local(timeout(HELLO_TIME, introduce(session, registry.clone())));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = hellos.join_next() => {}
        }
    }
}

async fn introduce(session: SessionEnd, registry: Rc<SessionRegistry>) {
    if let Ok(Some((ToSession::Hello { token }, _))) = session.recv().await {
        registry.open(&token, Ok(session));
    }
}
