//! What jobs of one container ended with.

use std::sync::Arc;

use super::Machine;
use super::action::{Action, Job};
use super::container::{Body, CleaningUp, Made, Operation, never_started, start_error};
use super::input::{JobError, Reply, Started};
use super::life::Life;
use super::outbox::Mark;
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::{ContainerPhase, ContainerRecord};

impl<S: Clone> Machine<S> {
    pub(super) fn created(&mut self, id: &ContainerId, outcome: Result<Box<ContainerRecord>, Error>) {
        if self.abandoned.contains(id) {
            match outcome {
                Ok(_) | Err(Error::Defect { .. }) => self.fx.run(Job::Discard(id.clone())),
                Err(_) => {
                    self.abandoned.remove(id);
                }
            }
            return;
        }
        let Some(container) = self.containers.get_mut(id) else { return };
        match outcome {
            Ok(record) => {
                let recorded = self.fx.outbox.container(id);
                container.body = Body::Made(Box::new(Made::new(*record, recorded)));
            }
            Err(error) => {
                if matches!(error, Error::Defect { .. }) {
                    // How far it came, nobody knows.
                    self.abandoned.insert(id.clone());
                    self.fx.run(Job::Discard(id.clone()));
                }
                let result = Err(error);
                self.fx.answer_all(container.create.fail(), &result);
                self.fx.answer_all(container.removal.take().unwrap_or_default(), &Ok(Reply::Done));
                self.containers.remove(id);
            }
        }
    }

    pub(super) fn started(&mut self, id: &ContainerId, outcome: Result<Started, JobError>) {
        let now = self.fx.now.realtime;
        let Some(made) = self.containers.get_mut(id).and_then(super::Container::made_mut) else { return };
        let early_exit = match &mut made.operation {
            Operation::Starting { early_exit } => early_exit.take(),
            Operation::StartRecorded { .. } => None,
            _ => return,
        };
        let result = match outcome {
            Ok(Started { pid, at, namespaces, exec }) => {
                made.exec = exec;
                if let (Some(namespaces), Some(up)) = (namespaces, self.pod.life.up_mut()) {
                    up.namespaces = namespaces;
                }
                made.record.phase = match early_exit {
                    Some(end) => ContainerPhase::Exited(end.since(at)),
                    None => ContainerPhase::Running { pid, started_at: at },
                };
                Ok(())
            }
            Err(error) => {
                let error = error.into_error("start the container");
                tracing::warn!(container = id.short(), %error, "container could not be started");
                made.record.phase = ContainerPhase::Exited(start_error(&error, now));
                Err(error)
            }
        };
        made.operation = Operation::Started(result);
        // The shim's Stop is another call than the one that ended the start.
        made.told = None;
        made.recorded = self.fx.outbox.container(id);
    }

    /// A start came to nothing and left nothing: it can be asked for again, unless a stop came meanwhile.
    pub(super) fn not_started(&mut self, id: &ContainerId) {
        let now = self.fx.now.realtime;
        let Some(made) = self.containers.get_mut(id).and_then(super::Container::made_mut) else { return };
        made.record.phase = match made.record.stop_deadline {
            Some(_) => ContainerPhase::Exited(never_started(now)),
            None => ContainerPhase::Created,
        };
        made.record.needs_cleanup = false;
        made.operation = Operation::None;
        made.recorded = self.fx.outbox.container(id);
    }

    pub(super) fn stop_sent(&mut self, id: &ContainerId, outcome: Result<(), JobError>) {
        // The clean-up after a shim that is gone ends all waiting.
        let Err(JobError::Failed(error)) = outcome else { return };
        let Some(container) = self.containers.get_mut(id) else { return };
        let result = Err(error);
        self.fx.answer_all(std::mem::take(&mut container.stops), &result);
        self.fx.answer_all(container.removal.take().unwrap_or_default(), &result);
        // Another stop tries again.
        if let Some(made) = container.made_mut() {
            made.record.stop_deadline = None;
            made.told = None;
            self.fx.outbox.container(id);
        }
    }

    pub(super) fn updated(&mut self, id: &ContainerId, outcome: Result<(), Error>) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Body::Made(made) = &mut container.body else { return };
        let Operation::Updating { ticket, after } = std::mem::replace(&mut made.operation, Operation::None) else {
            return;
        };
        made.rest();
        match outcome {
            Ok(()) => {
                Arc::make_mut(&mut container.spec).resources = *after;
                self.fx.outbox.container(id);
                self.fx.promise(ticket, Reply::Done);
            }
            Err(error) => self.fx.refuse(ticket, error),
        }
    }

    /// The shim gave up what it held of an ended container.
    pub(super) fn deleted(&mut self, id: &ContainerId, outcome: Result<(), JobError>) {
        let Some(made) = self.containers.get_mut(id).and_then(super::Container::made_mut) else { return };
        if !matches!(made.operation, Operation::CleaningUp(CleaningUp::Running)) {
            return;
        }
        self.fx.reached("exit-cleaned");
        match outcome {
            Ok(()) => {
                made.record.needs_cleanup = false;
                made.operation = Operation::None;
                self.fx.outbox.container(id);
            }
            Err(error) => {
                made.operation = Operation::CleaningUp(CleaningUp::Failed);
                self.not_cleaned_up(id, error, "clean up an ended container");
            }
        }
    }

    pub(super) fn removed(&mut self, id: &ContainerId, outcome: Result<(), JobError>) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Body::Made(made) = &mut container.body else { return };
        match outcome {
            Ok(()) => {
                let gone = Error::no_container(id.as_str());
                for (ticket, _) in std::mem::take(&mut container.updates) {
                    self.fx.refuse(ticket, gone.clone());
                }
                let mut tickets = container.removal.take().unwrap_or_default();
                tickets.append(&mut container.stops);
                self.containers.remove(id);
                self.fx.outbox.container_gone(id);
                self.fx.reached_then("container-gone");
                for ticket in tickets {
                    self.fx.promise(ticket, Reply::Done);
                }
            }
            Err(error) => {
                let failed = Operation::CleaningUp(CleaningUp::Failed);
                made.operation = if made.record.needs_cleanup { failed } else { Operation::None };
                if let JobError::Failed(error) = &error {
                    tracing::warn!(container = id.short(), %error, "container could not be removed");
                    self.fx.answer_all(container.removal.take().unwrap_or_default(), &Err(error.clone()));
                }
                self.not_cleaned_up(id, error, "remove the container");
            }
        }
    }

    /// Whoever needs an ended container to be given back can't go on. Without a shim the clean-up after it does that.
    fn not_cleaned_up(&mut self, id: &ContainerId, error: JobError, step: &'static str) {
        let JobError::Failed(error) = error else { return };
        tracing::warn!(container = id.short(), %error, step, "the pod's stop and the container's removal try again");
        let waits_for_it = self.pod.stop.is_some() && self.pod.life.is_drained();
        if waits_for_it || (self.pod.removal.is_some() && matches!(self.pod.life, Life::Stopped)) {
            self.stop_failed(&error);
        }
    }

    /// A commit failed that had this container's last change.
    pub(super) fn container_not_recorded(&mut self, id: &ContainerId, mark: Mark, error: &Error) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(made) = container.made().filter(|made| made.recorded <= mark) else { return };
        let result = Err(error.clone());
        match (&made.record.phase, &made.operation) {
            (ContainerPhase::Starting, Operation::StartRecorded { .. }) => {
                self.fx.answer_all(container.start.fail(), &result);
                self.not_started(id);
            }
            _ if container.create.is_due() => {
                self.fx.answer_all(container.create.fail(), &result);
                container.create.build_on();
                container.removal.get_or_insert_default();
            }
            _ => {}
        }
    }

    /// A job is given up that is of no use any more.
    pub(super) fn cancel(&mut self, job: super::JobKey) {
        self.fx.push(Action::Cancel(job));
    }
}
