//! What happens in the pod by itself: exits, the end of pod init, the end of the shim.

use std::time::Duration;

use super::Machine;
use super::action::{Action, JobKey};
use super::container::{Body, Operation, ended};
use super::input::{JobError, ShimEvent, ShimEventKind, Timer};
use super::life::{CleanUp, Kill, Life, Sandbox, Watch};
use crate::id::ContainerId;
use crate::record::{ContainerPhase, Ended};

/// Pause before a shim that told no events, but is there, is asked for them again.
const WATCH_AGAIN: Duration = Duration::from_secs(1);

impl<S: Clone> Machine<S> {
    pub(super) fn watched(&mut self, outcome: Result<Vec<ShimEvent>, JobError>) {
        // When the pod is being released the shim's end is wanted.
        let Some(up) = self.pod.life.up_mut() else { return };
        match outcome {
            Ok(events) => {
                for event in events {
                    self.event(event);
                }
                // Asked again once all of this is on disk: that acknowledges it.
                let told = self.fx.outbox.barrier();
                if let Some(up) = self.pod.life.up_mut() {
                    up.watch = Watch::Due(told);
                }
            }
            Err(JobError::Gone(reason)) => self.shim_lost(&reason),
            Err(JobError::Failed(error)) => {
                tracing::warn!(%error, "the pod's shim tells no events; it is asked again in a moment");
                up.watch = Watch::Pausing;
                self.fx.push(Action::Pause(Timer::Watch, WATCH_AGAIN));
            }
        }
    }

    pub(super) fn watch_again(&mut self) {
        let barrier = self.fx.outbox.barrier();
        if let Some(up) = self.pod.life.up_mut().filter(|up| up.watch == Watch::Pausing) {
            up.watch = Watch::Due(barrier);
        }
    }

    fn event(&mut self, event: ShimEvent) {
        if event.number <= self.pod.last_event {
            return;
        }
        self.pod.last_event = event.number;
        self.fx.outbox.pod();
        match event.kind {
            // It was created and taken back: no end of anything that was ever started.
            ShimEventKind::Exited { exit, .. } if exit.started_at == 0 => {}
            ShimEventKind::Exited { id, exit } => match self.containers.get_key_value(id.as_str()) {
                Some((id, _)) => self.exited(&id.clone(), ended(&exit)),
                None => tracing::debug!(container = id, "an unknown container ended"),
            },
            ShimEventKind::InitExited { code } => self.init_exited(code),
            // Counted by the shim; the exit's reason tells it.
            ShimEventKind::Other => {}
        }
    }

    /// The network stays until the pod is stopped.
    fn init_exited(&mut self, code: u32) {
        let Some(up) = self.pod.life.up_mut() else { return };
        up.sandbox = match up.sandbox {
            Sandbox::Ready => {
                tracing::warn!(code, "pod init ended: the pod is not ready any more");
                Sandbox::Broken(Kill::Due)
            }
            // This is wanted.
            Sandbox::Stopping => Sandbox::Broken(Kill::Running),
            Sandbox::Broken(_) => return,
        };
        self.life_changed();
    }

    /// A container's processes are gone.
    pub(super) fn exited(&mut self, id: &ContainerId, end: Ended) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Body::Made(made) = &mut container.body else { return };
        let end = match (&made.record.phase, &mut made.operation) {
            // The end of its start, which is on the way, comes first.
            (ContainerPhase::Starting, Operation::Starting { early_exit }) => {
                *early_exit = Some(end);
                return;
            }
            (ContainerPhase::Starting, Operation::None) => end,
            (ContainerPhase::Running { started_at, .. }, _) => end.since(*started_at),
            _ => return,
        };
        tracing::info!(container = id.short(), code = end.code, reason = end.reason, "container ended");
        made.record.phase = ContainerPhase::Exited(end);
        made.recorded = self.fx.outbox.container(id);
        match &made.operation {
            // Nobody needs its limits any more, whatever the OCI runtime waits for.
            Operation::Updating { .. } => self.cancel(JobKey::Update(id.clone())),
            // First who asked for the start hears of it.
            Operation::Started(_) => {}
            _ => made.rest(),
        }
    }

    /// The shim is gone. Exit files say how containers ended; what it left is cleaned up by the shim's binary.
    pub(super) fn shim_lost(&mut self, reason: &str) {
        tracing::warn!(reason, "the pod's shim is gone: the pod is not ready any more");
        self.pod.life = Life::Lost(CleanUp::Due);
        self.life_changed();
        self.fx.push(Action::Expose(None));
        self.fx.push(Action::CancelShimJobs);
    }
}
