//! A pod's rules of life: what follows from what happens, and nothing else.
//!
//! A [`Machine`] is one pod sandbox with its containers. It takes one [`Input`] after the other (a call, the end of a
//! job, of a commit, of a pause) and answers the [`Action`]s that follow, in their order. It knows no clock, no task,
//! no database and no shim: time and ids come with the input, and whatever takes time is a [`Job`] whose outcome is a
//! later input. The pod's actor carries the actions out. So every way through the machine can be tried in a test
//! (`machine/model`).
//!
//! # A step
//!
//! 1. The input changes the state. A request is refused, answered, joined to an equal one that is under way, or noted
//!    as wanted (`admission`, `pod_requests`, `group_updates`, `container_requests`). An outcome says what is
//!    (`outcomes`, `pod_outcomes`, `containers`, `container_outcomes`).
//! 2. [`advance`] computes from the state alone what can go on, until nothing more can. There, and nowhere else, is
//!    decided which job comes next and who is answered.
//! 3. What changed is committed, if no other commit is under way.
//!
//! # The outbox
//!
//! The daemon may die at any instant, and the next one knows but what is on disk. So nothing is told before it is
//! recorded, and nothing is made that no record leads to. Rows that changed wait in the [outbox] for the next commit. A
//! change has a mark, the number of the commit that takes it to the disk; what builds on the change (an answer, a job,
//! the acknowledgement of a shim's event) waits until that commit is over. Lists show a change then, too. After a
//! commit that failed who waits for it is told so, and the rows are tried again.
//!
//! # A pod's life
//!
//! | [`Life`] | what there is | recorded as | sandbox in CRI |
//! |---|---|---|---|
//! | `Intended`, `SettingUp`, `Failed` | RunPodSandbox is under way, or came to nothing | `Setup` | not shown |
//! | `TakingBack` | what an earlier daemon left half made is undone | `Setup` | not shown |
//! | `Reconnecting` | an earlier daemon's pod; its shim is looked for | as it was | as it was |
//! | `Up`: `Ready`, `Stopping` | the shim lives; everything is to be killed by it | `Ready` | READY |
//! | `Up`: `Broken` | pod init has ended, or the kill is done | `Broken` | NOTREADY |
//! | `Foreign` | a shim that this daemon can't drive | as it was | NOTREADY |
//! | `Lost` | no shim any more: what it left is cleaned up | `Broken` | NOTREADY |
//! | `Releasing` | shim and network are given back | `Broken` | NOTREADY |
//! | `Stopped`, `RemovingFiles` | files and the record | `Stopped` | NOTREADY |
//! | `Gone`, `Over` | the record is to go; nothing | – | not shown |
//!
//! Whether the pod is to be stopped or removed is no state of its life but stands beside it, with who waits for that: a
//! stop that could not be carried out ends with an error, and leaves the life where it is for the next one.
//!
//! # A container's
//!
//! Its phase is what is recorded: `Created`, `Starting`, `Running`, `Exited`. What is being done to it is its
//! operation, one at a time: a start that waits for its record, a start, an update, the clean-up of what an ended one
//! held, its removal. A stop is none: it goes beside a start and overrides it, and its end comes as the exit that the
//! shim tells.

mod action;
mod admission;
mod advance;
mod advance_container;
mod awaited;
mod container;
mod container_outcomes;
mod container_requests;
mod containers;
mod delivery;
mod effects;
mod group_updates;
mod input;
mod life;
#[cfg(test)]
mod model;
mod outbox;
mod outcomes;
mod pod;
mod pod_outcomes;
mod pod_requests;
mod pod_updates;
mod recorded;
mod task;
mod view;

use std::sync::Arc;

use crate::error::Error;
use crate::id::ContainerId;
use crate::listed::Share;
use crate::view::PodEntry;

use admission::Admission;
use containers::PodContainers;
use delivery::Delivery;
use effects::Effects;
use life::Life;
use outbox::{CommitNumber, Dirty, Shown};
use pod::{Pod, PodNetwork};
use pod_updates::PodUpdates;

pub(crate) use action::{Action, GroupChange, Job, JobKey, Row, Start, Update};
pub(crate) use awaited::Awaited;
pub(crate) use input::{
    Connected, ContainerOutcome, Input, JobError, NewContainer, Now, Outcome, ReconnectError, Reconnected, Reply,
    Request, SetUp, ShimEvent, ShimEventKind, Started, Ticket, Timer,
};
pub(crate) use pod::Identity;
pub(crate) use recorded::Seen;
pub(crate) use task::{NoResult, TaskKey};

/// A pod with its containers. `S` is a connection to a shim.
#[derive(Debug)]
pub(crate) struct Machine<S> {
    pod: Pod<S>,
    containers: PodContainers,
    admission: Admission,
    fx: Effects<S>,
}

impl<S: Clone> Machine<S> {
    /// A pod of which nothing exists.
    pub(crate) fn new(identity: Identity, listed: Share) -> Self {
        let pod = Pod {
            spec: Arc::clone(&identity.spec),
            identity: Arc::new(identity),
            life: Life::Intended,
            network: PodNetwork::default(),
            last_event: 0,
            run: Delivery::new(),
            updates: PodUpdates::default(),
            stop: None,
            removal: None,
            recorded: CommitNumber::default(),
            strays: Vec::new(),
            _listed: listed,
        };
        Self { pod, containers: PodContainers::default(), admission: Admission::Open, fx: Effects::new() }
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.pod.identity
    }

    /// The pod as readers see it; none while it is being made.
    pub(crate) fn entry(&self) -> Option<PodEntry> {
        view::entry(&self.pod, &self.containers.by_id)
    }

    /// Nothing is left to be done, ever: that the pod is gone is on disk, and what was abandoned is given back.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.pod.life, Life::Over) && self.containers.abandoned.is_empty() && self.fx.outbox.is_idle()
    }

    /// All containers that are recorded, those included whose records can't be read.
    pub(crate) fn recorded_containers(&self) -> impl Iterator<Item = &ContainerId> {
        self.containers.by_id.keys().chain(&self.pod.strays)
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
            Input::Timer(Timer::Watch) => {
                if let Some(up) = self.pod.life.up_mut() {
                    up.watch_again(self.fx.outbox.barrier());
                }
            }
        }
        self.advance();
        if self.fx.is_ripe() {
            self.fx.release(&Ok(()));
        }
        self.commit();
        self.fx.take()
    }

    /// Looks at a request, unless the pod is not recovered yet.
    fn request(&mut self, ticket: Ticket, request: Request) {
        let Self { pod, containers, admission, fx } = self;
        let Some(request) = admission.admit(ticket, request, fx) else { return };
        containers.build_on(&request);
        match request {
            Request::Run(spec) => pod.run_requested(ticket, &spec, fx),
            Request::StopPod => pod.stop_requested(ticket, !containers.made_are_quiet(), fx),
            Request::UpdatePod(told) => group_updates::request(pod, ticket, *told, fx),
            Request::RemovePod => pod.removal.get_or_insert_default().push(ticket),
            Request::Create(new) => {
                pod.run.build_on();
                containers.create(ticket, *new, pod, fx);
            }
            Request::Start(id, startable) => containers.start(ticket, &id, startable, pod, fx),
            Request::Stop(id, deadline) => {
                if containers.stop(ticket, &id, deadline, pod, fx) {
                    pod.life.retry_clean_up();
                }
            }
            Request::Remove(id) => {
                if containers.remove(ticket, &id, pod, fx) {
                    pod.life.retry_clean_up();
                }
            }
            Request::Update(id, change) => containers.update(ticket, &id, change, fx),
        }
    }

    /// Clients that left: so that one which asks again and again makes no heap.
    fn leave(&mut self, left: &[Ticket]) {
        self.pod.leave(left);
        self.containers.leave(left);
        self.admission.leave(left);
    }

    /// Goes on with everything until nothing more can.
    fn advance(&mut self) {
        while advance::advance(&mut self.pod, &mut self.containers, &mut self.fx) || self.admit_deferred() {}
    }

    /// From here on the pod is like any other.
    fn admit_deferred(&mut self) -> bool {
        let Some(requests) = self.admission.open(&self.fx.outbox) else { return false };
        self.fx.push(Action::Recovered);
        for (ticket, request) in requests {
            self.request(ticket, request);
        }
        true
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
        let pod = self.pod.record().filter(|_| dirty.pod);
        let pod = pod.map(|record| Row::Pod(Arc::clone(&self.pod.spec), Box::new(record)));
        let containers = dirty.containers.iter().filter_map(|id| {
            let container = self.containers.by_id.get(id)?;
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
            self.pod.not_recorded(mark, error, self.containers.are_quiet(), &mut self.fx);
            if self.containers.not_recorded(mark, error, &mut self.fx) {
                self.pod.container_not_cleaned_up(error, &mut self.fx);
            }
        }
        self.fx.release(outcome);
    }
}
