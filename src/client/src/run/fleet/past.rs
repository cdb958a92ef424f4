//! What an earlier process of a run has left, which was killed or is over: what it knew, and the pods of it that run.

use std::collections::BTreeSet;
use std::path::Path;

use peapod_api::v1;

use super::controller::Controller;
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::manifest::{Completions, Pod, RestartPolicy, Workload};
use crate::manifest_files::NamedWorkload;
use crate::run::PodDir;
use crate::run::off_thread::off_thread;
use crate::run::report::RunReport;
use crate::runs::{self, RunSubjects};
use crate::{labels, select, targets, teardown};

/// What an earlier process of the run knew, and the pods of it that run.
#[derive(Debug, Default)]
pub(crate) struct PastRun {
    pub(crate) subjects: RunSubjects,
    pub(crate) pods: Vec<v1::PodSandbox>,
}

impl PastRun {
    /// Of a run by its id, if nobody looks after it by now; and what of it has ended since, by these wishes: that
    /// becomes known, and its pods stop.
    pub(crate) async fn look(
        connection: &CriClient,
        (base, id): (&Path, &str),
        wishes: &[Workload],
    ) -> Result<Self, CallError> {
        let Some(known) = runs::known(base, id).filter(|run| !run.lives) else { return Ok(Self::default()) };
        let mut pods = select::pods(connection).await?;
        pods.retain(|pod| targets::is_of_run(pod) && pod.annotations.get(labels::RUN_ID) == Some(&known.id));
        pods.retain(targets::is_ready);
        let mut this = Self { subjects: known.subjects, pods };
        for wish in wishes {
            if !this.subjects.has_ended(wish) && this.has_ended_since(connection, wish).await? {
                this.subjects.end(wish);
                // Else it is found out once more.
                let _ = runs::correct(base, id, &this.subjects);
                this.stop(connection, wish).await;
            }
        }
        Ok(this)
    }

    /// The pods of it that run for something.
    pub(crate) fn pods_of(&self, named: &NamedWorkload) -> impl Iterator<Item = &v1::PodSandbox> {
        self.pods.iter().filter(move |pod| targets::workload_of(pod) == *named)
    }

    /// The controller of something that the run is for from now on.
    pub(super) fn controller(&self, wish: &Workload) -> Controller {
        if self.subjects.has_ended(wish) { Controller::ended(wish) } else { Controller::new(wish) }
    }

    /// Whether all is done that was to be done, while nobody looked after it.
    async fn has_ended_since(&self, connection: &CriClient, wish: &Workload) -> Result<bool, CallError> {
        let named = NamedWorkload::of(wish);
        let mut ends = Vec::new();
        for pod in self.pods_of(&named) {
            ends.push(end_of(connection, wish.pattern(), &pod.id).await?);
        }
        let (all, good) = (ends.len(), ends.iter().filter(|end| **end == PodEnd::Good).count());
        Ok(match wish {
            Workload::Pod(pod) => match pod.restart {
                RestartPolicy::Always => false,
                RestartPolicy::OnFailure => all > 0 && good == all,
                RestartPolicy::Never => all > 0 && !ends.contains(&PodEnd::NotYet),
            },
            Workload::Job(job) => match job.completions {
                Completions::Count(count) | Completions::Indexed(count) => {
                    all > 0 && good + self.subjects.done(&named) as usize >= count as usize
                }
                Completions::WorkQueue => all > 0 && good == all,
            },
            Workload::Deployment(_) => false,
        })
    }

    /// Stops the pods of something that has ended; what tells of that stays.
    async fn stop(&mut self, connection: &CriClient, wish: &Workload) {
        let named = NamedWorkload::of(wish);
        for pod in self.pods.extract_if(.., |pod| targets::workload_of(pod) == named) {
            // What is not stopped is still listed, and goes with `peapod down`.
            teardown::stop(connection, &pod.id, 0).await;
            let Some(dir) = PodDir::of(&pod) else { continue };
            let leave = move || {
                let report = RunReport::read(&dir.path).map(RunReport::ended);
                report.map_or(Ok(()), |report| report.write(&dir.path)).and_then(|()| dir.leave_logs())
            };
            let _ = off_thread(leave).await;
        }
    }
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PodEnd {
    NotYet,
    Good,
    Bad,
}

/// By its main containers.
async fn end_of(connection: &CriClient, pattern: &Pod, id: &str) -> Result<PodEnd, CallError> {
    let mut ended = BTreeSet::new();
    let mut end = PodEnd::Good;
    for container in teardown::containers(connection, id).await? {
        let name = container.metadata.clone().unwrap_or_default().name;
        if !pattern.containers.iter().any(|main| main.name == name) {
            continue;
        }
        let request = v1::ContainerStatusRequest { container_id: container.id, verbose: false };
        let mut client = connection.runtime.clone();
        let status = call("ContainerStatus", QUICK, client.container_status(request)).await?.status.unwrap_or_default();
        if status.state() != v1::ContainerState::ContainerExited {
            return Ok(PodEnd::NotYet);
        }
        if status.exit_code != 0 {
            end = PodEnd::Bad;
        }
        ended.insert(name);
    }
    Ok(if ended.len() == pattern.containers.len() { end } else { PodEnd::NotYet })
}
