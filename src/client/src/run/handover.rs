//! How `peapod stop` leaves a stop to the `peapod run` that looks after the pod, which knows its hooks and its order.

use std::path::Path;
use std::time::Duration;

use peapod_api::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::pod_dir::PodDir;
use crate::bounds::STOP_REQUESTS;
use crate::commands::note;
use crate::connect::QUICK;
use crate::{runs, targets};

/// The socket's name in the pod's directory.
const NAME: &str = "stop.sock";

/// After how long it is told who keeps somebody waiting.
const SILENCE: Duration = Duration::from_secs(2);

/// Where a pod's stop is asked for. Who asked is answered by its end.
pub(super) struct StopDoor {
    asked: mpsc::Receiver<u32>,
    listener: Option<AbortHandle>,
}

impl StopDoor {
    /// Without a socket, whose path may be too long, pods are stopped from outside.
    pub(super) fn open(dir: &Path) -> Self {
        let (sender, asked) = mpsc::channel(STOP_REQUESTS);
        let listener = UnixListener::bind(dir.join(NAME)).ok();
        let listener = listener.map(|listener| tokio::spawn(listen(listener, sender)).abort_handle());
        Self { asked, listener }
    }

    /// Waits until somebody asks; the grace period in seconds.
    pub(super) async fn asked(&mut self) -> u32 {
        match self.asked.recv().await {
            Some(grace) => grace,
            None => std::future::pending().await,
        }
    }
}

impl Drop for StopDoor {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

async fn listen(listener: UnixListener, sender: mpsc::Sender<u32>) {
    // Those who asked, until the pod has ended.
    let mut waiting = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let Ok(Ok(grace)) = tokio::time::timeout(QUICK, stream.read_u32()).await else { continue };
        waiting.push(stream);
        if waiting.len() >= STOP_REQUESTS || sender.send(grace).await.is_err() {
            break;
        }
    }
    // More of them stop the pod from outside.
    drop(listener);
    std::future::pending::<()>().await;
}

/// Asks the `peapod run` of a pod to stop it, and waits until it has; at once if there is none. While that one is
/// suspended, it tells for whom it waits.
pub(crate) async fn ask(pod: &v1::PodSandbox, grace: u32) {
    let Some(dir) = PodDir::of(pod) else { return };
    let Ok(mut stream) = UnixStream::connect(dir.path.join(NAME)).await else { return };
    if stream.write_u32(grace).await.is_err() {
        return;
    }
    let patience = Duration::from_secs(grace.into()) + 3 * QUICK;
    // Its end is all that there is to read.
    let mut ended = std::pin::pin!(tokio::time::timeout(patience, stream.read_u8()));
    if tokio::time::timeout(SILENCE, &mut ended).await.is_err() {
        let run = targets::run_of(pod).and_then(|(base, id)| runs::known(&base, &id));
        // Without standard error nobody is told.
        let _ = run.and_then(|run| run.suspended()).map(|said| note(&format!("peapod: {said}\n")));
        let _ = ended.await;
    }
}
