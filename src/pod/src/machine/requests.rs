//! Requests for containers: which are taken, joined or refused, by the container's phase and what is being done to it.

use std::sync::Arc;

use peapod_spec::container::Resources;
use peapod_spec::pod::PidMode;
use peapod_text::excerpt;

use super::Machine;
use super::action::Job;
use super::container::{Body, Container, Operation, never_started, precondition};
use super::delivery::{Delivery, Stage};
use super::input::{NewContainer, Reply, Room, Ticket};
use super::life::Life;
use crate::bounds::UPDATES_WAITING;
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::ContainerPhase;

impl<S: Clone> Machine<S> {
    pub(super) fn create_requested(&mut self, ticket: Ticket, new: NewContainer) {
        let NewContainer { id, spec, admitted } = new;
        let name = &spec.metadata;
        if let Some((known, container)) = self.containers.iter_mut().find(|(_, known)| known.spec.metadata == *name) {
            // A container on its way out does not hand its result to anyone.
            let same = *container.spec == spec && container.removal.is_none();
            let made = matches!(container.body, Body::Made(_));
            let refusal = match container.create.stage() {
                Stage::Pending if same => return container.create.join(ticket),
                Stage::Open if same => return self.fx.answer(ticket, Ok(Reply::Created(known.clone()))),
                _ if !made => Error::Busy { what: "container", name: excerpt(&name.name) },
                _ => {
                    let name = format!("{} (attempt {})", excerpt(&name.name), name.attempt);
                    Error::AlreadyExists { what: "container", name, id: known.to_string() }
                }
            };
            return self.fx.refuse(ticket, refusal);
        }
        if !self.pod.is_ready() {
            let need = "a container can only be made in a ready one: run another sandbox";
            return self.fx.refuse(ticket, self.pod.not_ready(need));
        }
        let listed = match admitted {
            Ok(listed) => listed,
            Err(error) => return self.fx.refuse(ticket, error),
        };
        let mut container = Container::making(spec, listed);
        container.create.join(ticket);
        let namespaces = self.pod.life.up().map(|up| up.namespaces.clone()).unwrap_or_default();
        self.fx.run(Job::Create { id: id.clone(), spec: Arc::clone(&container.spec), namespaces });
        self.containers.insert(id, container);
    }

    pub(super) fn start_requested(&mut self, ticket: Ticket, id: &ContainerId, room: Room) {
        let Some(container) = self.containers.get_mut(id) else { return self.unknown(ticket, id) };
        let Body::Made(made) = &container.body else { return self.unknown(ticket, id) };
        match (&made.record.phase, container.start.stage()) {
            (ContainerPhase::Created, _) if container.removal.is_none() && made.is_idle() => {}
            // An earlier daemon's start, and nobody can ask the pod's shim what became of it.
            (ContainerPhase::Starting, _) if made.is_idle() && !self.pod.is_ready() => {}
            (ContainerPhase::Starting, _) | (ContainerPhase::Running { .. }, Stage::Pending) => {
                return container.start.join(ticket);
            }
            (ContainerPhase::Running { .. }, Stage::Open) => return self.fx.answer(ticket, Ok(Reply::Done)),
            (phase, _) => {
                let refusal = precondition(id, phase, "only a created container can start");
                return self.fx.refuse(ticket, refusal);
            }
        }
        if !self.pod.is_ready() {
            let need = "a container can only be started in a ready one: stop it and run another sandbox";
            return self.fx.refuse(ticket, self.pod.not_ready(need));
        }
        // It stays created, and can be started once there is room.
        let target = match room.and_then(|()| self.target_pid(id)) {
            Ok(target) => target,
            Err(error) => return self.fx.refuse(ticket, error),
        };
        let Some(container) = self.containers.get_mut(id) else { return };
        // Of an earlier try there is nothing to remember.
        container.start = Delivery::new();
        container.start.join(ticket);
        if let Some(made) = container.made_mut() {
            made.record.phase = ContainerPhase::Starting;
            made.record.needs_cleanup = true;
            made.operation = Operation::StartRecorded { target };
            made.recorded = self.fx.outbox.container(id);
        }
    }

    pub(super) fn stop_container_requested(&mut self, ticket: Ticket, id: &ContainerId, deadline: i64) {
        let undriven = self.is_undriven();
        let Some(container) = self.containers.get_mut(id) else { return self.unknown(ticket, id) };
        let Body::Made(made) = &mut container.body else { return self.unknown(ticket, id) };
        match made.record.phase {
            // It will not start any more.
            ContainerPhase::Created => {
                made.record.phase = ContainerPhase::Exited(never_started(self.fx.now.realtime));
                made.recorded = self.fx.outbox.container(id);
                self.fx.tell(ticket);
            }
            // Its end may be on its way to the disk: whoever is told can look at it.
            ContainerPhase::Exited(_) => self.fx.tell(ticket),
            ContainerPhase::Starting | ContainerPhase::Running { .. } => {
                if undriven {
                    return self.fx.refuse(ticket, self.undriven());
                }
                container.stops.push(ticket);
                if made.record.stop_deadline.is_none_or(|known| deadline < known) {
                    made.record.stop_deadline = Some(deadline);
                    self.fx.outbox.container(id);
                }
                self.retry_clean_up();
            }
        }
    }

    pub(super) fn remove_container_requested(&mut self, ticket: Ticket, id: &ContainerId) {
        let Some(container) = self.containers.get_mut(id) else { return self.unknown(ticket, id) };
        if container.is_live() && self.is_undriven() {
            return self.fx.refuse(ticket, self.undriven());
        }
        let Some(container) = self.containers.get_mut(id) else { return };
        container.removal.get_or_insert_default().push(ticket);
        self.retry_clean_up();
    }

    pub(super) fn update_requested(&mut self, ticket: Ticket, id: &ContainerId, change: Box<Resources>) {
        let Some(container) = self.containers.get_mut(id) else { return self.unknown(ticket, id) };
        if container.made().is_none() {
            return self.unknown(ticket, id);
        }
        // One is being carried out.
        if container.updates.len() + 1 >= UPDATES_WAITING {
            let state = format!("being updated, and {UPDATES_WAITING} further updates wait");
            let need = "a further one needs them to be through: wait for them";
            let refusal = Error::Precondition { what: "container", id: id.to_string(), state, need };
            return self.fx.refuse(ticket, refusal);
        }
        container.updates.push_back((ticket, change));
    }

    fn unknown(&mut self, ticket: Ticket, id: &ContainerId) {
        self.fx.refuse(ticket, Error::no_container(id.as_str()));
    }

    /// One container can't be ended alone.
    fn is_undriven(&self) -> bool {
        matches!(self.pod.life, Life::Foreign { .. }) && self.pod.stop.is_none() && self.pod.removal.is_none()
    }

    /// Why nothing can be done to one container of a pod whose shim is another peapod's.
    fn undriven(&self) -> Error {
        self.pod.not_ready("its containers can only be stopped together: stop the sandbox")
    }

    /// The process whose PID namespace a container asked to share, if it did.
    fn target_pid(&self, id: &ContainerId) -> Result<Option<u32>, Error> {
        let Some(container) = self.containers.get(id) else { return Ok(None) };
        let PidMode::Target(target) = &container.spec.security.pid else { return Ok(None) };
        let field = "linux.security_context.namespace_options.target_id";
        let invalid = |reason: String| Error::Invalid { field: field.to_owned(), reason };
        let mut found = self.containers.iter();
        let found = found.find(|(other, _)| other.as_str().starts_with(target.as_str()) && !target.is_empty());
        let name = excerpt(target);
        let Some((_, other)) = found else { return Err(invalid(format!("container {name} is not in this pod"))) };
        match other.made().map(|made| &made.record.phase) {
            Some(ContainerPhase::Running { pid, .. }) => Ok(Some(*pid)),
            _ => Err(invalid(format!("container {name} does not run: its PID namespace can't be shared"))),
        }
    }
}
