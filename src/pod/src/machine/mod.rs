//! A pod's rules of life: what follows from what happens, and nothing else.
//!
//! A [`Machine`] takes one [`Input`] after the other and answers the [`Action`]s that follow. It knows no clock, no
//! task, no database and no shim: time and ids come with the input, and whatever takes time is a job whose outcome is
//! an input. So every way through it can be tried in a test (`machine/model`).
//!
//! Each step has the same three parts. The input changes the state: a request is refused, joined or noted as wanted; an
//! outcome says what is. Then [`advance`](advance) computes from the state alone what can go on, until nothing more
//! can: there, and nowhere else, is decided what comes next. At last what changed is committed, and what was promised
//! waits in the [outbox] until that is over.

mod action;
mod admit;
mod advance;
mod container;
mod containers;
mod delivery;
mod effects;
mod events;
mod input;
mod life;
#[cfg(test)]
mod model;
mod outbox;
mod outcomes;
mod proceed;
mod recorded;
mod requests;
mod task;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::Error;
use crate::id::ContainerId;
use crate::listed::Share;
use crate::view::PodEntry;

use container::Container;
use delivery::Delivery;
use effects::Effects;
use life::{Admission, Attachment, Life, Pod};
use outbox::{Dirty, Mark, Shown};

pub(crate) use action::{Action, Job, JobKey, Row, Start, Update};
pub(crate) use input::{
    Connected, ContainerOutcome, Input, JobError, NewContainer, Now, Outcome, ReconnectError, Reconnected, Reply,
    Request, SetUp, ShimEvent, ShimEventKind, Started, Ticket, Timer,
};
pub(crate) use life::Identity;
pub(crate) use recorded::Seen;
pub(crate) use task::{NoResult, TaskKey};

/// A pod with its containers. `S` is a connection to a shim.
#[derive(Debug)]
pub(crate) struct Machine<S> {
    pod: Pod<S>,
    containers: BTreeMap<ContainerId, Container>,
    /// Containers whose making goes on, although the pod was stopped and they are forgotten: what it takes is given
    /// back.
    abandoned: BTreeSet<ContainerId>,
    admission: Admission,
    fx: Effects<S>,
}

impl<S: Clone> Machine<S> {
    /// A pod of which nothing exists.
    pub(crate) fn new(identity: Identity, listed: Share) -> Self {
        let pod = Pod {
            identity: Arc::new(identity),
            life: Life::Intended,
            network: Attachment::default(),
            last_event: 0,
            run: Delivery::new(),
            stop: None,
            removal: None,
            recorded: Mark::default(),
            strays: Vec::new(),
            _listed: listed,
        };
        Self {
            pod,
            containers: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            admission: Admission::Open,
            fx: Effects::new(),
        }
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.pod.identity
    }

    /// The pod as readers see it; none while it is being made.
    pub(crate) fn entry(&self) -> Option<PodEntry> {
        view::entry(&self.pod, &self.containers)
    }

    /// Nothing is left to be done, ever: that the pod is gone is on disk, and what was abandoned is given back.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.pod.life, Life::Over) && self.abandoned.is_empty() && self.fx.outbox.is_idle()
    }

    /// All containers that are recorded, those included whose records can't be read.
    pub(crate) fn recorded_containers(&self) -> impl Iterator<Item = &ContainerId> {
        self.containers.keys().chain(&self.pod.strays)
    }

    /// Takes one input in.
    pub(crate) fn step(&mut self, now: Now, input: Input<S>) -> Vec<Action<S>> {
        self.fx.now = now;
        match input {
            Input::Begin => self.begin(),
            Input::Request(ticket, request) => self.request(ticket, request),
            Input::Left(tickets) => self.leave(&tickets),
            Input::Outcome(outcome) => self.outcome(outcome),
            Input::Committed(outcome) => self.committed(&outcome),
            Input::Timer(Timer::Commit) => self.fx.outbox.resume(),
            Input::Timer(Timer::Watch) => self.watch_again(),
        }
        self.advance();
        if self.fx.is_ripe() {
            self.fx.release(&Ok(()));
        }
        self.commit();
        self.fx.take()
    }

    /// Clients that left: so that one which asks again and again makes no heap.
    fn leave(&mut self, left: &[Ticket]) {
        self.pod.leave(left);
        for container in self.containers.values_mut() {
            container.leave(left);
        }
        if let Admission::Deferred { requests, .. } = &mut self.admission {
            // They ask again if they still want it.
            requests.retain(|(ticket, _)| !left.contains(ticket));
        }
    }

    /// Begins the next commit if there is something to commit and none is under way.
    fn commit(&mut self) {
        let Some(dirty) = self.fx.outbox.next() else { return };
        let shown = match (dirty.pod_gone, self.entry()) {
            (true, _) => Shown::Gone,
            (false, Some(entry)) => Shown::Entry(Box::new(entry)),
            (false, None) => Shown::Nothing,
        };
        let rows = self.rows(&dirty);
        self.fx.outbox.begin(dirty, shown);
        self.fx.push(Action::Commit(rows));
    }

    fn rows(&self, dirty: &Dirty) -> Vec<Row> {
        if dirty.pod_gone {
            return vec![Row::NoPod];
        }
        let pod = self.pod.record().filter(|_| dirty.pod).map(|record| Row::Pod(Box::new(record)));
        let containers = dirty.containers.iter().filter_map(|id| {
            let container = self.containers.get(id)?;
            let record = Box::new(container.made()?.record.clone());
            Some(Row::Container(id.clone(), Arc::clone(&container.spec), record))
        });
        let gone = dirty.gone.iter().cloned().map(Row::NoContainer);
        pod.into_iter().chain(containers).chain(gone).collect()
    }

    /// A commit is over. What happened is shown also when it can't be recorded: lists tell the truth.
    fn committed(&mut self, outcome: &Result<(), Error>) {
        let Some((mark, shown)) = self.fx.outbox.finish(outcome.is_ok()) else { return };
        match shown {
            Shown::Entry(entry) => self.fx.push(Action::Publish(entry)),
            Shown::Gone if outcome.is_ok() => self.fx.push(Action::Hide),
            Shown::Gone | Shown::Nothing => {}
        }
        if let Err(error) = outcome {
            tracing::error!(%error, "the pod's record can't be written; it is tried again");
            self.fx.push(Action::Pause(Timer::Commit, effects::RETRY));
            self.not_recorded(mark, error);
        }
        self.fx.release(outcome);
    }

    /// The pod's own row changed, with its life.
    fn life_changed(&mut self) {
        self.pod.recorded = self.fx.outbox.pod();
    }
}
