//! Who waits for which answer.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::error::Error;
use crate::machine::{Reply, Ticket};

/// Where an answer goes.
pub(crate) type Waiter = oneshot::Sender<Result<Reply, Error>>;

/// Calls under way.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    waiters: BTreeMap<Ticket, Waiter>,
}

impl Tickets {
    /// One more call.
    pub(super) fn add(&mut self, ticket: Ticket, waiter: Waiter) {
        self.waiters.insert(ticket, waiter);
    }

    /// Answers one; a client that is gone has no use for it.
    pub(super) fn answer(&mut self, ticket: Ticket, result: Result<Reply, Error>) {
        if let Some(waiter) = self.waiters.remove(&ticket) {
            let _ = waiter.send(result);
        }
    }

    /// Those whose clients have left since the last look.
    pub(super) fn left(&mut self) -> Vec<Ticket> {
        let left = self.waiters.iter().filter(|(_, waiter)| waiter.is_closed());
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
