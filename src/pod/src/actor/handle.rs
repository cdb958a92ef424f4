//! An actor as others hold it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot, watch};

use super::tickets::Waiter;
use crate::error::Error;
use crate::id::PodId;
use crate::machine::{Reply, Request, Ticket};
use crate::shim::Shim;

/// How long an actor may take to say what a call waits for: it answers at once, unless it is being started again.
const STAGE: Duration = Duration::from_secs(1);

/// What an actor is sent.
#[derive(Debug)]
pub(super) enum Message {
    Request(Ticket, Request, Waiter),
    /// What does that call wait for?
    Stage(Ticket, oneshot::Sender<Option<String>>),
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

/// A request that an actor has.
#[derive(Debug)]
pub(crate) struct PendingCall {
    ticket: Ticket,
    /// The answer comes, or doesn't if the pod is gone before.
    pub(crate) answer: oneshot::Receiver<Result<Reply, Error>>,
}

/// The actor has ended.
#[derive(Debug)]
pub(crate) struct Closed;

impl Handle {
    /// Hands a request over.
    pub(crate) async fn send(&self, request: Request) -> Result<PendingCall, Closed> {
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let (waiter, answer) = oneshot::channel();
        self.inbox.send(Message::Request(ticket, request, waiter)).await.map_err(|_| Closed)?;
        Ok(PendingCall { ticket, answer })
    }

    /// What a call waits for, in words. None: it is answered by now, or never.
    pub(crate) async fn stage(&self, asked: &PendingCall) -> Option<String> {
        let told = async {
            let (tell, told) = oneshot::channel();
            self.inbox.send(Message::Stage(asked.ticket, tell)).await.ok()?;
            told.await.ok().flatten()
        };
        let again = "waiting for its pod to be taken up from its record";
        tokio::time::timeout(STAGE, told).await.unwrap_or_else(|_| Some(again.to_owned()))
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
