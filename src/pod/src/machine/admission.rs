//! Whether requests are looked at.

use super::effects::Effects;
use super::input::{Request, Ticket};
use super::outbox::{CommitNumber, Outbox};
use crate::bounds::EARLY_REQUESTS;
use crate::error::Error;

/// Whether requests are looked at.
#[derive(Debug)]
pub(crate) enum Admission {
    Open,
    /// They wait until the pod is recovered, and what was found is on disk.
    Deferred {
        requests: Vec<(Ticket, Request)>,
        until: Option<CommitNumber>,
    },
}

impl Admission {
    /// Answers a request that is to be looked at now.
    pub(crate) fn admit<S>(&mut self, ticket: Ticket, request: Request, fx: &mut Effects<S>) -> Option<Request> {
        let Self::Deferred { requests, .. } = self else { return Some(request) };
        if requests.len() < EARLY_REQUESTS {
            requests.push((ticket, request));
        } else {
            let reason = format!("{EARLY_REQUESTS} requests wait for it already: try again in a moment");
            fx.refuse(ticket, Error::Failed { step: "recover the pod".to_owned(), reason });
        }
        None
    }

    /// Calls that wait until the pod is recovered.
    pub(crate) fn deferred(&self) -> impl Iterator<Item = Ticket> {
        let requests = if let Self::Deferred { requests, .. } = self { requests.as_slice() } else { &[] };
        requests.iter().map(|(ticket, _)| *ticket)
    }

    /// The pod is recovered once that commit is over.
    pub(crate) fn open_after(&mut self, mark: CommitNumber) {
        if let Self::Deferred { until, .. } = self {
            *until = Some(mark);
        }
    }

    /// Opens, and answers what has waited; none as long as it must wait.
    pub(crate) fn open(&mut self, outbox: &Outbox) -> Option<Vec<(Ticket, Request)>> {
        let Self::Deferred { requests, until } = self else { return None };
        until.filter(|until| outbox.is_over(*until))?;
        let requests = std::mem::take(requests);
        *self = Self::Open;
        Some(requests)
    }

    /// Clients that left: they ask again if they still want it.
    pub(crate) fn leave(&mut self, left: &[Ticket]) {
        if let Self::Deferred { requests, .. } = self {
            requests.retain(|(ticket, _)| !left.contains(ticket));
        }
    }
}
