//! An actor as others hold it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use peapod_trace::Span;
use tokio::sync::{mpsc, oneshot, watch};

use super::tickets::WaitingCall;
use crate::error::Error;
use crate::id::PodId;
use crate::machine::{Reply, Request, Ticket};
use crate::shim::Shim;
use crate::stages;

/// What an actor is sent.
#[derive(Debug)]
pub(super) enum Message {
    Request(Ticket, Request, WaitingCall),
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
    /// The number of the last call.
    pub(super) tickets: Arc<AtomicU64>,
    pub(super) recovered: watch::Receiver<bool>,
}

/// The answer to a request that an actor has: it comes, or doesn't if the pod is gone before.
pub(crate) type PendingCall = oneshot::Receiver<Result<Reply, Error>>;

/// The actor has ended.
#[derive(Debug)]
pub(crate) struct Closed;

impl Handle {
    /// Hands a request over. Its stages are told to the span until it is answered.
    pub(crate) async fn send(&self, request: Request, span: &Span) -> Result<PendingCall, Closed> {
        span.enter(&stages::QUEUE);
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let (tell, answer) = oneshot::channel();
        let waiter = WaitingCall { tell, span: span.clone() };
        self.inbox.send(Message::Request(ticket, request, waiter)).await.map_err(|_| Closed)?;
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
}
