//! The socket to which plugins connect.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::bounds::CONNECTIONS;
use crate::plugins::Plugins;
use crate::session::{self, PluginOrigin};

/// Before another look after the system refused a connection: it lacks descriptors, which others may give back.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two lines of the log about plugins that are not let in.
const SAID_EACH: Duration = Duration::from_secs(10);

/// Lets plugins in, and serves each until it leaves. Only root's: who says what containers are like can be whoever it
/// likes.
pub async fn serve(plugins: &Plugins, listener: UnixListener) -> Infallible {
    let (mut sessions, mut said) = (JoinSet::new(), None::<Instant>);
    let mut turned_away = |reason: String| {
        plugins.0.measures.turned_away.increment();
        if said.is_none_or(|said| said.elapsed() >= SAID_EACH) {
            said = Some(Instant::now());
            tracing::warn!(reason, "an NRI plugin is not let in");
        }
    };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let who = stream.peer_cred().map(|who| who.uid());
                    let slot = plugins.0.connections.clone().try_acquire_owned();
                    let slot = match (slot, who) {
                        (Ok(slot), Ok(0)) => slot,
                        (Err(_), _) => {
                            turned_away(format!("{CONNECTIONS} are connected"));
                            continue;
                        }
                        (_, who) => {
                            turned_away(format!("it is not root's: {who:?}"));
                            continue;
                        }
                    };
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
