//! A recorded pod's first steps under a new daemon.

use std::sync::Arc;

use super::{Done, Driver};
use crate::error::Error;
use crate::record::{ContainerPhase, PodPhase};
use crate::recover;
use crate::sandbox::SetUp;

impl Driver {
    /// Looks for the pod's shim, or takes back what was never finished.
    pub(super) fn begin_recovery(&mut self) {
        let (node, id, record) = (Arc::clone(&self.node), self.pod.id.clone(), self.pod.record.clone());
        match record.phase {
            PodPhase::Setup => {
                self.tasks.spawn(async move { Done::TakenBack(recover::take_back(&node, &id, &record, &[]).await) });
            }
            PodPhase::Stopped => self.finish_recovery(),
            PodPhase::Ready | PodPhase::Broken => {
                self.tasks.spawn(async move { Done::Recovered(recover::reconnect(&node, &record).await) });
            }
        }
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

    pub(super) fn recovered(&mut self, outcome: Result<SetUp, Error>) {
        match outcome {
            Ok(found) => {
                self.take_over(found);
                tracing::info!("pod recovered");
                self.begin_watch();
                self.clean_ended();
                self.check_started();
            }
            Err(error) => {
                tracing::warn!(%error, "the pod has no shim any more");
                if self.pod.record.phase == PodPhase::Ready {
                    self.pod.record.phase = PodPhase::Broken;
                    self.pod_changed();
                }
                self.begin_clean_up();
            }
        }
        self.finish_recovery();
    }

    /// From here on the pod is like any other.
    fn finish_recovery(&mut self) {
        self.pod.recovering = false;
        for request in std::mem::take(&mut self.pod.early) {
            self.request(request);
        }
    }

    /// What containers that ended before still hold.
    fn clean_ended(&mut self) {
        let ended: Vec<_> = self
            .pod
            .containers
            .iter_mut()
            .filter_map(|(id, entry)| {
                let made = entry.made()?;
                let held = made.record.held && matches!(made.record.phase, ContainerPhase::Exited(_));
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

    /// Containers whose start was under way: the shim knows how far it came.
    fn check_started(&mut self) {
        let starting: Vec<_> = self
            .pod
            .containers
            .iter()
            .filter(|(_, entry)| matches!(entry.phase(), Some(ContainerPhase::Starting)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in starting {
            let Some(shim) = self.pod.shim.clone() else { return };
            self.tasks.spawn(async move {
                let outcome = crate::container::resume_start(&shim, &id).await;
                Done::Started(id, outcome)
            });
        }
    }
}
