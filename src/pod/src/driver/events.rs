//! What happens in the pod by itself: exits, the end of pod init, the end of the shim.

use std::sync::Arc;
use std::time::Duration;

use peapod_shim_protocol::exit::Exit;
use peapod_shim_protocol::extension::{Event, event};
use peapod_sys::fail_point;

use super::answer;
use super::state::Life;
use super::{Done, Driver};
use crate::clock;
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::{ContainerPhase, Ended, PodPhase};
use crate::sandbox;
use crate::shim::ShimError;

/// Pause before a shim that told no events, but is there, is asked for them again.
const WATCH_AGAIN: Duration = Duration::from_secs(1);

/// What the field calls the ways of ending.
pub(crate) fn ended(exit: &Exit) -> Ended {
    let reason = match (exit.oom, exit.code) {
        (true, _) => "OOMKilled",
        (false, 0) => "Completed",
        (false, _) => "Error",
    };
    Ended {
        started_at: exit.started_at,
        finished_at: exit.finished_at.max(exit.started_at + 1),
        code: i32::try_from(exit.code).unwrap_or(255),
        reason: reason.to_owned(),
        message: String::new(),
    }
}

/// The end of a container of which nothing is known but that it is over.
pub(super) fn unknown_end(started_at: i64) -> Ended {
    Ended {
        started_at,
        finished_at: clock::now(),
        code: 255,
        reason: "Unknown".to_owned(),
        message: "the pod's shim was gone before it could tell how this container ended".to_owned(),
    }
}

impl Driver {
    /// Asks the shim for the next events. What was told before is acknowledged with it, so it is recorded by now.
    pub(super) fn begin_watch(&mut self) {
        let Some(shim) = self.pod.shim.clone() else { return };
        let after = self.pod.record.last_event;
        self.tasks.spawn(async move { Done::Events(shim.watch(after).await) });
    }

    pub(super) fn events(&mut self, outcome: Result<Vec<Event>, ShimError>) {
        if self.pod.shim.is_none() {
            // The pod is being released: the shim's end is wanted.
            return;
        }
        let events = match outcome {
            Ok(events) => events,
            Err(ShimError::Gone(reason)) => return self.shim_gone(&reason),
            // It answers with no event when there is none.
            Err(error @ ShimError::Timeout { .. }) => return self.shim_gone(&error.to_string()),
            Err(error) => {
                tracing::warn!(%error, "the pod's shim tells no events; it is asked again in a moment");
                self.tasks.spawn(async {
                    tokio::time::sleep(WATCH_AGAIN).await;
                    Done::WatchAgain
                });
                return;
            }
        };
        for event in events {
            self.event(event);
        }
        self.then(|driver, committed| {
            if committed.is_ok() {
                driver.begin_watch();
            } else {
                // Asked again, with the old number, when the record can be written.
                driver.then(|driver, _| driver.begin_watch());
            }
        });
    }

    fn event(&mut self, event: Event) {
        if event.seq <= self.pod.record.last_event {
            return;
        }
        self.pod.record.last_event = event.seq;
        self.pod_changed();
        match event.kind {
            // It was created and taken back: no end of anything that was ever started.
            Some(event::Kind::Exited(exited)) if exited.started_at == 0 => {}
            Some(event::Kind::Exited(exited)) => {
                let exit = Exit {
                    code: exited.code,
                    signal: (exited.signal != 0).then_some(exited.signal),
                    oom: exited.oom,
                    started_at: exited.started_at,
                    finished_at: exited.finished_at,
                };
                let id = self.pod.containers.keys().find(|id| id.as_str() == event.container_id).cloned();
                match id {
                    Some(id) => self.exited(&id, ended(&exit)),
                    None => tracing::debug!(container = event.container_id, "an unknown container ended"),
                }
            }
            // With the pod being stopped this is wanted.
            Some(event::Kind::InitExited(init)) if self.pod.stopping.is_none() => {
                tracing::warn!(code = init.code, "pod init ended: the pod is not ready any more");
                self.broken();
            }
            // Counted by the shim; the exit's reason tells it.
            _ => {}
        }
    }

    /// A container's processes are gone.
    pub(super) fn exited(&mut self, id: &ContainerId, end: Ended) {
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        let Life::Made(made) = &mut entry.life else { return };
        match made.record.phase {
            // The end of its start, which is on the way, comes first.
            ContainerPhase::Starting if entry.starting.is_some() => made.early_exit = Some(end),
            ContainerPhase::Starting | ContainerPhase::Running { .. } => {
                let end = match made.record.phase {
                    ContainerPhase::Running { started_at, .. } => end.since(started_at),
                    _ => end,
                };
                tracing::info!(container = id.short(), code = end.code, reason = end.reason, "container ended");
                made.record.phase = ContainerPhase::Exited(end);
                entry.cleaning = true;
                self.container_changed(id);
                let id = id.clone();
                self.then(move |driver, _| {
                    fail_point("exit-recorded");
                    driver.container_ended(&id);
                });
            }
            ContainerPhase::Created | ContainerPhase::Exited(_) => {}
        }
    }

    /// A container's end is shown: who waited for it hears of it, and what it held is given back.
    pub(super) fn container_ended(&mut self, id: &ContainerId) {
        let shim = self.pod.shim.clone();
        let Some(entry) = self.pod.containers.get_mut(id) else { return };
        answer::all(&mut entry.stop_waiters, &Ok(()));
        let id = id.clone();
        self.tasks.spawn(async move {
            let outcome = match shim {
                Some(shim) => shim.delete_task(id.as_str()).await,
                // The shim is gone: its clean-up took all of the pod.
                None => Ok(()),
            };
            Done::Cleaned(id, outcome)
        });
    }

    /// The pod's infrastructure is gone, or about to be: what is left of it is killed, the network stays until it is stopped.
    fn broken(&mut self) {
        if self.pod.record.phase != PodPhase::Ready {
            return;
        }
        self.pod.record.phase = PodPhase::Broken;
        self.pod_changed();
        self.kill_rest();
    }

    /// Ends what still runs in a pod that is not ready any more; a stop does it by itself.
    pub(super) fn kill_rest(&mut self) {
        if let (Some(shim), None) = (self.pod.shim.clone(), &self.pod.stopping) {
            let id = self.pod.id.clone();
            self.tasks.spawn(async move {
                if let Err(error) = shim.stop_sandbox(id.as_str()).await {
                    tracing::warn!(%error, "the rest of the pod could not be killed; StopPodSandbox tries again");
                }
                Done::Nothing
            });
        }
    }

    /// The shim is gone. Exit files say how containers ended; what it left is cleaned up by the shim's binary.
    pub(super) fn shim_gone(&mut self, reason: &str) {
        if self.pod.shim.take().is_none() {
            return;
        }
        tracing::warn!(reason, "the pod's shim is gone: the pod is not ready any more");
        self.shim.store(None);
        self.pod.record.shim_pid = 0;
        self.pod.record.phase = PodPhase::Broken;
        self.pod_changed();
        self.begin_clean_up();
    }

    /// Kills and unmounts what a dead shim left.
    pub(super) fn begin_clean_up(&mut self) {
        if std::mem::replace(&mut self.pod.cleaning_up, true) {
            return;
        }
        let (node, id) = (Arc::clone(&self.node), self.pod.id.clone());
        let running: Vec<ContainerId> = self
            .pod
            .containers
            .iter()
            .filter(|(_, entry)| {
                matches!(entry.phase(), Some(ContainerPhase::Running { .. } | ContainerPhase::Starting))
            })
            .map(|(id, _)| id.clone())
            .collect();
        let cgroups: Vec<String> = self
            .pod
            .containers
            .values()
            .filter_map(super::state::Container::made)
            .filter(|made| made.record.held)
            .map(|made| made.record.cgroup.clone())
            .collect();
        self.tasks.spawn(async move { Done::CleanedUp(sandbox::clean_up(&node, &id, running, &cgroups).await) });
    }

    /// A shim's clean-up took what containers held that had ended before.
    fn nothing_held(&mut self) {
        let mut changed = Vec::new();
        for (id, entry) in &mut self.pod.containers {
            let cleaning = entry.cleaning;
            if let Some(made) = entry.made_mut()
                && matches!(made.record.phase, ContainerPhase::Exited(_))
                && made.record.held
                && !cleaning
            {
                made.record.held = false;
                changed.push(id.clone());
            }
        }
        for id in changed {
            self.container_changed(&id);
        }
    }

    /// What a dead shim left is gone; exits are taken from their files.
    pub(super) fn cleaned_up(&mut self, outcome: Result<Vec<(ContainerId, Option<Exit>)>, Error>) {
        self.pod.cleaning_up = false;
        let ends = match outcome {
            Ok(ends) => ends,
            Err(error) => {
                tracing::error!("what a dead shim left could not be cleaned up; StopPodSandbox tries again");
                return self.stop_failed(&error);
            }
        };
        for (id, exit) in ends {
            let Some(entry) = self.pod.containers.get_mut(&id) else { continue };
            let Life::Made(made) = &mut entry.life else { continue };
            let started_at = match made.record.phase {
                ContainerPhase::Running { started_at, .. } => started_at,
                _ => 0,
            };
            let end = exit.as_ref().map_or_else(|| unknown_end(started_at), ended);
            self.exited(&id, end);
        }
        self.nothing_held();
        self.continue_stop();
    }
}
