//! The containers of a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::action::Job;
use super::container::{Body, CleaningUp, Container, Made, Operation};
use super::effects::Effects;
use super::input::{JobError, Reply};
use super::outbox::CommitNumber;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::record::{ContainerRecord, Ended};

/// All containers of a pod.
#[derive(Debug, Default)]
pub(crate) struct PodContainers {
    pub(crate) by_id: BTreeMap<ContainerId, Container>,
    /// Those whose making goes on, although the pod was stopped and they are forgotten: what it takes is given back.
    pub(crate) abandoned: BTreeSet<ContainerId>,
}

impl PodContainers {
    pub(crate) fn get_mut(&mut self, id: &ContainerId) -> Option<&mut Container> {
        self.by_id.get_mut(id)
    }

    pub(crate) fn made_mut(&mut self, id: &ContainerId) -> Option<&mut Made> {
        self.get_mut(id)?.made_mut()
    }

    /// Nothing of any is being done, and nothing of any is left but files.
    pub(crate) fn are_quiet(&self) -> bool {
        self.by_id.values().all(Container::is_quiet)
    }

    /// The same of those that are made.
    pub(crate) fn made_are_quiet(&self) -> bool {
        self.by_id.values().all(|container| container.made().is_none() || container.is_quiet())
    }

    /// The clean-up after a shim that is gone. None while a job may still be doing something to a container; the shim's
    /// end ends them all.
    pub(crate) fn clean_up<S>(&self) -> Option<Job<S>> {
        if self.by_id.values().any(Container::needs_shim) {
            return None;
        }
        let live = self.by_id.iter().filter(|(_, container)| container.is_live()).map(|(id, _)| id.clone());
        let made = self.by_id.values().filter_map(Container::made);
        let cgroups = made.filter(|made| made.record.needs_cleanup).map(|made| made.record.cgroup.clone());
        Some(Job::CleanUp { live: live.collect(), cgroups: cgroups.collect() })
    }

    /// Clients that left. What they asked for goes on.
    pub(crate) fn leave(&mut self, left: &[super::Ticket]) {
        for container in self.by_id.values_mut() {
            container.leave(left);
        }
    }

    pub(crate) fn created<S>(
        &mut self,
        id: &ContainerId,
        outcome: Result<Box<ContainerRecord>, Error>,
        fx: &mut Effects<S>,
    ) {
        if self.abandoned.contains(id) {
            match outcome {
                Ok(_) | Err(Error::Defect { .. }) => fx.run(Job::Discard(id.clone())),
                Err(_) => drop(self.abandoned.remove(id)),
            }
            return;
        }
        let Some(container) = self.by_id.get_mut(id) else { return };
        match outcome {
            Ok(record) => {
                if let Some(adjusted) = &record.made_from.adjusted {
                    Arc::make_mut(&mut container.spec).resources = adjusted.given.clone();
                }
                let recorded = fx.outbox.container(id);
                container.body = Body::Made(Box::new(Made::new(*record, recorded)));
            }
            Err(error) => {
                if matches!(error, Error::Defect { .. }) {
                    // How far it came, nobody knows.
                    self.abandoned.insert(id.clone());
                    fx.run(Job::Discard(id.clone()));
                }
                let result = Err(error);
                fx.answer_all(container.create.fail(), &result);
                fx.answer_all(container.removal.take().unwrap_or_default(), &Ok(Reply::Done));
                self.by_id.remove(id);
            }
        }
    }

    /// Containers that are still being made are no part of a stopped pod any more: whatever their making waits for, it
    /// holds up no stop. False if there are none.
    pub(crate) fn abandon_creates<S>(&mut self, pod: &PodId, fx: &mut Effects<S>) -> bool {
        let making = self.by_id.iter().filter(|(_, container)| matches!(container.body, Body::Making));
        let making: Vec<_> = making.map(|(id, _)| id.clone()).collect();
        let overridden = Err(Error::Overridden { what: "pod sandbox", id: pod.to_string() });
        for id in &making {
            if let Some(mut container) = self.by_id.remove(id) {
                fx.answer_all(container.create.fail(), &overridden);
                fx.answer_all(container.removal.unwrap_or_default(), &Ok(Reply::Done));
                self.abandoned.insert(id.clone());
            }
        }
        !making.is_empty()
    }

    /// A removal is over. Answers why it came to nothing, if it did although the shim is there.
    pub(crate) fn removed<S>(
        &mut self,
        id: &ContainerId,
        outcome: Result<(), JobError>,
        fx: &mut Effects<S>,
    ) -> Option<Error> {
        let container = self.by_id.get_mut(id).filter(|container| container.made().is_some())?;
        if let Err(error) = outcome {
            container.not_removed(id, &error, fx);
            return not_cleaned_up(id, error, "remove the container");
        }
        container.removed(id, fx);
        None
    }

    /// A removal counts once it is on disk: until then who asks for it joins it, the name is taken, and nobody is told
    /// that there is no such container. False if there is none to forget.
    pub(crate) fn forget_removed<S>(&mut self, fx: &mut Effects<S>) -> bool {
        let is_over = |container: &Container| {
            container.is_removed() && container.made().is_some_and(|made| fx.outbox.is_over(made.recorded))
        };
        let Some(id) = self.by_id.iter().find(|(_, container)| is_over(container)).map(|(id, _)| id.clone()) else {
            return false;
        };
        fx.reached("container-gone");
        let tickets = self.by_id.remove(&id).and_then(|container| container.removal);
        fx.answer_all(tickets.unwrap_or_default(), &Ok(Reply::Done));
        true
    }

    /// The shim gave up what it held of an ended container. Answers why it did not, if it did not although it is there.
    pub(crate) fn deleted<S>(
        &mut self,
        id: &ContainerId,
        outcome: Result<(), JobError>,
        fx: &mut Effects<S>,
    ) -> Option<Error> {
        let made = self.made_mut(id)?;
        let is_asked_for = made.deleted(id, outcome.is_ok(), fx);
        let error = outcome.err().filter(|_| is_asked_for)?;
        not_cleaned_up(id, error, "clean up an ended container")
    }

    /// Those that had a process and whose shim is gone have ended, as their exit files say.
    pub(crate) fn ended<S>(&mut self, end: impl Fn(&ContainerId, &Made) -> Ended, fx: &mut Effects<S>) {
        for (id, container) in self.by_id.iter_mut().filter(|(_, container)| container.is_live()) {
            if let Some(end) = container.made().map(|made| end(id, made)) {
                container.exited(id, end, fx);
            }
        }
    }

    /// Everything that could not be given back before is asked for again.
    pub(crate) fn retry_failed_deletes(&mut self) {
        for made in self.by_id.values_mut().filter_map(Container::made_mut) {
            if matches!(made.operation, Operation::CleaningUp(CleaningUp::Failed)) {
                made.operation = Operation::CleaningUp(CleaningUp::Due);
            }
        }
    }

    /// Whoever waits for something that the clean-up after a shim would have brought.
    pub(crate) fn fail_waiting<S>(&mut self, error: &Error, fx: &mut Effects<S>) {
        for container in self.by_id.values_mut().filter(|container| !container.is_quiet()) {
            container.fail_waiting(error, fx);
        }
    }

    /// A commit failed. Answers whether a container that was removed is still recorded.
    pub(crate) fn not_recorded<S>(&mut self, mark: CommitNumber, error: &Error, fx: &mut Effects<S>) -> bool {
        let mut removal = false;
        for (id, container) in &mut self.by_id {
            container.not_recorded(id, mark, error, fx);
            removal |= container.is_removed();
        }
        removal
    }

    /// All of them are to be removed with their pod. False if they are already.
    pub(crate) fn remove_all(&mut self) -> bool {
        let mut any = false;
        for container in self.by_id.values_mut().filter(|container| container.removal.is_none()) {
            container.removal = Some(Vec::new());
            any = true;
        }
        any
    }
}

/// Without a shim the clean-up after it gives back what an ended container holds.
fn not_cleaned_up(id: &ContainerId, error: JobError, step: &'static str) -> Option<Error> {
    let JobError::Failed(error) = error else { return None };
    tracing::warn!(container = id.short(), %error, step, "the pod's stop and the container's removal try again");
    Some(error)
}
