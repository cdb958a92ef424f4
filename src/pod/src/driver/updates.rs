//! Changes of containers' limits, one after the other: each builds on what the one before has made of them.

use std::sync::Arc;

use peapod_spec::container::Resources;

use super::answer;
use super::containers::precondition;
use super::{Done, Driver, Waiter};
use crate::bounds::UPDATES_WAITING;
use crate::container;
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::ContainerPhase;

impl Driver {
    pub(super) fn update_requested(&mut self, id: &ContainerId, change: Box<Resources>, answer: Waiter<()>) {
        let Some(entry) = self.pod.containers.get_mut(id) else {
            return answer::one(answer, Err(Error::no_container(id.as_str())));
        };
        if entry.updates.len() >= UPDATES_WAITING {
            let (id, state) = (id.to_string(), format!("being updated, and {UPDATES_WAITING} further updates wait"));
            let need = "a further one needs them to be through: wait for them";
            return answer::one(answer, Err(Error::Precondition { what: "container", id, state, need }));
        }
        entry.updates.push_back((change, answer));
        if entry.updates.len() == 1 {
            self.begin_update(id);
        }
    }

    /// Begins with the first that can be carried out.
    fn begin_update(&mut self, id: &ContainerId) {
        let (node, shim) = (Arc::clone(&self.node), self.pod.shim.clone());
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        let before = entry.spec.resources.clone();
        let merged = entry.updates.front().map(|(change, _)| peapod_spec::update_resources(&before, change));
        let Some(merged) = merged else { return };
        let (phase, group) = match entry.made() {
            Some(made) => (&made.record.phase, made.record.cgroup.clone()),
            None => return self.refuse_updates(id, &Error::no_container(id.as_str())),
        };
        let shim = match (phase, shim) {
            (ContainerPhase::Created, _) => None,
            (ContainerPhase::Running { .. }, Some(shim)) => Some(shim),
            (phase, _) => {
                let need = "limits can only be changed while it is created or running";
                let refused = precondition(id, phase, need);
                return self.refuse_updates(id, &refused);
            }
        };
        let by_systemd = self.pod.record.cgroup.driver == peapod_cgroup::Driver::Systemd;
        let (id, pod) = (id.clone(), Arc::clone(&self.pod.spec));
        self.tasks.spawn(async move {
            let outcome = match shim {
                Some(shim) => {
                    let (handler, before, after) = (pod.runtime_handler.as_str(), &before, &merged);
                    let update = container::Update { id: &id, group: &group, handler, by_systemd, before, after };
                    container::update(&node, &shim, update).await
                }
                None => Ok(()),
            };
            Done::Updated { id, merged: Box::new(merged), outcome }
        });
    }

    /// Answers all that wait: none of them can be carried out.
    pub(super) fn refuse_updates(&mut self, id: &ContainerId, error: &Error) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        for (_, waiter) in std::mem::take(&mut entry.updates) {
            answer::one(waiter, Err(error.clone()));
        }
    }

    pub(super) fn updated(&mut self, id: &ContainerId, merged: Resources, outcome: Result<(), Error>) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        let waiter = entry.updates.pop_front().map(|(_, waiter)| waiter);
        if outcome.is_ok() {
            Arc::make_mut(&mut entry.spec).resources = merged;
            self.container_changed(id);
        }
        self.then(move |_, committed| {
            if let Some(waiter) = waiter {
                answer::one(waiter, outcome.and_then(|()| committed.clone()));
            }
        });
        self.begin_update(id);
    }
}
