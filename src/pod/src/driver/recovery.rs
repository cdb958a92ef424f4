//! A recorded pod's first steps under a new daemon.

use std::sync::Arc;

use super::events::{ended, unknown_end};
use super::{Done, Driver};
use crate::clock;
use crate::container::{self, Expected, Fate};
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::{ContainerPhase, PodPhase};
use crate::recover::{self, Found, Lost};

impl Driver {
    /// Looks for the pod's shim, or takes back what was never finished.
    pub(super) fn begin_recovery(&mut self) {
        let (node, id, record) = (Arc::clone(&self.node), self.pod.id.clone(), self.pod.record.clone());
        match record.phase {
            PodPhase::Setup => {
                self.tasks.spawn(async move { Done::TakenBack(recover::take_back(&node, &id, &record).await) });
            }
            PodPhase::Stopped => self.finish_recovery(),
            PodPhase::Ready | PodPhase::Broken if self.pod.rebooted => self.begin_after_reboot(),
            PodPhase::Ready | PodPhase::Broken => {
                let alive = self.pod.containers.iter().filter_map(|(id, entry)| match entry.phase()? {
                    ContainerPhase::Running { .. } => Some((id.clone(), Expected::Running)),
                    ContainerPhase::Starting => Some((id.clone(), Expected::Starting)),
                    ContainerPhase::Created | ContainerPhase::Exited(_) => None,
                });
                let alive = alive.collect();
                let connection = self.pod.connection.take();
                self.tasks.spawn(async move {
                    Done::Recovered(recover::reconnect(&node, &id, &record, connection, alive).await)
                });
            }
        }
    }

    /// Nothing of the pod runs: its end is recorded as it is shown, and its network is given back without being asked for.
    fn begin_after_reboot(&mut self) {
        self.pod_changed();
        let all: Vec<ContainerId> = self.pod.containers.keys().cloned().collect();
        for id in all {
            self.container_changed(&id);
        }
        self.finish_recovery_when_recorded();
        self.stop_requested(None);
    }

    /// A half-made pod is gone, or something of it could not be removed: then its record stays and the next start tries again.
    pub(super) fn taken_back(&mut self, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => self.pod_gone(),
            Err(error) => tracing::error!(%error, "a half-made pod can't be taken back; the next start tries again"),
        }
        self.then(|driver, _| {
            driver.node.registry.forget(&driver.pod.id);
            driver.ended = true;
        });
    }

    pub(super) fn recovered(&mut self, outcome: Result<Found, Lost>) {
        match outcome {
            Ok(found) => {
                self.take_over(found.set_up);
                tracing::info!("pod recovered");
                self.clean_ended();
                self.end_strays();
                for (id, fate) in found.fates {
                    self.settle(&id, &fate);
                }
                self.begin_watch();
                if self.pod.record.phase == PodPhase::Broken {
                    // The daemon died between seeing it break and killing the rest.
                    self.kill_rest();
                }
            }
            Err(Lost::Foreign(foreign)) => {
                // Not recorded: a daemon that can drive it finds it as it was.
                tracing::error!(
                    "the pod has {foreign}: it is not ready, and what runs in it runs on until the sandbox is stopped or such a peapod serves"
                );
                self.pod.foreign = Some(foreign);
                self.pod_changed();
            }
            Err(Lost::Gone(error)) => {
                tracing::warn!(%error, "the pod has no shim any more");
                self.pod.record.shim_pid = 0;
                if self.pod.record.phase == PodPhase::Ready {
                    self.pod.record.phase = PodPhase::Broken;
                }
                self.pod_changed();
                self.begin_clean_up();
            }
        }
        self.finish_recovery_when_recorded();
    }

    /// What was found is on disk and shown before anyone is answered by it.
    fn finish_recovery_when_recorded(&mut self) {
        self.then(|driver, _| driver.finish_recovery());
    }

    /// From here on the pod is like any other.
    fn finish_recovery(&mut self) {
        self.pod.recovering = false;
        self.recovered.send_replace(true);
        for request in std::mem::take(&mut self.pod.early) {
            self.request(request);
        }
    }

    /// What containers that ended before still hold.
    pub(super) fn clean_ended(&mut self) {
        let ended: Vec<_> = self
            .pod
            .containers
            .iter_mut()
            .filter_map(|(id, entry)| {
                let made = entry.made()?;
                let held =
                    !entry.cleaning && made.record.held && matches!(made.record.phase, ContainerPhase::Exited(_));
                held.then(|| {
                    entry.cleaning = true;
                    id.clone()
                })
            })
            .collect();
        for id in ended {
            self.container_ended(&id);
        }
    }

    /// Ends and removes containers whose records can't be read: nobody can ask for it.
    fn end_strays(&mut self) {
        let Some(shim) = self.pod.shim.clone() else { return };
        for id in std::mem::take(&mut self.pod.strays) {
            let (node, pod, shim) = (Arc::clone(&self.node), self.pod.id.clone(), shim.clone());
            self.tasks.spawn(async move {
                match container::end(&node, &shim, &pod, &id).await {
                    Ok(()) => tracing::info!(container = id.short(), "ended a container whose record can't be read"),
                    Err(error) => tracing::warn!(
                        container = id.short(), %error,
                        "a container whose record can't be read is not ended; the pod's stop does it"
                    ),
                }
                Done::Nothing
            });
        }
    }

    /// A container is what its shim says.
    fn settle(&mut self, id: &ContainerId, fate: &Fate) {
        let Some(made) = self.pod.containers.get_mut(id).and_then(super::state::Container::made_mut) else { return };
        let started_at = match made.record.phase {
            ContainerPhase::Running { started_at, .. } => started_at,
            // Nobody was told of its start: it counts from now.
            _ => clock::now(),
        };
        match fate {
            Fate::Running { pid } => {
                if made.record.phase == ContainerPhase::Starting {
                    made.record.phase = ContainerPhase::Running { pid: *pid, started_at };
                    self.container_changed(id);
                }
                self.stop_again(id);
            }
            Fate::Ended(exit) => {
                let end = exit.as_ref().map_or_else(|| unknown_end(started_at), ended);
                self.exited(id, end);
            }
            Fate::NotStarted => self.not_started(id),
        }
    }

    /// Whether the shim heard of a recorded stop, nobody knows; told twice, it signals once.
    fn stop_again(&mut self, id: &ContainerId) {
        let made = self.pod.containers.get_mut(id).and_then(super::state::Container::made_mut);
        if let Some(deadline) = made.and_then(|made| made.record.stop_deadline.take()) {
            self.stop_container_requested(id, deadline, None);
        }
    }
}
