//! A client that connects to ports of the pod.

use std::path::PathBuf;
use std::sync::Arc;

use peapod_streaming_protocol::{ToSession, ToShim};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::dial::{Dialled, dial};
use super::{OpenSession, SessionPlace};
use crate::bounds::DIALS_OF_SESSION;
use crate::error::Error;
use crate::shim::PodShim;
use crate::tasks;

/// A port-forward of the pod.
struct PortForward {
    /// Path of the pod's network namespace; `None` for the node's.
    network: Option<PathBuf>,
    dials: Arc<Semaphore>,
}

/// Opens the session, which is then served by a task that nobody waits for.
pub(crate) async fn open(shim: &PodShim, address: &SessionPlace) -> Result<(), Error> {
    let forward = PortForward { network: shim.sandbox.network()?, dials: shim.sessions.dials.clone() };
    let session = shim.sessions.open(address).await?;
    tasks::spawn(forward.run(session));
    Ok(())
}

impl PortForward {
    /// Until the client has gone. What it is connected to by then is its own.
    async fn run(self, session: OpenSession) {
        let mut dials = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(done) = dials.join_next() => {
                    let Ok((id, outcome)) = done else { continue };
                    if !tell(&session, id, outcome).await {
                        return;
                    }
                }
                heard = session.connection.recv(), if dials.len() < DIALS_OF_SESSION => match heard {
                    Ok(Some((ToShim::Dial { id, port }, _))) => {
                        let (network, turns) = (self.network.clone(), self.dials.clone());
                        dials.spawn(async move { (id, dial(network, &turns, port).await) });
                    }
                    Ok(Some((ToShim::Resize { .. }, _))) => {}
                    Ok(None) | Err(_) => return,
                },
            }
        }
    }
}

async fn tell(session: &OpenSession, id: u32, outcome: Dialled) -> bool {
    use std::os::fd::AsFd;
    match outcome {
        Ok(socket) => session.tell(&ToSession::Dialled { id }, &[socket.as_fd()]).await,
        Err(text) => session.tell(&ToSession::NotDialled { id, text }, &[]).await,
    }
}
