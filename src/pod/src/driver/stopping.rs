//! The way of a pod to its end: kill, drain, release, and if it is to be removed, containers and files.

use std::sync::Arc;

use peapod_sys::fail_point;

use super::answer;
use super::state::{Container, Life, StopStage};
use super::{Done, Driver};
use crate::clock;
use crate::container;
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::PodPhase;
use crate::sandbox;
use crate::shim::ShimError;
use crate::stage::timed;

impl Driver {
    /// First stage: the shim kills all containers and pod init at once.
    pub(super) fn begin_kill(&mut self) {
        for entry in self.pod.containers.values_mut() {
            if let Some(starting) = &entry.starting {
                starting.send_replace(Some(clock::boottime()));
            }
        }
        match self.pod.shim.clone() {
            Some(shim) => {
                let id = self.pod.id.clone();
                self.tasks.spawn(async move {
                    Done::Killed(timed("stop: kill", shim.while_it_answers(shim.stop_sandbox(id.as_str()))).await)
                });
            }
            None => {
                // Unless it is being done already, or nothing was left.
                if !self.pod.containers.values().all(super::containers::is_quiet) {
                    self.begin_clean_up();
                }
                self.killed(Ok(()));
            }
        }
    }

    pub(super) fn killed(&mut self, outcome: Result<(), ShimError>) {
        match outcome {
            Ok(()) => {}
            // The watch, which ends too, has the containers cleaned up.
            Err(ShimError::Gone(reason)) => self.shim_gone(&reason),
            Err(error) => return self.stop_failed(&error.into_error("stop the pod's containers")),
        }
        fail_point("pod-killed");
        if self.pod.record.phase == PodPhase::Ready {
            self.pod.record.phase = PodPhase::Broken;
            self.pod_changed();
        }
        if let Some(stopping) = &mut self.pod.stopping {
            stopping.stage = StopStage::Draining;
        }
        self.abandon_creates();
        // What an earlier try could not give back is asked for again.
        self.clean_ended();
        self.continue_stop();
    }

    /// Containers that are still being made are no part of the pod any more: whatever their making waits for, it holds up no stop.
    fn abandon_creates(&mut self) {
        let making = |entry: &Container| matches!(entry.life, Life::Making);
        let ids: Vec<_> =
            self.pod.containers.iter().filter(|(_, entry)| making(entry)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            if let Some(mut entry) = self.pod.containers.remove(&id) {
                let (what, id) = ("pod sandbox", self.pod.id.to_string());
                entry.create.deliver(&Err(Error::Overridden { what, id }));
                self.pod.abandoned += 1;
            }
        }
    }

    /// The making of a forgotten container is over. What it took is given back.
    pub(super) fn abandoned(&mut self, id: &ContainerId, made: bool) {
        self.pod.abandoned = self.pod.abandoned.saturating_sub(1);
        if made {
            let (node, pod, id) = (Arc::clone(&self.node), self.pod.id.clone(), id.clone());
            self.tasks.spawn(async move {
                if let Err(error) = container::remove(&node, None, &pod, &id).await {
                    tracing::warn!(%error, "what a container has that was never made stays until the next start");
                }
                Done::Nothing
            });
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.pod.stopping.as_ref().is_some_and(|stopping| stopping.stage == StopStage::Draining)
    }

    /// Goes on with the stop when nothing of a container is in the air any more.
    pub(super) fn continue_stop(&mut self) {
        if !self.is_draining() || !self.pod.containers.values().all(super::containers::is_quiet) {
            return;
        }
        if let Some(stopping) = &mut self.pod.stopping {
            stopping.stage = StopStage::Releasing;
        }
        // The shim keeps its events until they are recorded: so it ends only after the commit.
        self.then(|driver, committed| match committed {
            Ok(()) => driver.begin_release(),
            Err(error) => driver.stop_failed(error),
        });
    }

    fn begin_release(&mut self) {
        let (node, id, shim) = (Arc::clone(&self.node), self.pod.id.clone(), self.pod.shim.take());
        self.shim.store(None);
        let (socket, attached) = (self.pod.record.socket.clone(), self.pod.record.attached);
        self.tasks.spawn(async move { Done::Released(sandbox::release(&node, &id, shim, &socket, attached).await) });
    }

    pub(super) fn released(&mut self, outcome: Result<(), Error>) {
        self.pod.record.shim_pid = 0;
        match outcome {
            Ok(()) => {
                self.pod.record.phase = PodPhase::Stopped;
                self.pod.record.attached = false;
                self.pod.foreign = None;
            }
            Err(error) => {
                self.pod_changed();
                return self.stop_failed(&error);
            }
        }
        self.pod_changed();
        self.then(|driver, committed| {
            fail_point("pod-stopped");
            if let Some(mut stopping) = driver.pod.stopping.take() {
                answer::all(&mut stopping.waiters, committed);
            }
            tracing::info!("pod stopped");
            driver.continue_removal();
        });
    }

    /// The stop ends here with an error; a later one takes up what is left.
    pub(super) fn stop_failed(&mut self, error: &Error) {
        tracing::warn!(%error, "pod could not be stopped entirely");
        let result = Err(error.clone());
        if let Some(mut stopping) = self.pod.stopping.take() {
            answer::all(&mut stopping.waiters, &result);
        }
        if let Some(mut waiters) = self.pod.removing.take() {
            answer::all(&mut waiters, &result);
        }
    }

    /// Removes containers, then files, then the record, once the pod is stopped.
    pub(super) fn continue_removal(&mut self) {
        if self.pod.removing.is_none() || self.pod.stopping.is_some() || self.pod.record.phase != PodPhase::Stopped {
            return;
        }
        if self.pod.containers.is_empty() {
            let (node, id) = (Arc::clone(&self.node), self.pod.id.clone());
            self.tasks.spawn(async move { Done::FilesGone(sandbox::remove_files(&node, &id).await) });
            return;
        }
        let left: Vec<_> = self.pod.containers.keys().cloned().collect();
        for id in left {
            self.remove_container_requested(&id, None);
        }
    }

    pub(super) fn files_gone(&mut self, outcome: Result<(), Error>) {
        if let Err(error) = outcome {
            return self.stop_failed(&error);
        }
        self.pod_gone();
        self.then(|driver, committed| {
            fail_point("pod-gone");
            let mut waiters = driver.pod.removing.take().unwrap_or_default();
            if committed.is_ok() {
                driver.node.registry.forget(&driver.pod.id);
                driver.ended = true;
            }
            answer::all(&mut waiters, committed);
        });
    }
}
