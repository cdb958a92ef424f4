//! Who decides about a workload's pods.

use std::collections::BTreeSet;

use super::deployment::DeploymentController;
use super::job::JobController;
use super::pod::PodController;
use super::{FleetAction, FleetEnd, FleetInput, Moment, PodNumber};
use crate::manifest::{Deployment, Pod, Workload};
use crate::run::RunError;
use crate::runs::KnownWorkload;

/// The controller of one workload.
pub(super) struct Controller {
    workload: Workload,
    course: Course,
    stage: ControllerStage,
}

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ControllerStage {
    On,
    /// It ends, as it can't be run.
    GivenUp,
    /// Over by itself.
    Over,
    /// Over before its time: its pods could not be run, or somebody else stopped them.
    Cut,
}

/// How far it has come, by its kind.
enum Course {
    Pod(PodController),
    Job(JobController),
    Deployment(DeploymentController),
    /// Of an earlier process of this run: it has ended, or its pods go, for nobody looks after them.
    Past(BTreeSet<PodNumber>),
}

impl Controller {
    pub(super) fn new(workload: &Workload) -> Self {
        let course = match workload {
            Workload::Pod(_) => Course::Pod(PodController::default()),
            Workload::Job(job) => Course::Job(JobController::new(job)),
            Workload::Deployment(deployment) => Course::Deployment(DeploymentController::new(deployment)),
        };
        Self { workload: workload.clone(), course, stage: ControllerStage::On }
    }

    /// Of something that has ended by itself already.
    pub(super) fn ended(workload: &Workload) -> Self {
        Self { workload: workload.clone(), course: Course::Past(BTreeSet::new()), stage: ControllerStage::Over }
    }

    /// It becomes that of so many pods of an earlier process, which go.
    pub(super) fn become_past(&mut self, pods: u32) {
        self.course = Course::Past((0..pods).collect());
    }

    /// Takes over a Deployment's pods of an earlier process, each in its place, as what the wished ones follow one by
    /// one; their numbers.
    pub(super) fn inherit(&mut self, slots: &[u32]) -> Vec<PodNumber> {
        match &mut self.course {
            Course::Deployment(controller) => controller.inherit(slots),
            Course::Pod(_) | Course::Job(_) | Course::Past(_) => Vec::new(),
        }
    }

    /// For what it is.
    pub(super) fn workload(&self) -> &Workload {
        &self.workload
    }

    pub(super) fn step(&mut self, now: Moment, input: FleetInput) -> Vec<FleetAction> {
        let actions = match &mut self.course {
            Course::Pod(controller) => controller.step(now, input),
            Course::Job(controller) => controller.step(now, input),
            Course::Deployment(controller) => controller.step(now, input),
            Course::Past(pods) => {
                if let FleetInput::Ended { number, .. } | FleetInput::Lost { number } = input {
                    pods.remove(&number);
                }
                let is_over = pods.is_empty() && self.stage == ControllerStage::On;
                if is_over { vec![FleetAction::Over(FleetEnd::Stopped)] } else { Vec::new() }
            }
        };
        self.note_end(&actions);
        actions
    }

    fn note_end(&mut self, actions: &[FleetAction]) {
        for action in actions {
            if let FleetAction::Over(end) = action {
                let is_cut = self.stage == ControllerStage::GivenUp || *end == FleetEnd::Stopped;
                self.stage = if is_cut { ControllerStage::Cut } else { ControllerStage::Over };
            }
        }
    }

    pub(super) fn next(&self) -> Option<Moment> {
        match &self.course {
            Course::Pod(controller) => controller.next(),
            Course::Job(controller) => controller.next(),
            Course::Deployment(controller) => controller.next(),
            Course::Past(_) => None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, ControllerStage::Over | ControllerStage::Cut)
    }

    /// Of a Pod by itself.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.course, Course::Pod(_))
    }

    /// Whether it is for something of this kind and name.
    pub(super) fn is_named_as(&self, wish: &Workload) -> bool {
        self.workload.is_named_as(wish)
    }

    /// Its pod has ended, and not by itself.
    pub(super) fn cut(&mut self) {
        if self.is_plain() && self.is_over() {
            self.stage = ControllerStage::Cut;
        }
    }

    /// It is told to stop, as it can't be run.
    pub(super) fn give_up(&mut self) {
        self.stage = ControllerStage::GivenUp;
    }

    /// Its pods could not be run, or somebody else stopped them, which may be otherwise another time.
    pub(super) fn was_cut(&self) -> bool {
        self.stage == ControllerStage::Cut
    }

    /// It is for another wording from now on, of which pods that run need to know no more than their files.
    pub(super) fn adopt(&mut self, wish: Workload) {
        if let (Course::Job(controller), Workload::Job(job)) = (&mut self.course, &wish) {
            controller.set_parallelism(job.parallelism);
        }
        self.workload = wish;
    }

    /// A Deployment is to be another one.
    pub(super) fn change(&mut self, now: Moment, wish: Deployment) -> Vec<FleetAction> {
        let Course::Deployment(controller) = &mut self.course else { return Vec::new() };
        let actions = controller.change(now, &wish);
        self.workload = Workload::Deployment(wish);
        self.note_end(&actions);
        actions
    }

    /// Whether all that it wants has come to be: none of its pods, of which these have been ready, is still awaited.
    pub(super) fn is_settled(&self, mut were_ready: impl Iterator<Item = bool>) -> bool {
        match &self.course {
            _ if self.is_over() => true,
            // What ends well at once is never ready for a moment.
            Course::Job(controller) if controller.done() > 0 || controller.is_waiting() => true,
            Course::Pod(_) | Course::Job(_) => {
                let first = were_ready.next();
                first.is_some_and(|first| first && were_ready.all(|was_ready| was_ready))
            }
            Course::Deployment(controller) => controller.is_settled() && were_ready.all(|was_ready| was_ready),
            Course::Past(_) => false,
        }
    }

    /// The pod that it wants.
    pub(super) fn pod(&self, action: FleetAction) -> Option<Pod> {
        match (&self.workload, action) {
            (Workload::Pod(pod), FleetAction::StartPod { .. }) => Some(pod.clone()),
            (Workload::Job(job), FleetAction::StartJob { number, index }) => Some(job.pod(number, index)),
            (Workload::Deployment(deployment), FleetAction::StartReplica { slot, .. }) => Some(deployment.pod(slot)),
            _ => None,
        }
    }

    /// What it is for, as others know it.
    pub(super) fn known(&self) -> KnownWorkload {
        match self.stage {
            ControllerStage::Over => KnownWorkload::ended(&self.workload),
            ControllerStage::Cut => KnownWorkload::cut(&self.workload),
            ControllerStage::On | ControllerStage::GivenUp => {
                let done = if let Course::Job(controller) = &self.course { controller.done() } else { 0 };
                KnownWorkload { done, ..KnownWorkload::on(&self.workload) }
            }
        }
    }

    /// What it is for, in words.
    pub(super) fn title(&self) -> String {
        self.workload.to_string()
    }

    /// Whether it asks pods of its own to end for no other reason than that it has failed.
    pub(super) fn stops_what_fails(&self) -> bool {
        matches!(self.course, Course::Job(_))
    }

    /// What there is to say when it is over, with the last pod that failed.
    pub(super) fn verdict(&self, end: FleetEnd, last: Option<&str>) -> Option<String> {
        let (Workload::Job(job), Course::Job(_)) = (&self.workload, &self.course) else { return None };
        let how = match end {
            FleetEnd::Done => "is over".to_owned(),
            FleetEnd::Stopped => "was stopped before it was done".to_owned(),
            FleetEnd::TooManyFailures => {
                format!("has failed: its pods have failed too often (backoffLimit: {})", job.backoff_limit)
            }
            FleetEnd::OutOfTime => {
                let limit = job.active_deadline.unwrap_or_default();
                format!("has failed: its time is over (activeDeadlineSeconds: {limit})")
            }
        };
        let last = last.map(|last| format!("; {last}")).unwrap_or_default();
        Some(format!("job {} {how}{last}", job.name))
    }

    /// Whether the run has failed if a pod could not be run; others try again.
    pub(super) fn fails_with(&self, error: &RunError) -> bool {
        self.is_plain() || matches!(error, RunError::Left(_)) || is_final(error)
    }

    /// Whether a Pod by itself that could not be run is tried again: where one of it did run and was lost, as whatever
    /// is in the way may be gone later. What says that the manifest, or the run, is not as it should be is said at
    /// once.
    pub(super) fn tries_again_after(&self, error: &RunError, number: PodNumber) -> bool {
        let is_of_no_use = matches!(error, RunError::Left(_) | RunError::Unsupported { .. } | RunError::Watch { .. })
            || is_final(error);
        self.is_plain() && number > 0 && !is_of_no_use
    }

    /// Whether to try again is of no use to those that would.
    pub(super) fn is_hopeless_with(&self, error: &RunError) -> bool {
        !self.is_plain() && is_final(error)
    }
}

/// Another run has the pod, and makes it anew whenever it ends.
fn is_final(error: &RunError) -> bool {
    matches!(error, RunError::Runs(twin) if twin.is_of_another_run())
}
