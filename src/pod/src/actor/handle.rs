//! An actor as others hold it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};

use super::tickets::Waiter;
use crate::error::Error;
use crate::id::PodId;
use crate::machine::{Reply, Request};
use crate::shim::Shim;

/// What an actor is sent.
#[derive(Debug)]
pub(super) enum Message {
    Request(Request, Waiter),
    /// Let go of everything as it is.
    Close,
}

/// An actor as others hold it.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(super) id: PodId,
    pub(super) inbox: mpsc::Sender<Message>,
    /// The connection for calls that change no state: exec and log reopen.
    pub(super) shim: Arc<ArcSwapOption<Shim>>,
    /// What the pod's making waits for.
    pub(super) stage: watch::Receiver<&'static str>,
    pub(super) recovered: watch::Receiver<bool>,
}

/// The actor has ended.
#[derive(Debug)]
pub(crate) struct Closed;

impl Handle {
    /// Hands a request over. The answer comes, or doesn't if the pod is gone before.
    pub(crate) async fn send(&self, request: Request) -> Result<oneshot::Receiver<Result<Reply, Error>>, Closed> {
        let (waiter, answer) = oneshot::channel();
        self.inbox.send(Message::Request(request, waiter)).await.map_err(|_| Closed)?;
        Ok(answer)
    }

    /// Has the actor let go of its pod, which runs on.
    pub(crate) async fn close(&self) {
        // One that ended by itself has nothing to close.
        let _ = self.inbox.send(Message::Close).await;
    }

    pub(crate) fn id(&self) -> &PodId {
        &self.id
    }

    pub(crate) fn shim(&self) -> Option<Arc<Shim>> {
        self.shim.load_full()
    }

    /// Waits until a pod of an earlier daemon has found its shim again, or has none. No time for all others.
    pub(crate) async fn recovered(&mut self) {
        // An error means that the actor has ended: there is nothing to wait for.
        let _ = self.recovered.wait_for(|recovered| *recovered).await;
    }

    pub(crate) fn stage(&self) -> &'static str {
        *self.stage.borrow()
    }
}
