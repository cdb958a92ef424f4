//! Who decides about a workload's pods.

use super::deployment::DeploymentController;
use super::job::JobController;
use super::{FleetAction, FleetInput, Moment};
use crate::manifest::{Deployment, Job, Pod, Workload};
use crate::run::RunError;

/// The controller of one workload.
pub(super) enum Controller {
    Pod(PodController),
    Job { job: Job, controller: JobController, is_over: bool },
    Deployment { deployment: Deployment, controller: DeploymentController, is_over: bool },
}

/// Of a Pod by itself: it is run once.
pub(super) struct PodController {
    pod: Pod,
    course: PodCourse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PodCourse {
    New,
    Running,
    Over,
}

impl Controller {
    pub(super) fn new(workload: &Workload) -> Self {
        match workload {
            Workload::Pod(pod) => Self::Pod(PodController { pod: pod.clone(), course: PodCourse::New }),
            Workload::Job(job) => Self::Job { job: job.clone(), controller: JobController::new(job), is_over: false },
            Workload::Deployment(deployment) => {
                let controller = DeploymentController::new(deployment);
                Self::Deployment { deployment: deployment.clone(), controller, is_over: false }
            }
        }
    }

    pub(super) fn step(&mut self, now: Moment, input: FleetInput) -> Vec<FleetAction> {
        let (actions, is_over) = match self {
            Self::Pod(pod) => return pod.step(input),
            Self::Job { controller, is_over, .. } => (controller.step(now, input), is_over),
            Self::Deployment { controller, is_over, .. } => (controller.step(now, input), is_over),
        };
        *is_over |= actions.iter().any(|action| matches!(action, FleetAction::Over { .. }));
        actions
    }

    pub(super) fn next(&self) -> Option<Moment> {
        match self {
            Self::Pod(_) => None,
            Self::Job { controller, .. } => controller.next(),
            Self::Deployment { controller, .. } => controller.next(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Pod(pod) => pod.course == PodCourse::Over,
            Self::Job { is_over, .. } | Self::Deployment { is_over, .. } => *is_over,
        }
    }

    /// Whether it is for this, as it stands.
    pub(super) fn is_for(&self, wish: &Workload) -> bool {
        match (self, wish) {
            (Self::Pod(own), Workload::Pod(wish)) => own.pod == *wish,
            (Self::Job { job, .. }, Workload::Job(wish)) => job == wish,
            (Self::Deployment { deployment, .. }, Workload::Deployment(wish)) => deployment == wish,
            _ => false,
        }
    }

    /// Whether it is for something of this kind and name.
    pub(super) fn is_named_as(&self, wish: &Workload) -> bool {
        match (self, wish) {
            (Self::Pod(own), Workload::Pod(wish)) => {
                (&own.pod.name, &own.pod.namespace) == (&wish.name, &wish.namespace)
            }
            (Self::Job { job, .. }, Workload::Job(wish)) => {
                (&job.name, job.namespace()) == (&wish.name, wish.namespace())
            }
            (Self::Deployment { deployment, .. }, Workload::Deployment(wish)) => {
                (&deployment.name, deployment.namespace()) == (&wish.name, wish.namespace())
            }
            _ => false,
        }
    }

    /// A Deployment is to be another one.
    pub(super) fn change(&mut self, now: Moment, wish: Deployment) -> Vec<FleetAction> {
        match self {
            Self::Deployment { deployment, controller, .. } => {
                *deployment = wish;
                controller.change(now, deployment)
            }
            Self::Pod(_) | Self::Job { .. } => Vec::new(),
        }
    }

    /// Whether all that it wants has come to be: none of its pods, of which these have been ready, is still awaited.
    pub(super) fn is_settled(&self, mut were_ready: impl Iterator<Item = bool>) -> bool {
        match self {
            _ if self.is_over() => true,
            Self::Pod(_) | Self::Job { .. } => {
                let first = were_ready.next();
                first.is_some_and(|first| first && were_ready.all(|was_ready| was_ready))
            }
            Self::Deployment { controller, .. } => controller.is_settled(),
        }
    }

    /// The pod that it wants.
    pub(super) fn pod(&self, action: FleetAction) -> Option<Pod> {
        match (self, action) {
            (Self::Pod(pod), FleetAction::StartPod { .. }) => Some(pod.pod.clone()),
            (Self::Job { job, .. }, FleetAction::StartJob { number, index }) => Some(job.pod(number, index)),
            (Self::Deployment { deployment, .. }, FleetAction::StartReplica { slot, .. }) => Some(deployment.pod(slot)),
            _ => None,
        }
    }

    /// What it is for, in words.
    pub(super) fn title(&self) -> String {
        match self {
            Self::Pod(pod) => Workload::title(("Pod", &pod.pod.namespace, &pod.pod.name)),
            Self::Job { job, .. } => Workload::title(("Job", job.namespace(), &job.name)),
            Self::Deployment { deployment, .. } => {
                Workload::title(("Deployment", deployment.namespace(), &deployment.name))
            }
        }
    }

    /// What there is to say when it is over.
    pub(super) fn verdict(&self, has_failed: bool) -> Option<String> {
        match (self, has_failed) {
            (Self::Job { job, .. }, true) => Some(format!("job {} has failed", job.name)),
            (Self::Job { job, .. }, false) => Some(format!("job {} is over", job.name)),
            (Self::Pod(_) | Self::Deployment { .. }, _) => None,
        }
    }

    /// Whether the run has failed if a pod could not be run; others try again.
    pub(super) fn fails_with(&self, error: &RunError) -> bool {
        matches!(self, Self::Pod(_)) || matches!(error, RunError::Left(_))
    }
}

impl PodController {
    fn step(&mut self, input: FleetInput) -> Vec<FleetAction> {
        match (self.course, input) {
            (PodCourse::New, FleetInput::Stop) | (PodCourse::Running, FleetInput::Ended { .. }) => {
                self.course = PodCourse::Over;
                vec![FleetAction::Over { has_failed: false }]
            }
            (PodCourse::New, _) => {
                self.course = PodCourse::Running;
                vec![FleetAction::StartPod { number: 0 }]
            }
            (PodCourse::Running | PodCourse::Over, _) => Vec::new(),
        }
    }
}
