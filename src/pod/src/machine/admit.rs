//! Requests for the pod itself, and the door for those about containers.

use std::sync::Arc;

use peapod_spec::pod::PodSpec;
use peapod_text::excerpt;

use super::Machine;
use super::container::{CleaningUp, Operation};
use super::delivery::Stage;
use super::input::{Reply, Request, Ticket};
use super::life::{Admission, CleanUp, Kill, Life, Sandbox};
use crate::bounds::EARLY_REQUESTS;
use crate::error::Error;

impl<S: Clone> Machine<S> {
    pub(super) fn request(&mut self, ticket: Ticket, request: Request) {
        if let Admission::Deferred { requests, .. } = &mut self.admission {
            if requests.len() < EARLY_REQUESTS {
                return requests.push((ticket, request));
            }
            let reason = format!("{EARLY_REQUESTS} requests wait for it already: try again in a moment");
            return self.fx.refuse(ticket, Error::Failed { step: "recover the pod".to_owned(), reason });
        }
        self.note_arrivals(&request);
        match request {
            Request::Run(spec) => self.run_requested(ticket, &spec),
            Request::StopPod => self.stop_requested(ticket),
            Request::RemovePod => self.remove_requested(ticket),
            Request::Create(new) => self.create_requested(ticket, *new),
            Request::Start(id, room) => self.start_requested(ticket, &id, room),
            Request::Stop(id, deadline) => self.stop_container_requested(ticket, &id, deadline),
            Request::Remove(id) => self.remove_container_requested(ticket, &id),
            Request::Update(id, change) => self.update_requested(ticket, &id, change),
        }
    }

    /// Notes whose results a request shows to have arrived.
    fn note_arrivals(&mut self, request: &Request) {
        match request {
            Request::Create(_) => self.pod.run.build_on(),
            Request::Start(id, _) => {
                if let Some(container) = self.containers.get_mut(id) {
                    container.create.build_on();
                }
            }
            Request::Stop(id, _) | Request::Remove(id) | Request::Update(id, _) => {
                if let Some(container) = self.containers.get_mut(id) {
                    container.create.build_on();
                    container.start.build_on();
                }
            }
            // A pod that is stopped or removed is given to nobody any more.
            Request::Run(_) | Request::StopPod | Request::RemovePod => {}
        }
    }

    fn run_requested(&mut self, ticket: Ticket, spec: &Arc<PodSpec>) {
        let identity = Arc::clone(&self.pod.identity);
        let metadata = &identity.spec.metadata;
        let name = || format!("{}/{}", excerpt(&metadata.namespace), excerpt(&metadata.name));
        let equal = *spec == identity.spec;
        if matches!(self.pod.life, Life::Intended | Life::SettingUp | Life::Failed(_)) {
            if equal {
                return self.pod.run.join(ticket);
            }
            return self.fx.refuse(ticket, Error::Busy { what: "pod sandbox", name: name() });
        }
        if equal && self.pod.is_ready() {
            match self.pod.run.stage() {
                Stage::Pending => return self.pod.run.join(ticket),
                Stage::Open => return self.fx.answer(ticket, Ok(Reply::Done)),
                Stage::BuiltOn => {}
            }
        }
        let id = identity.id.to_string();
        self.fx.refuse(ticket, Error::AlreadyExists { what: "pod sandbox", name: name(), id });
    }

    fn stop_requested(&mut self, ticket: Ticket) {
        match (&mut self.pod.stop, &self.pod.life) {
            (Some(tickets), _) => tickets.push(ticket),
            (None, Life::Stopped | Life::RemovingFiles | Life::Gone | Life::Over) => {
                self.fx.promise(ticket, Reply::Done);
            }
            (None, _) => {
                self.want_stop();
                self.pod.stop.get_or_insert_default().push(ticket);
            }
        }
    }

    fn remove_requested(&mut self, ticket: Ticket) {
        self.pod.removal.get_or_insert_default().push(ticket);
    }

    /// The pod is to be stopped. What an earlier try could not do is tried again.
    pub(super) fn want_stop(&mut self) {
        self.pod.stop.get_or_insert_default();
        let left = !self.containers.values().all(|container| container.made().is_none() || container.is_quiet());
        match &mut self.pod.life {
            Life::Up(up) if matches!(up.sandbox, Sandbox::Broken(Kill::Done | Kill::Failed)) => {
                up.sandbox = Sandbox::Broken(Kill::Due);
            }
            Life::Lost(CleanUp::Failed) => self.pod.life = Life::Lost(CleanUp::Due),
            Life::Lost(CleanUp::Done) if left => self.pod.life = Life::Lost(CleanUp::Due),
            _ => {}
        }
    }

    /// The stop ends here with an error; a later one takes up what is left.
    pub(super) fn stop_failed(&mut self, error: &Error) {
        tracing::warn!(%error, "pod could not be stopped entirely");
        let result = Err(error.clone());
        for tickets in [self.pod.stop.take(), self.pod.removal.take()].into_iter().flatten() {
            self.fx.answer_all(tickets, &result);
        }
    }

    /// What could not be cleaned up is tried again: somebody waits for it.
    pub(super) fn retry_clean_up(&mut self) {
        if matches!(self.pod.life, Life::Lost(CleanUp::Failed)) {
            self.pod.life = Life::Lost(CleanUp::Due);
        }
    }

    /// Everything of a stopped pod that could not be given back before is asked for again.
    pub(super) fn retry_failed_deletes(&mut self) {
        for container in self.containers.values_mut() {
            if let Some(made) = container.made_mut()
                && matches!(made.operation, Operation::CleaningUp(CleaningUp::Failed))
            {
                made.operation = Operation::CleaningUp(CleaningUp::Due);
            }
        }
    }
}
