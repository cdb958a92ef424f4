//! What follows from a step, collected while the step goes on.

use std::time::Duration;

use super::action::{Action, Job};
use super::input::{Now, Reply, Ticket};
use super::outbox::{CommitNumber, Outbox};
use crate::error::Error;

/// Waits for a commit.
#[derive(Debug)]
enum Held {
    /// A result that counts only when it is on disk.
    Promise(Ticket, Reply),
    /// What happened, whether it could be recorded or not.
    Fact(Ticket, Result<Reply, Error>),
}

/// Pause before a commit that failed (a full disk, as a rule) is tried again.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Actions, and what waits until it may become one.
#[derive(Debug)]
pub(crate) struct Effects<S> {
    pub(crate) now: Now,
    pub(crate) outbox: Outbox,
    actions: Vec<Action<S>>,
    /// In the order of their marks.
    held: Vec<(CommitNumber, Held)>,
}

impl<S> Effects<S> {
    pub(crate) fn new() -> Self {
        Self { now: Now::default(), outbox: Outbox::default(), actions: Vec::new(), held: Vec::new() }
    }

    pub(crate) fn push(&mut self, action: Action<S>) {
        self.actions.push(action);
    }

    pub(crate) fn run(&mut self, job: Job<S>) {
        self.push(Action::Run(job));
    }

    pub(crate) fn reached(&mut self, stage: &'static str) {
        self.push(Action::Reached(stage));
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, result: Result<Reply, Error>) {
        self.push(Action::Answer(ticket, result));
    }

    pub(crate) fn refuse(&mut self, ticket: Ticket, error: Error) {
        self.answer(ticket, Err(error));
    }

    pub(crate) fn answer_all(&mut self, tickets: Vec<Ticket>, result: &Result<Reply, Error>) {
        for ticket in tickets {
            self.answer(ticket, result.clone());
        }
    }

    /// Once everything that was decided up to now is on disk; with the error if it can't be brought there.
    pub(crate) fn promise(&mut self, ticket: Ticket, reply: Reply) {
        self.hold(Held::Promise(ticket, reply));
    }

    /// Once everything that was decided up to now is on disk, or could not be brought there.
    pub(crate) fn tell(&mut self, ticket: Ticket, result: Result<Reply, Error>) {
        self.hold(Held::Fact(ticket, result));
    }

    fn hold(&mut self, held: Held) {
        self.held.push((self.outbox.barrier(), held));
    }

    /// Calls that wait for a commit.
    pub(crate) fn held(&self) -> impl Iterator<Item = Ticket> {
        self.held.iter().map(|(_, Held::Promise(ticket, _) | Held::Fact(ticket, _))| *ticket)
    }

    /// Lets go of what waited for commits that are over, of which the last one ended so.
    pub(crate) fn release(&mut self, outcome: &Result<(), Error>) {
        let over = self.held.partition_point(|(mark, _)| self.outbox.is_over(*mark));
        for (_, held) in self.held.drain(..over).collect::<Vec<_>>() {
            match held {
                Held::Promise(ticket, reply) => self.answer(ticket, outcome.clone().map(|()| reply)),
                Held::Fact(ticket, result) => self.answer(ticket, result),
            }
        }
    }

    /// Whether something waits that need not any more.
    pub(crate) fn is_ripe(&self) -> bool {
        self.held.first().is_some_and(|(mark, _)| self.outbox.is_over(*mark))
    }

    pub(crate) fn take(&mut self) -> Vec<Action<S>> {
        std::mem::take(&mut self.actions)
    }
}
