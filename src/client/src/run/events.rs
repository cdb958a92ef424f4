//! When to look at a pod: when the runtime says that something changed, else now and then.

use std::time::Duration;

use peapod_api::v1;
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;
use tonic::Code;

use crate::bounds::POD_EVENTS;
use crate::connect::CriClient;

/// How late an end may be seen without events.
const POLL: Duration = Duration::from_millis(200);
/// With events, for what they don't tell of.
const SLOW_POLL: Duration = Duration::from_secs(5);
/// Until a stream of events that broke is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// The runtime's events, as long as it lives.
pub(super) struct RuntimeEvents {
    /// The id of each pod of which something changed.
    changed: broadcast::Sender<String>,
    is_live: watch::Receiver<bool>,
    reader: AbortHandle,
}

/// Those of one pod.
pub(super) struct EventsOfPod {
    pod: String,
    changed: broadcast::Receiver<String>,
    is_live: watch::Receiver<bool>,
}

impl RuntimeEvents {
    /// Begins to listen. A runtime without events is no error.
    pub(super) fn listen(connection: &CriClient) -> Self {
        let (changed, _) = broadcast::channel(POD_EVENTS);
        let (live, is_live) = watch::channel(false);
        let task = tokio::spawn(read(connection.clone(), changed.clone(), live));
        Self { changed, is_live, reader: task.abort_handle() }
    }

    pub(super) fn of(&self, pod: &str) -> EventsOfPod {
        let (changed, is_live) = (self.changed.subscribe(), self.is_live.clone());
        EventsOfPod { pod: pod.to_owned(), changed, is_live }
    }
}

impl Drop for RuntimeEvents {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(connection: CriClient, changed: broadcast::Sender<String>, live: watch::Sender<bool>) {
    loop {
        let mut client = connection.runtime.clone();
        match client.get_container_events(v1::GetEventsRequest {}).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                live.send_replace(true);
                while let Ok(Some(event)) = stream.message().await {
                    let pod = event.pod_sandbox_status.map(|pod| pod.id).unwrap_or_default();
                    // Nobody listens at the moment: nothing is lost, whoever comes looks first.
                    let _ = changed.send(pod);
                }
                live.send_replace(false);
            }
            Err(status) if status.code() == Code::Unimplemented => return,
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

impl EventsOfPod {
    /// Waits until something of the pod has changed.
    pub(super) async fn changed(&mut self) {
        loop {
            match self.changed.recv().await {
                // An event without its pod may be this one's.
                Ok(pod) if pod == self.pod || pod.is_empty() => return,
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// After how much time to look without an event.
    pub(super) fn patience(&self) -> Duration {
        if *self.is_live.borrow() { SLOW_POLL } else { POLL }
    }
}
