//! Requests for containers: which are taken, joined or refused, by the container's phase and what is being done to it.

use std::sync::Arc;

use peapod_spec::container::Resources;
use peapod_spec::pod::PidMode;
use peapod_text::excerpt;

use super::action::Job;
use super::container::{Body, Container, Operation, never_started};
use super::containers::PodContainers;
use super::delivery::{Delivery, Stage};
use super::effects::Effects;
use super::input::{NewContainer, Reply, Request, Startable, Ticket};
use super::pod::Pod;
use crate::bounds::UPDATES_WAITING;
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::ContainerPhase;

impl PodContainers {
    /// A request shows that the container's id has arrived, whatever comes of it. A start's result counts as received
    /// only by a request that is taken.
    pub(crate) fn build_on(&mut self, request: &Request) {
        let (Request::Start(id, _) | Request::Stop(id, _) | Request::Remove(id) | Request::Update(id, _)) = request
        else {
            return;
        };
        let Some(container) = self.get_mut(id) else { return };
        container.create.build_on();
    }

    pub(crate) fn create<S>(&mut self, ticket: Ticket, new: NewContainer, pod: &Pod<S>, fx: &mut Effects<S>) {
        let NewContainer { id, spec, admitted } = new;
        let name = &spec.metadata;
        if let Some((known, container)) = self.by_id.iter_mut().find(|(_, known)| known.spec.metadata == *name) {
            // A container on its way out does not hand its result to anyone.
            let same = container.was_asked_for_as(&spec) && container.removal.is_none();
            let made = matches!(container.body, Body::Made(_));
            let refusal = match container.create.stage() {
                Stage::Pending if same => return container.create.join(ticket),
                Stage::Open if same => return fx.answer(ticket, Ok(Reply::Created(known.clone()))),
                _ if !made => Error::Busy { what: "container", name: excerpt(&name.name) },
                _ => {
                    let name = format!("{} (attempt {})", excerpt(&name.name), name.attempt);
                    Error::AlreadyExists { what: "container", name, id: known.to_string() }
                }
            };
            return fx.refuse(ticket, refusal);
        }
        if !pod.is_ready() {
            let need = "a container can only be made in a ready one: run another sandbox";
            return fx.refuse(ticket, pod.not_ready(need));
        }
        let listed = match admitted {
            Ok(listed) => listed,
            Err(error) => return fx.refuse(ticket, error),
        };
        let mut container = Container::making(spec, listed);
        container.create.join(ticket);
        let namespaces = pod.life.up().map(|up| up.namespaces.clone()).unwrap_or_default();
        fx.run(Job::Create { id: id.clone(), spec: Arc::clone(&container.spec), namespaces });
        self.by_id.insert(id, container);
    }

    pub(crate) fn start<S>(
        &mut self,
        ticket: Ticket,
        id: &ContainerId,
        startable: Startable,
        pod: &Pod<S>,
        fx: &mut Effects<S>,
    ) {
        let Some(container) = self.by_id.get_mut(id) else { return unknown(ticket, id, fx) };
        let Body::Made(made) = &container.body else { return unknown(ticket, id, fx) };
        match (&made.record.phase, container.start.stage()) {
            (ContainerPhase::Created, _) if container.removal.is_none() && made.is_idle() => {}
            // An earlier daemon's start, and nobody can ask the pod's shim what became of it.
            (ContainerPhase::Starting, _) if made.is_idle() && !pod.is_ready() => {}
            (ContainerPhase::Starting, _) | (ContainerPhase::Running { .. }, Stage::Pending) => {
                return container.start.join(ticket);
            }
            (ContainerPhase::Running { .. }, Stage::Open) => return fx.answer(ticket, Ok(Reply::Done)),
            _ => return fx.refuse(ticket, container.precondition(id, "only a created container can start")),
        }
        if !pod.is_ready() {
            let need = "a container can only be started in a ready one: stop it and run another sandbox";
            return fx.refuse(ticket, pod.not_ready(need));
        }
        // It stays created, and can be started once that is mended.
        let target = match startable.and_then(|()| self.target_pid(id)) {
            Ok(target) => target,
            Err(error) => return fx.refuse(ticket, error),
        };
        let Some(container) = self.by_id.get_mut(id) else { return };
        // Of an earlier try there is nothing to remember.
        container.start = Delivery::new();
        container.start.join(ticket);
        if let Some(made) = container.made_mut() {
            made.record.phase = ContainerPhase::Starting;
            made.record.needs_cleanup = true;
            made.operation = Operation::StartRecorded { target };
            made.recorded = fx.outbox.container(id);
        }
    }

    /// Answers whether its end is waited for.
    pub(crate) fn stop<S>(
        &mut self,
        ticket: Ticket,
        id: &ContainerId,
        deadline: i64,
        pod: &Pod<S>,
        fx: &mut Effects<S>,
    ) -> bool {
        let Some(Container { body: Body::Made(made), start, stops, removal, .. }) = self.by_id.get_mut(id) else {
            unknown(ticket, id, fx);
            return false;
        };
        if matches!(made.operation, Operation::Removed) {
            removal.get_or_insert_default().push(ticket);
            return false;
        }
        match made.record.phase {
            // It will not start any more, once that is on disk.
            ContainerPhase::Created => {
                made.record.phase = ContainerPhase::Exited(never_started(fx.now.realtime));
                made.recorded = fx.outbox.container(id);
                fx.promise(ticket, Reply::Done);
                false
            }
            ContainerPhase::Exited(_) if made.never_ran() => {
                fx.promise(ticket, Reply::Done);
                false
            }
            // Its end may be on its way to the disk: whoever is told can look at it.
            ContainerPhase::Exited(_) => {
                fx.tell(ticket, Ok(Reply::Done));
                false
            }
            ContainerPhase::Starting | ContainerPhase::Running { .. } => {
                if let Some(error) = pod.undriven() {
                    fx.refuse(ticket, error);
                    return false;
                }
                start.build_on();
                stops.push(ticket);
                if made.record.stop_deadline.is_none_or(|known| deadline < known) {
                    made.record.stop_deadline = Some(deadline);
                    fx.outbox.container(id);
                }
                true
            }
        }
    }

    /// Answers whether its removal is waited for.
    pub(crate) fn remove<S>(&mut self, ticket: Ticket, id: &ContainerId, pod: &Pod<S>, fx: &mut Effects<S>) -> bool {
        let Some(container) = self.by_id.get_mut(id) else {
            unknown(ticket, id, fx);
            return false;
        };
        if container.is_live()
            && let Some(error) = pod.undriven()
        {
            fx.refuse(ticket, error);
            return false;
        }
        container.start.build_on();
        container.removal.get_or_insert_default().push(ticket);
        true
    }

    pub(crate) fn update<S>(&mut self, ticket: Ticket, id: &ContainerId, change: Box<Resources>, fx: &mut Effects<S>) {
        let Some(container) = self.by_id.get_mut(id).filter(|container| container.made().is_some()) else {
            return unknown(ticket, id, fx);
        };
        // One is being carried out.
        if container.updates.len() + 1 >= UPDATES_WAITING {
            let state = format!("being updated, and {} further updates wait", container.updates.len());
            let need = "a further one needs them to be through: wait for them";
            return fx.refuse(ticket, Error::Precondition { what: "container", id: id.to_string(), state, need });
        }
        container.updates.push_back((ticket, change));
    }

    /// The process whose PID namespace a container asked to share, if it did.
    fn target_pid(&self, id: &ContainerId) -> Result<Option<u32>, Error> {
        let Some(container) = self.by_id.get(id) else { return Ok(None) };
        let PidMode::Target(target) = &container.spec.security.pid else { return Ok(None) };
        let field = "linux.security_context.namespace_options.target_id";
        let invalid = |reason: String| Error::Invalid { field: field.to_owned(), reason };
        let mut found = self.by_id.iter();
        let found = found.find(|(other, _)| other.as_str().starts_with(target.as_str()) && !target.is_empty());
        let name = excerpt(target);
        let Some((_, other)) = found else { return Err(invalid(format!("container {name} is not in this pod"))) };
        match other.made().map(|made| &made.record.phase) {
            Some(ContainerPhase::Running { pid, .. }) => Ok(Some(*pid)),
            _ => Err(invalid(format!("container {name} does not run: its PID namespace can't be shared"))),
        }
    }
}

fn unknown<S>(ticket: Ticket, id: &ContainerId, fx: &mut Effects<S>) {
    fx.refuse(ticket, Error::no_container(id.as_str()));
}
