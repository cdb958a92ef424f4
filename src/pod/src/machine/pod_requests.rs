//! Requests for the pod itself.

use std::sync::Arc;

use peapod_spec::pod::PodSpec;
use peapod_text::excerpt;

use super::delivery::Stage;
use super::effects::Effects;
use super::input::{Reply, Ticket};
use super::life::{CleanUp, Kill, Life, Sandbox};
use super::pod::Pod;
use crate::error::Error;

impl<S> Pod<S> {
    pub(crate) fn run_requested(&mut self, ticket: Ticket, spec: &Arc<PodSpec>, fx: &mut Effects<S>) {
        let identity = Arc::clone(&self.identity);
        let metadata = &identity.spec.metadata;
        let name = || format!("{}/{}", excerpt(&metadata.namespace), excerpt(&metadata.name));
        let equal = *spec == identity.spec;
        if matches!(self.life, Life::Intended | Life::SettingUp | Life::Failed(_)) {
            if equal {
                return self.run.join(ticket);
            }
            return fx.refuse(ticket, Error::Busy { what: "pod sandbox", name: name() });
        }
        if equal && self.is_ready() {
            match self.run.stage() {
                Stage::Pending => return self.run.join(ticket),
                Stage::Open => return fx.answer(ticket, Ok(Reply::Done)),
                Stage::BuiltOn => {}
            }
        }
        let id = identity.id.to_string();
        fx.refuse(ticket, Error::AlreadyExists { what: "pod sandbox", name: name(), id });
    }

    /// `is_left`: containers have something that a clean-up would give back.
    pub(crate) fn stop_requested(&mut self, ticket: Ticket, is_left: bool, fx: &mut Effects<S>) {
        match (&mut self.stop, &self.life) {
            (Some(tickets), _) => tickets.push(ticket),
            (None, Life::Stopped | Life::RemovingFiles | Life::Gone | Life::Over) => fx.promise(ticket, Reply::Done),
            (None, _) => {
                self.want_stop(is_left);
                self.stop.get_or_insert_default().push(ticket);
            }
        }
    }

    /// The pod is to be stopped. What an earlier try could not do is tried again.
    pub(crate) fn want_stop(&mut self, is_left: bool) {
        self.stop.get_or_insert_default();
        match &mut self.life {
            Life::Up(up) if matches!(up.sandbox, Sandbox::Broken(Kill::Done | Kill::Failed)) => {
                up.sandbox = Sandbox::Broken(Kill::Due);
            }
            Life::Lost(CleanUp::Failed) => self.life = Life::Lost(CleanUp::Due),
            Life::Lost(CleanUp::Done) if is_left => self.life = Life::Lost(CleanUp::Due),
            _ => {}
        }
    }

    /// The stop ends here with an error; a later one takes up what is left.
    pub(crate) fn stop_failed(&mut self, error: &Error, fx: &mut Effects<S>) {
        tracing::warn!(%error, "pod could not be stopped entirely");
        let result = Err(error.clone());
        for tickets in [self.stop.take(), self.removal.take()].into_iter().flatten() {
            fx.answer_all(tickets, &result);
        }
    }

    /// What a container holds could not be given back: a stop or a removal that waits for that can't go on.
    pub(crate) fn container_not_cleaned_up(&mut self, error: &Error, fx: &mut Effects<S>) {
        let stop_waits = self.stop.is_some() && self.life.is_drained();
        if stop_waits || (self.removal.is_some() && matches!(self.life, Life::Stopped)) {
            self.stop_failed(error, fx);
        }
    }
}
