//! What jobs ended with: each outcome to the pod, or to the container, that it is about.

use std::collections::BTreeMap;

use peapod_shim_protocol::exit::Exit;

use super::Machine;
use super::action::Action;
use super::container::{ended, unknown_end};
use super::group_updates;
use super::input::{ContainerOutcome, Outcome, ReconnectError, Reconnected, ShimEvent, ShimEventKind};
use super::life::{CleanUp, Kill, Life, Sandbox};
use crate::error::Error;
use crate::id::ContainerId;

impl<S: Clone> Machine<S> {
    pub(super) fn outcome(&mut self, outcome: Outcome<S>) {
        let Self { pod, containers, fx, .. } = self;
        match outcome {
            Outcome::SetUp(outcome) => pod.set_up(outcome, fx),
            Outcome::TakenBack(outcome) => pod.taken_back(outcome, fx),
            Outcome::Reconnected(outcome) => self.reconnected(outcome),
            Outcome::Watched(outcome) => {
                let outcome = outcome.map(|events| events.into_iter().for_each(|event| self.event(event)));
                self.pod.watched(outcome, &mut self.fx);
            }
            Outcome::Killed(outcome) => {
                if pod.killed(outcome, fx) {
                    containers.retry_failed_deletes();
                }
            }
            Outcome::CleanedUp(outcome) => self.cleaned_up(outcome),
            Outcome::Released(outcome) => pod.released(outcome, fx),
            Outcome::FilesRemoved(outcome) => pod.files_removed(outcome, fx),
            Outcome::GroupLimited(outcome) => group_updates::limited(pod, outcome, fx),
            Outcome::StrayEnded => {}
            Outcome::Discarded(id) => drop(containers.abandoned.remove(&id)),
            Outcome::Container(id, outcome) => self.container_outcome(&id, outcome),
        }
    }

    fn container_outcome(&mut self, id: &ContainerId, outcome: ContainerOutcome) {
        let Self { pod, containers, fx, .. } = self;
        let gone = outcome.shim_is_gone();
        let left = match outcome {
            ContainerOutcome::CleanedUp(outcome) => containers.deleted(id, outcome, fx),
            ContainerOutcome::Removed(outcome) => containers.removed(id, outcome, fx),
            ContainerOutcome::Created(outcome) => {
                containers.created(id, outcome, fx);
                None
            }
            outcome => {
                if let Some(container) = containers.get_mut(id) {
                    let namespaces = container.outcome(id, outcome, fx);
                    if let (Some(namespaces), Some(up)) = (namespaces, pod.life.up_mut()) {
                        up.namespaces = namespaces;
                    }
                }
                None
            }
        };
        if let Some(error) = left {
            pod.container_not_cleaned_up(&error, fx);
        }
        // Whichever call meets it first.
        if let (Some(reason), Life::Up(_)) = (gone, &pod.life) {
            pod.shim_lost(&reason, fx);
        }
    }

    /// What happens in the pod by itself.
    fn event(&mut self, event: ShimEvent) {
        let Self { pod, containers, fx, .. } = self;
        if !pod.hear(event.number, fx) {
            return;
        }
        match event.kind {
            // It was created and taken back: no end of anything that was ever started.
            ShimEventKind::Exited { exit, .. } if exit.started_at == 0 => {}
            ShimEventKind::Exited { id, exit } => {
                let known = containers.by_id.get_key_value(id.as_str()).map(|(id, _)| id.clone());
                match known.as_ref().and_then(|id| Some((id, containers.get_mut(id)?))) {
                    Some((id, container)) => container.exited(id, ended(&exit), fx),
                    None => tracing::debug!(container = id, "an unknown container ended"),
                }
            }
            ShimEventKind::InitExited { code } => {
                if pod.life.up_mut().is_some_and(|up| up.init_exited(code)) {
                    pod.life_changed(fx);
                }
            }
            // Counted by the shim; the exit's reason tells it.
            ShimEventKind::Other => {}
        }
    }

    fn reconnected(&mut self, outcome: Result<Reconnected<S>, ReconnectError>) {
        let Self { pod, containers, admission, fx } = self;
        let Life::Reconnecting { ready, shim_pid } = pod.life else { return };
        match outcome {
            Ok(Reconnected { connected, is_ready, states }) => {
                // The daemon died between seeing it break and killing the rest, or between a stop's kill and its
                // record. Of a pod without pod init no event would tell.
                let sandbox = if ready && is_ready { Sandbox::Ready } else { Sandbox::Broken(Kill::Due) };
                pod.take_over(connected, sandbox, fx);
                tracing::info!("pod recovered");
                for (id, state) in states {
                    if let Some(container) = containers.get_mut(&id) {
                        container.recovered(&id, &state, fx);
                    }
                }
            }
            Err(ReconnectError::Foreign(foreign)) => {
                // Not recorded: a daemon that can drive it finds it as it was.
                tracing::error!(
                    "the pod has {foreign}: it is not ready, and what runs in it runs on until the sandbox is stopped or \
                     such a peapod serves"
                );
                pod.life = Life::Foreign { foreign, ready, shim_pid };
                pod.life_changed(fx);
            }
            Err(ReconnectError::Gone(error)) => {
                tracing::warn!(%error, "the pod has no shim any more");
                fx.push(Action::CountLostShim);
                pod.life = Life::Lost(CleanUp::Due);
                pod.life_changed(fx);
            }
        }
        // What was found is on disk and shown before anyone is answered by it.
        admission.open_after(fx.outbox.barrier());
    }

    /// What a dead shim left is gone; exits are taken from their files.
    fn cleaned_up(&mut self, outcome: Result<Vec<(ContainerId, Option<Exit>)>, Error>) {
        let Self { pod, containers, fx, .. } = self;
        if !matches!(pod.life, Life::Lost(CleanUp::Running)) {
            return;
        }
        match outcome {
            Ok(exits) => {
                pod.life = Life::Lost(CleanUp::Done);
                let (exits, now): (BTreeMap<_, _>, _) = (exits.into_iter().collect(), fx.now.realtime);
                let end = |id: &ContainerId, started_at| {
                    let exit = exits.get(id).and_then(Option::as_ref);
                    exit.map_or_else(|| unknown_end(started_at, now), ended)
                };
                containers.ended(|id, made| end(id, made.started_at()), fx);
            }
            Err(error) => {
                tracing::error!(%error, "what a dead shim left could not be cleaned up; StopPodSandbox tries again");
                pod.life = Life::Lost(CleanUp::Failed);
                containers.fail_waiting(&error, fx);
                pod.stop_failed(&error, fx);
            }
        }
    }
}
