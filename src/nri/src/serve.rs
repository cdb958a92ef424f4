//! The socket to which plugins connect.

use std::convert::Infallible;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::bounds::CONNECTIONS;
use crate::plugins::Plugins;
use crate::session::{self, PluginOrigin};

/// Before another look after the system refused a connection: it lacks descriptors, which others may give back.
const PAUSE: Duration = Duration::from_millis(100);

/// Lets plugins in, and serves each until it leaves. Only root's: who says what containers are like can be whoever it
/// likes.
pub async fn serve(plugins: &Plugins, listener: UnixListener) -> Infallible {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let who = stream.peer_cred().map(|who| who.uid());
                    let Ok(slot) = plugins.0.connections.clone().try_acquire_owned() else {
                        tracing::warn!("an NRI plugin is not let in: {CONNECTIONS} are connected");
                        continue;
                    };
                    if who.as_ref().ok() != Some(&0) {
                        tracing::warn!(?who, "an NRI plugin is not let in: it is not root's");
                        continue;
                    }
                    let plugins = plugins.clone();
                    sessions.spawn(async move {
                        session::serve(&plugins, stream, PluginOrigin::Connected).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "an NRI plugin can't be let in");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}
