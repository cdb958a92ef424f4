//! What jobs of the pod as a whole, its shim's events and failed commits make of it.

use std::time::Duration;

use super::action::Action;
use super::effects::Effects;
use super::input::{Connected, JobError, SetUp, Timer};
use super::life::{CleanUp, Kill, Life, Sandbox, Up, Watch};
use super::outbox::CommitNumber;
use super::pod::{Pod, PodNetwork};
use crate::error::Error;

/// Pause before a shim that told no events, but is there, is asked for them again.
const WATCH_AGAIN: Duration = Duration::from_secs(1);

impl<S: Clone> Pod<S> {
    /// Its life changed, and so its own row.
    pub(crate) fn life_changed(&mut self, fx: &mut Effects<S>) {
        self.recorded = fx.outbox.pod();
    }

    /// Nothing of it is left: its row goes.
    fn gone(&mut self, life: Life<S>, fx: &mut Effects<S>) {
        self.life = life;
        self.recorded = fx.outbox.pod_gone();
    }

    pub(crate) fn set_up(&mut self, outcome: Result<SetUp<S>, Error>, fx: &mut Effects<S>) {
        match outcome {
            Ok(SetUp { connected, attached, ips, netns }) => {
                self.network = PodNetwork { attached, ips, netns };
                self.take_over(connected, Sandbox::Ready, fx);
            }
            Err(error) => self.gone(Life::Failed(error), fx),
        }
    }

    /// From now on the machine's jobs speak to the pod's shim.
    pub(crate) fn take_over(&mut self, connected: Connected<S>, sandbox: Sandbox, fx: &mut Effects<S>) {
        let Connected { shim, pid, namespaces } = connected;
        fx.push(Action::Expose(Some(shim.clone())));
        // The mark is the one of its own row, which changes here.
        let recorded = fx.outbox.pod();
        self.recorded = recorded;
        self.life = Life::Up(Up { shim, pid, namespaces, sandbox, watch: Watch::Due(recorded) });
    }

    /// A half-made pod is gone, or something of it could not be removed: then its record stays and the next start tries
    /// again.
    pub(crate) fn taken_back(&mut self, outcome: Result<(), Error>, fx: &mut Effects<S>) {
        match outcome {
            Ok(()) => self.gone(Life::Gone, fx),
            Err(error) => {
                tracing::error!(%error, "a half-made pod can't be taken back; the next start tries again");
                self.end(fx);
            }
        }
    }

    /// The rest of the pod was killed, or not. Answers whether it was.
    pub(crate) fn killed(&mut self, outcome: Result<(), JobError>, fx: &mut Effects<S>) -> bool {
        let Some(up) = self.life.up_mut() else { return false };
        match outcome {
            Ok(()) => {
                up.sandbox = Sandbox::Broken(Kill::Done);
                fx.reached("pod-killed");
                self.life_changed(fx);
                return true;
            }
            // A stop waits for no shim that hangs.
            Err(JobError::Gone(reason)) => {
                fx.reached("pod-killed");
                self.shim_lost(&reason, fx);
            }
            Err(JobError::Failed(error)) => {
                up.sandbox = match up.sandbox {
                    Sandbox::Broken(_) => Sandbox::Broken(Kill::Failed),
                    Sandbox::Ready | Sandbox::Stopping => Sandbox::Ready,
                };
                if self.stop.is_some() {
                    self.stop_failed(&error, fx);
                } else {
                    tracing::warn!(%error, "the rest of the pod could not be killed; StopPodSandbox tries again");
                }
            }
        }
        false
    }

    pub(crate) fn released(&mut self, outcome: Result<(), Error>, fx: &mut Effects<S>) {
        match outcome {
            Ok(()) => {
                self.life = Life::Stopped;
                self.network.attached = false;
                self.life_changed(fx);
            }
            Err(error) => {
                // Its shim is gone, one way or another.
                self.life = Life::Lost(CleanUp::Done);
                self.life_changed(fx);
                self.stop_failed(&error, fx);
            }
        }
    }

    pub(crate) fn files_removed(&mut self, outcome: Result<(), Error>, fx: &mut Effects<S>) {
        match outcome {
            Ok(()) => self.gone(Life::Gone, fx),
            Err(error) => {
                self.life = Life::Stopped;
                self.stop_failed(&error, fx);
            }
        }
    }

    /// The shim told events, or none. It is asked again once all of them are on disk: that acknowledges them.
    pub(crate) fn watched(&mut self, outcome: Result<(), JobError>, fx: &mut Effects<S>) {
        // When the pod is being released the shim's end is wanted.
        let Some(up) = self.life.up_mut() else { return };
        match outcome {
            Ok(()) => up.watch = Watch::Due(fx.outbox.barrier()),
            Err(JobError::Gone(reason)) => self.shim_lost(&reason, fx),
            Err(JobError::Failed(error)) => {
                tracing::warn!(%error, "the pod's shim tells no events; it is asked again in a moment");
                up.watch = Watch::Pausing;
                fx.push(Action::Pause(Timer::Watch, WATCH_AGAIN));
            }
        }
    }

    /// Whether an event of the shim is a new one: it counts as heard then.
    pub(crate) fn hear(&mut self, number: u64, fx: &mut Effects<S>) -> bool {
        let is_new = number > self.last_event && self.life.up().is_some();
        if is_new {
            self.last_event = number;
            fx.outbox.pod();
        }
        is_new
    }

    /// The shim is gone. Exit files say how containers ended; what it left is cleaned up by the shim's binary.
    pub(crate) fn shim_lost(&mut self, reason: &str, fx: &mut Effects<S>) {
        tracing::warn!(reason, "the pod's shim is gone: the pod is not ready any more");
        self.life = Life::Lost(CleanUp::Due);
        self.life_changed(fx);
        fx.push(Action::Expose(None));
        fx.push(Action::CancelShimJobs);
        fx.push(Action::CountLostShim);
    }

    /// A commit failed: what counts only when it is on disk does not count. `is_quiet`: nothing of any container is
    /// being done.
    pub(crate) fn not_recorded(&mut self, mark: CommitNumber, error: &Error, is_quiet: bool, fx: &mut Effects<S>) {
        if self.recorded <= mark {
            self.life_not_recorded(mark, error, fx);
        }
        if let Some(Up { watch: Watch::Due(due), .. }) = self.life.up_mut()
            && *due <= mark
        {
            // The shim keeps what it told until it is on disk.
            *due = mark.next();
        }
        if self.stop.is_some() && self.life.is_drained() && is_quiet {
            self.stop_failed(error, fx);
        }
    }

    fn life_not_recorded(&mut self, mark: CommitNumber, error: &Error, fx: &mut Effects<S>) {
        let result = Err(error.clone());
        if self.life.is_made() && self.run.is_due() {
            // It exists but can't be recorded: nobody is told of it, so it goes again.
            fx.answer_all(self.run.fail(), &result);
            self.run.build_on();
            self.removal.get_or_insert_default();
        }
        match self.life {
            Life::Intended => self.gone(Life::Failed(error.clone()), fx),
            Life::Stopped => fx.answer_all(self.stop.take().unwrap_or_default(), &result),
            Life::Gone => {
                // It is still to be removed.
                fx.answer_all(self.removal.as_mut().map(std::mem::take).unwrap_or_default(), &result);
                self.recorded = mark.next();
            }
            _ => {}
        }
    }

    /// The pod is gone.
    pub(crate) fn end(&mut self, fx: &mut Effects<S>) {
        self.life = Life::Over;
        fx.push(Action::Forget);
    }
}
