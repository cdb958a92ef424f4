//! What the end of its jobs, and of its process, make of a container.

use std::sync::Arc;

use super::action::{Action, JobKey};
use super::container::{
    Body, CleaningUp, Container, Made, NEEDS_LIFE, Operation, ended, never_started, start_error, unknown_end,
};
use super::effects::Effects;
use super::input::{ContainerOutcome, JobError, Reply, Started};
use super::outbox::CommitNumber;
use crate::container::RecoveredState;
use crate::error::Error;
use crate::id::ContainerId;
use crate::namespaces::PodNamespaces;
use crate::record::{ContainerPhase, Ended};

impl Container {
    /// A job of it is over that makes and removes none. Answers the pod's namespaces, if a start made any.
    pub(crate) fn outcome<S>(
        &mut self,
        id: &ContainerId,
        outcome: ContainerOutcome,
        fx: &mut Effects<S>,
    ) -> Option<PodNamespaces> {
        match outcome {
            ContainerOutcome::Started(outcome) => return self.started(id, outcome, fx),
            ContainerOutcome::StopSent(outcome) => self.stop_sent(id, outcome, fx),
            ContainerOutcome::Updated(outcome) => self.updated(id, outcome, fx),
            // These are about all containers.
            ContainerOutcome::Created(_) | ContainerOutcome::CleanedUp(_) | ContainerOutcome::Removed(_) => {}
        }
        None
    }

    /// A start is over.
    pub(crate) fn started<S>(
        &mut self,
        id: &ContainerId,
        outcome: Result<Started, JobError>,
        fx: &mut Effects<S>,
    ) -> Option<PodNamespaces> {
        let made = self.made_mut()?;
        let early_exit = match &mut made.operation {
            Operation::Starting { early_exit } => early_exit.take(),
            Operation::StartRecorded { .. } => None,
            _ => return None,
        };
        let (result, namespaces) = match outcome {
            Ok(Started { pid, at, namespaces, exec }) => {
                made.exec = exec;
                made.record.phase = match early_exit {
                    Some(end) => ContainerPhase::Exited(end.since(at)),
                    None => ContainerPhase::Running { pid, started_at: at, updating: None },
                };
                (Ok(()), namespaces)
            }
            Err(error) => {
                let error = error.into_error("start the container");
                tracing::warn!(container = id.short(), %error, "container could not be started");
                made.record.phase = ContainerPhase::Exited(start_error(&error, fx.now.realtime));
                (Err(error), None)
            }
        };
        made.operation = Operation::Started(result);
        // The shim's Stop is another call than the one that ended the start.
        made.sent_deadline = None;
        made.recorded = fx.outbox.container(id);
        namespaces
    }

    /// What became of it while no daemon was there: it is what its shim says.
    pub(crate) fn recovered<S>(&mut self, id: &ContainerId, state: &RecoveredState, fx: &mut Effects<S>) {
        let now = fx.now.realtime;
        let Some(made) = self.made_mut() else { return };
        match state {
            RecoveredState::Running { pid } => {
                if made.record.phase == ContainerPhase::Starting {
                    // Nobody was told of its start: it counts from now.
                    made.record.phase = ContainerPhase::Running { pid: *pid, started_at: now, updating: None };
                    made.recorded = fx.outbox.container(id);
                }
            }
            RecoveredState::Ended(exit) => {
                let started_at = match made.record.phase {
                    ContainerPhase::Running { started_at, .. } => started_at,
                    _ => now,
                };
                let end = exit.as_ref().map_or_else(|| unknown_end(started_at, now), ended);
                self.exited(id, end, fx);
            }
            RecoveredState::NotStarted => made.not_started(id, fx),
        }
    }

    /// Its processes are gone.
    pub(crate) fn exited<S>(&mut self, id: &ContainerId, end: Ended, fx: &mut Effects<S>) {
        let Some(made) = self.made_mut() else { return };
        let end = match (&made.record.phase, &mut made.operation) {
            // The end of its start, which is on the way, comes first.
            (ContainerPhase::Starting, Operation::Starting { early_exit }) => {
                *early_exit = Some(end);
                return;
            }
            (ContainerPhase::Starting, Operation::None) => end,
            (ContainerPhase::Running { started_at, .. }, _) => end.since(*started_at),
            _ => return,
        };
        tracing::info!(container = id.short(), code = end.code, reason = end.reason, "container ended");
        made.record.phase = ContainerPhase::Exited(end);
        made.recorded = fx.outbox.container(id);
        match &made.operation {
            // Nobody needs its limits any more, whatever the OCI runtime waits for.
            Operation::Updating { .. } => fx.push(Action::Cancel(JobKey::Update(id.clone()))),
            // First who asked for the start, or the update, hears of it.
            Operation::Started(_) | Operation::UpdateRecorded { .. } => {}
            _ => made.rest(),
        }
    }

    fn stop_sent<S>(&mut self, id: &ContainerId, outcome: Result<(), JobError>, fx: &mut Effects<S>) {
        // The clean-up after a shim that is gone ends all waiting.
        let Err(JobError::Failed(error)) = outcome else { return };
        // It has ended all the same, which is on its way to those who wait, or is being removed.
        if !self.is_live() {
            return;
        }
        self.fail_waiting(&error, fx);
        // Another stop tries again.
        if let Some(made) = self.made_mut() {
            made.record.stop_deadline = None;
            made.sent_deadline = None;
            fx.outbox.container(id);
        }
    }

    /// Whoever waits for its end, or for its removal, hears that there is none: unless that is under way.
    pub(crate) fn fail_waiting<S>(&mut self, error: &Error, fx: &mut Effects<S>) {
        if self.made().is_some_and(|made| matches!(made.operation, Operation::Removing | Operation::Removed)) {
            return;
        }
        let result = Err(error.clone());
        fx.answer_all(std::mem::take(&mut self.stops), &result);
        fx.answer_all(self.removal.take().unwrap_or_default(), &result);
    }

    fn updated<S>(&mut self, id: &ContainerId, outcome: Result<(), Error>, fx: &mut Effects<S>) {
        let Body::Made(made) = &mut self.body else { return };
        let (ticket, after) = match std::mem::replace(&mut made.operation, Operation::None) {
            Operation::Updating { ticket, after } => (ticket, after),
            other => {
                made.operation = other;
                return;
            }
        };
        made.end_update();
        fx.outbox.container(id);
        match (outcome, ticket) {
            (Ok(()), ticket) => {
                self.start.build_on();
                Arc::make_mut(&mut self.spec).resources = *after;
                if let Some(ticket) = ticket {
                    fx.promise(ticket, Reply::Done);
                }
            }
            // It ended meanwhile, which is why, and what a later call would hear.
            (Err(_), Some(ticket)) if made.has_ended() => fx.refuse(ticket, self.precondition(id, NEEDS_LIFE)),
            // The next daemon would try it again as long as it is recorded.
            (Err(error), Some(ticket)) => fx.tell(ticket, Err(error)),
            (Err(_), None) if made.has_ended() => {}
            (Err(error), None) => {
                tracing::warn!(container = id.short(), %error, "an update that a restart interrupted came to nothing");
            }
        }
    }

    /// It is removed, once that is on disk. What it held is given back, or will be with the pod.
    pub(crate) fn removed<S>(&mut self, id: &ContainerId, fx: &mut Effects<S>) {
        self.removal.get_or_insert_default().append(&mut self.stops);
        if let Some(made) = self.made_mut() {
            made.record.needs_cleanup = false;
            made.operation = Operation::Removed;
            made.recorded = fx.outbox.container_gone(id);
        }
    }

    /// It could not be removed. Whoever waits for that hears so; another removal tries again.
    pub(crate) fn not_removed<S>(&mut self, id: &ContainerId, error: &JobError, fx: &mut Effects<S>) {
        if let Some(made) = self.made_mut() {
            let failed = Operation::CleaningUp(CleaningUp::Failed);
            made.operation = if made.record.needs_cleanup { failed } else { Operation::None };
        }
        if let JobError::Failed(error) = error {
            tracing::warn!(container = id.short(), %error, "container could not be removed");
            fx.answer_all(self.removal.take().unwrap_or_default(), &Err(error.clone()));
        }
    }

    /// A commit failed that may have had its last change.
    pub(crate) fn not_recorded<S>(&mut self, id: &ContainerId, mark: CommitNumber, error: &Error, fx: &mut Effects<S>) {
        let Body::Made(made) = &mut self.body else { return };
        if made.recorded > mark {
            return;
        }
        let result = Err(error.clone());
        if made.never_ran() {
            // The next daemon would find one that can be started.
            fx.answer_all(std::mem::take(&mut self.stops), &result);
        }
        match (&made.record.phase, &made.operation) {
            (_, Operation::Removed) => {
                // Its record is tried again, and goes with the next commit.
                made.recorded = mark.next();
                fx.answer_all(self.removal.as_mut().map(std::mem::take).unwrap_or_default(), &result);
            }
            (ContainerPhase::Starting, Operation::StartRecorded { .. }) => {
                fx.answer_all(self.start.fail(), &result);
                made.not_started(id, fx);
            }
            (ContainerPhase::Running { .. }, Operation::UpdateRecorded { ticket, .. }) => {
                let ticket = *ticket;
                made.end_update();
                fx.outbox.container(id);
                fx.answer(ticket, result);
            }
            _ if self.create.is_due() => {
                fx.answer_all(self.create.fail(), &result);
                self.create.build_on();
                self.removal.get_or_insert_default();
            }
            _ => {}
        }
    }
}

impl Made {
    /// A start came to nothing and left nothing: it can be asked for again, unless a stop came meanwhile.
    fn not_started<S>(&mut self, id: &ContainerId, fx: &mut Effects<S>) {
        self.record.phase = match self.record.stop_deadline {
            Some(_) => ContainerPhase::Exited(never_started(fx.now.realtime)),
            None => ContainerPhase::Created,
        };
        self.record.needs_cleanup = false;
        self.operation = Operation::None;
        self.recorded = fx.outbox.container(id);
    }

    /// The shim gave up what it held of it, or did not: answers whether this was asked for.
    pub(crate) fn deleted<S>(&mut self, id: &ContainerId, is_done: bool, fx: &mut Effects<S>) -> bool {
        if !matches!(self.operation, Operation::CleaningUp(CleaningUp::Running)) {
            return false;
        }
        fx.reached("exit-cleaned");
        if is_done {
            self.record.needs_cleanup = false;
            self.operation = Operation::None;
            fx.outbox.container(id);
        } else {
            self.operation = Operation::CleaningUp(CleaningUp::Failed);
        }
        true
    }
}
