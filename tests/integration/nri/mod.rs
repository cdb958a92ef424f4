//! Plugins of the Node Resource Interface.

mod adjustments;
mod each_adjustment;
mod go;
mod hostile;
mod installed;
mod life;
mod misbehaviour;
mod told;
mod updates;

use peapod_nri::api::{Event, EventRequest};
use peapod_nri::stand_in::{HeardCall, Reply, StandIn};
use peapod_tests::{Daemon, wait_some};
use tokio::net::UnixStream;

/// All events but those of validators.
pub(crate) const ALL: i32 = (1 << (Event::VALIDATE_CONTAINER_ADJUSTMENT as i32 - 1)) - 1;

/// A plugin that hears all events but those of validators, and answers as told.
async fn plugin(
    daemon: &Daemon,
    name: (&str, &str),
    answer: impl Fn(&HeardCall) -> Option<Reply> + Send + Sync + 'static,
) -> StandIn {
    let answer = move |heard: HeardCall| {
        let answer = answer(&heard);
        async move { answer }
    };
    let plugin = StandIn::connect(connect(daemon).await, name, ALL, answer).await.unwrap();
    synchronised(plugin).await
}

/// One that has heard what there is; that is what it hears first.
async fn synchronised(mut plugin: StandIn) -> StandIn {
    let first = plugin.heard.recv().await.unwrap();
    assert_eq!(first.method, "Configure");
    plugin
}

pub(crate) async fn connect(daemon: &Daemon) -> UnixStream {
    let socket = daemon.run_root().join("nri.sock");
    wait_some("the socket of plugins", async || UnixStream::connect(&socket).await.ok()).await
}

/// The name of the container that an event is about.
pub(crate) fn container_of(heard: &HeardCall) -> String {
    heard.message::<EventRequest>().container.name.clone()
}

/// A plugin that only listens.
fn nothing(_: &HeardCall) -> Option<Reply> {
    None
}
