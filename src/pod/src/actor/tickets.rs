//! Who waits for which answer.

use std::collections::BTreeMap;

use peapod_trace::{ANSWER, Span};
use tokio::sync::oneshot;

use crate::error::Error;
use crate::machine::{Reply, Ticket};

/// Where an answer goes.
#[derive(Debug)]
pub(crate) struct WaitingCall {
    pub(super) tell: oneshot::Sender<Result<Reply, Error>>,
    /// What is told what the call waits for.
    pub(super) span: Span,
}

/// Calls under way.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    waiters: BTreeMap<Ticket, WaitingCall>,
}

impl Tickets {
    /// One more call.
    pub(super) fn add(&mut self, ticket: Ticket, waiter: WaitingCall) {
        self.waiters.insert(ticket, waiter);
    }

    /// Answers one; a client that is gone has no use for it.
    pub(super) fn answer(&mut self, ticket: Ticket, result: Result<Reply, Error>) {
        if let Some(WaitingCall { tell, span }) = self.waiters.remove(&ticket) {
            span.enter(&ANSWER);
            let _ = tell.send(result);
        }
    }

    /// What is told what a call waits for, if its client still does.
    pub(super) fn span(&self, ticket: Ticket) -> Option<&Span> {
        self.waiters.get(&ticket).map(|waiter| &waiter.span)
    }

    /// Those whose clients have left since the last look.
    pub(super) fn left(&mut self) -> Vec<Ticket> {
        let left = self.waiters.iter().filter(|(_, waiter)| waiter.tell.is_closed());
        let left: Vec<Ticket> = left.map(|(ticket, _)| *ticket).collect();
        for ticket in &left {
            self.waiters.remove(ticket);
        }
        left
    }

    /// Leaves everyone without an answer: who asked finds out why.
    pub(super) fn drop_all(&mut self) {
        self.waiters.clear();
    }
}
