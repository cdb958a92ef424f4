//! What jobs of the pod as a whole, and commits, ended with.

use peapod_shim_protocol::exit::Exit;

use super::Machine;
use super::action::Action;
use super::container::{ended, unknown_end};
use super::effects::Effects;
use super::input::{ContainerOutcome, JobError, Outcome, ReconnectError, Reconnected, SetUp};
use super::life::{Admission, Attachment, CleanUp, Kill, Life, Pod, Sandbox, Up, Watch};
use super::outbox::Mark;
use crate::container::RecoveredState;
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::ContainerPhase;

impl<S: Clone> Machine<S> {
    pub(super) fn outcome(&mut self, outcome: Outcome<S>) {
        match outcome {
            Outcome::SetUp(outcome) => self.set_up(outcome),
            Outcome::TakenBack(outcome) => self.taken_back(outcome),
            Outcome::Reconnected(outcome) => self.reconnected(outcome),
            Outcome::Watched(outcome) => self.watched(outcome),
            Outcome::Killed(outcome) => self.killed(outcome),
            Outcome::CleanedUp(outcome) => self.cleaned_up(outcome),
            Outcome::Released(outcome) => self.released(outcome),
            Outcome::FilesRemoved(Ok(())) => {
                self.pod.life = Life::Gone;
                self.pod.recorded = self.fx.outbox.pod_gone();
            }
            Outcome::FilesRemoved(Err(error)) => {
                self.pod.life = Life::Stopped;
                self.stop_failed(&error);
            }
            Outcome::StrayEnded => {}
            Outcome::Discarded(id) => {
                self.abandoned.remove(&id);
            }
            Outcome::Container(id, outcome) => self.container_outcome(&id, outcome),
        }
    }

    fn container_outcome(&mut self, id: &ContainerId, outcome: ContainerOutcome) {
        let gone = outcome.shim_is_gone();
        match outcome {
            ContainerOutcome::Created(outcome) => self.created(id, outcome),
            ContainerOutcome::Started(outcome) => self.started(id, outcome),
            ContainerOutcome::StopSent(outcome) => self.stop_sent(id, outcome),
            ContainerOutcome::Updated(outcome) => self.updated(id, outcome),
            ContainerOutcome::CleanedUp(outcome) => self.deleted(id, outcome),
            ContainerOutcome::Removed(outcome) => self.removed(id, outcome),
        }
        // Whichever call meets it first.
        if let (Some(reason), Life::Up(_)) = (gone, &self.pod.life) {
            self.shim_lost(&reason);
        }
    }

    fn set_up(&mut self, outcome: Result<SetUp<S>, Error>) {
        match outcome {
            Ok(SetUp { connected, attached, ips, netns }) => {
                self.pod.network = Attachment { attached, ips, netns };
                self.take_over(connected, Sandbox::Ready);
            }
            Err(error) => self.set_up_failed(error),
        }
    }

    fn set_up_failed(&mut self, error: Error) {
        tracing::warn!(%error, "pod could not be made");
        self.pod.life = Life::Failed(error);
        self.pod.recorded = self.fx.outbox.pod_gone();
    }

    /// From now on this machine's jobs speak to the pod's shim.
    fn take_over(&mut self, connected: super::Connected<S>, sandbox: Sandbox) {
        let super::Connected { shim, pid, namespaces } = connected;
        self.fx.push(Action::Expose(Some(shim.clone())));
        self.pod.life = Life::Up(Up { shim, pid, namespaces, sandbox, watch: Watch::Running });
        self.life_changed();
        let recorded = self.pod.recorded;
        if let Some(up) = self.pod.life.up_mut() {
            up.watch = Watch::Due(recorded);
        }
    }

    /// A half-made pod is gone, or something of it could not be removed: then its record stays and the next start tries
    /// again.
    fn taken_back(&mut self, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {
                self.pod.life = Life::Gone;
                self.pod.recorded = self.fx.outbox.pod_gone();
            }
            Err(error) => {
                tracing::error!(%error, "a half-made pod can't be taken back; the next start tries again");
                self.end();
            }
        }
    }

    fn reconnected(&mut self, outcome: Result<Reconnected<S>, ReconnectError>) {
        let Life::Reconnecting { ready, shim_pid } = self.pod.life else { return };
        match outcome {
            Ok(Reconnected { connected, states }) => {
                // The daemon died between seeing it break and killing the rest.
                let sandbox = if ready { Sandbox::Ready } else { Sandbox::Broken(Kill::Due) };
                self.take_over(connected, sandbox);
                tracing::info!("pod recovered");
                for (id, state) in states {
                    self.settle(&id, &state);
                }
            }
            Err(ReconnectError::Foreign(foreign)) => {
                // Not recorded: a daemon that can drive it finds it as it was.
                tracing::error!(
                    "the pod has {foreign}: it is not ready, and what runs in it runs on until the sandbox is stopped or \
                     such a peapod serves"
                );
                self.pod.life = Life::Foreign { foreign, ready, shim_pid };
                self.life_changed();
            }
            Err(ReconnectError::Gone(error)) => {
                tracing::warn!(%error, "the pod has no shim any more");
                self.pod.life = Life::Lost(CleanUp::Due);
                self.life_changed();
            }
        }
        // What was found is on disk and shown before anyone is answered by it.
        let barrier = self.fx.outbox.barrier();
        if let Admission::Deferred { until, .. } = &mut self.admission {
            *until = Some(barrier);
        }
    }

    /// A container is what its shim says.
    fn settle(&mut self, id: &ContainerId, state: &RecoveredState) {
        let now = self.fx.now.realtime;
        let Some(made) = self.containers.get_mut(id).and_then(super::Container::made_mut) else { return };
        match state {
            RecoveredState::Running { pid } => {
                if made.record.phase == ContainerPhase::Starting {
                    // Nobody was told of its start: it counts from now.
                    made.record.phase = ContainerPhase::Running { pid: *pid, started_at: now };
                    made.recorded = self.fx.outbox.container(id);
                }
            }
            RecoveredState::Ended(exit) => {
                let started_at = match made.record.phase {
                    ContainerPhase::Running { started_at, .. } => started_at,
                    _ => now,
                };
                let end = exit.as_ref().map_or_else(|| unknown_end(started_at, now), ended);
                self.exited(id, end);
            }
            RecoveredState::NotStarted => self.not_started(id),
        }
    }

    fn killed(&mut self, outcome: Result<(), JobError>) {
        let Some(up) = self.pod.life.up_mut() else { return };
        match outcome {
            Ok(()) => {
                up.sandbox = Sandbox::Broken(Kill::Done);
                self.fx.reached("pod-killed");
                self.life_changed();
                self.retry_failed_deletes();
            }
            // A stop waits for no shim that hangs.
            Err(JobError::Gone(reason)) => {
                self.fx.reached("pod-killed");
                self.shim_lost(&reason);
            }
            Err(JobError::Failed(error)) => {
                up.sandbox = match up.sandbox {
                    Sandbox::Broken(_) => Sandbox::Broken(Kill::Failed),
                    Sandbox::Ready | Sandbox::Stopping => Sandbox::Ready,
                };
                if self.pod.stop.is_some() {
                    return self.stop_failed(&error);
                }
                tracing::warn!(%error, "the rest of the pod could not be killed; StopPodSandbox tries again");
            }
        }
    }

    /// What a dead shim left is gone; exits are taken from their files.
    fn cleaned_up(&mut self, outcome: Result<Vec<(ContainerId, Option<Exit>)>, Error>) {
        if !matches!(self.pod.life, Life::Lost(CleanUp::Running)) {
            return;
        }
        let ends = match outcome {
            Ok(ends) => ends,
            Err(error) => {
                tracing::error!(%error, "what a dead shim left could not be cleaned up; StopPodSandbox tries again");
                self.pod.life = Life::Lost(CleanUp::Failed);
                self.fail_waiting(&error);
                return self.stop_failed(&error);
            }
        };
        self.pod.life = Life::Lost(CleanUp::Done);
        let now = self.fx.now.realtime;
        let mut exits: std::collections::BTreeMap<_, _> = ends.into_iter().collect();
        let live = self.containers.iter().filter(|(_, container)| container.is_live());
        let live = live.filter_map(|(id, container)| Some((id.clone(), container.made()?.started_at())));
        for (id, started_at) in live.collect::<Vec<_>>() {
            let exit = exits.remove(&id).flatten();
            self.exited(&id, exit.as_ref().map_or_else(|| unknown_end(started_at, now), ended));
        }
    }

    /// Whoever waits for something that the clean-up would have brought.
    fn fail_waiting(&mut self, error: &Error) {
        let result = Err(error.clone());
        for container in self.containers.values_mut().filter(|container| !container.is_quiet()) {
            let removal = container.removal.take().unwrap_or_default();
            for tickets in [std::mem::take(&mut container.stops), removal] {
                self.fx.answer_all(tickets, &result);
            }
        }
    }

    fn released(&mut self, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {
                self.pod.life = Life::Stopped;
                self.pod.network.attached = false;
                self.life_changed();
            }
            Err(error) => {
                // Its shim is gone, one way or another.
                self.pod.life = Life::Lost(CleanUp::Done);
                self.life_changed();
                self.stop_failed(&error);
            }
        }
    }

    /// A commit failed: what counts only when it is on disk does not count.
    pub(super) fn not_recorded(&mut self, mark: Mark, error: &Error) {
        if self.pod.recorded <= mark {
            self.life_not_recorded(mark, error);
        }
        if let Some(Up { watch: Watch::Due(due), .. }) = self.pod.life.up_mut()
            && *due <= mark
        {
            // The shim keeps what it told until it is on disk.
            *due = mark.next();
        }
        if self.pod.stop.is_some() && self.pod.life.is_drained() && self.is_quiet() {
            self.stop_failed(error);
        }
        let ids: Vec<_> = self.containers.keys().cloned().collect();
        for id in ids {
            self.container_not_recorded(&id, mark, error);
        }
    }

    fn life_not_recorded(&mut self, mark: Mark, error: &Error) {
        let Pod { life, run, stop, removal, recorded, .. } = &mut self.pod;
        let result = Err(error.clone());
        let answer = |fx: &mut Effects<S>, tickets: &mut Option<Vec<_>>| {
            fx.answer_all(tickets.as_mut().map(std::mem::take).unwrap_or_default(), &result);
        };
        if life.is_made() && run.is_due() {
            // It exists but can't be recorded: nobody is told of it, so it goes again.
            self.fx.answer_all(run.fail(), &result);
            run.build_on();
            removal.get_or_insert_default();
        }
        match life {
            Life::Intended => self.set_up_failed(error.clone()),
            Life::Stopped => {
                answer(&mut self.fx, stop);
                *stop = None;
            }
            Life::Gone => {
                answer(&mut self.fx, removal);
                *recorded = mark.next();
            }
            _ => {}
        }
    }

    /// The pod is gone.
    pub(super) fn end(&mut self) {
        self.pod.life = Life::Over;
        self.fx.push(Action::Forget);
    }

    /// Nothing of a container is in the air any more.
    pub(super) fn is_quiet(&self) -> bool {
        self.containers.values().all(super::Container::is_quiet)
    }
}
