//! What of a manifest a pod's life depends on.

use std::time::Duration;

use crate::manifest::{Container, Pod, Probe, ProbeKind, RestartAction, RestartPolicy, RestartRule};

/// Since the pod's beginning.
pub(in crate::run) type Moment = Duration;

/// A pod's life as it is wished.
#[derive(Clone, Debug)]
pub(in crate::run) struct LifePlan {
    /// In the order of their first starts: init containers and sidecars, then the main ones.
    pub(in crate::run) members: Vec<MemberPlan>,
    pub(in crate::run) grace_seconds: u32,
    /// Since the beginning; then the pod has failed.
    pub(in crate::run) deadline: Option<Duration>,
}

/// A container in it.
#[derive(Clone, Debug)]
pub(in crate::run) struct MemberPlan {
    pub(in crate::run) name: String,
    pub(in crate::run) kind: MemberKind,
    pub(in crate::run) restart: RestartPolicy,
    pub(in crate::run) rules: Vec<RestartRule>,
    pub(in crate::run) startup: Option<ProbePlan>,
    pub(in crate::run) readiness: Option<ProbePlan>,
    pub(in crate::run) liveness: Option<ProbePlan>,
    pub(in crate::run) has_post_start: bool,
    pub(in crate::run) has_pre_stop: bool,
}

/// What a container is in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum MemberKind {
    /// Has to end well before the next one starts.
    Init,
    /// Starts among the init containers, and lives until the main containers have ended.
    Sidecar,
    Main,
}

/// When a probe is made, and what counts.
#[derive(Clone, Debug)]
pub(in crate::run) struct ProbePlan {
    pub(in crate::run) initial_delay: Duration,
    pub(in crate::run) period: Duration,
    pub(in crate::run) success_threshold: u32,
    pub(in crate::run) failure_threshold: u32,
    pub(in crate::run) grace_seconds: Option<u32>,
}

impl LifePlan {
    pub(in crate::run) fn of(pod: &Pod) -> Self {
        let init = pod.init_containers.iter().map(|container| {
            let is_sidecar = container.is_sidecar();
            let policy = if pod.restart == RestartPolicy::Never { pod.restart } else { RestartPolicy::OnFailure };
            MemberPlan::of(container, if is_sidecar { MemberKind::Sidecar } else { MemberKind::Init }, policy)
        });
        let main = pod.containers.iter().map(|container| MemberPlan::of(container, MemberKind::Main, pod.restart));
        Self {
            members: init.chain(main).collect(),
            grace_seconds: pod.grace_seconds,
            deadline: pod.active_deadline.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

impl MemberPlan {
    fn of(container: &Container, kind: MemberKind, policy: RestartPolicy) -> Self {
        let life = &container.life;
        let probe = |probe: &Option<Probe>| {
            probe.as_ref().map(|probe| ProbePlan {
                initial_delay: probe.initial_delay,
                period: probe.period,
                success_threshold: probe.success_threshold,
                failure_threshold: probe.failure_threshold,
                grace_seconds: probe.grace_seconds,
            })
        };
        Self {
            name: container.name.clone(),
            kind,
            restart: life.restart.unwrap_or(policy),
            rules: life.rules.clone(),
            startup: probe(&life.startup),
            readiness: probe(&life.readiness),
            liveness: probe(&life.liveness),
            has_post_start: life.post_start.is_some(),
            has_pre_stop: life.pre_stop.is_some(),
        }
    }

    pub(super) fn probe(&self, kind: ProbeKind) -> Option<&ProbePlan> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
        }
    }

    /// What follows an exit by itself.
    pub(super) fn after(&self, code: i32, has_failed: bool) -> AfterExit {
        match self.rules.iter().find(|rule| rule.fits(code)) {
            Some(rule) if rule.action == RestartAction::RestartAllContainers => return AfterExit::RestartAll,
            // An init container that has done its work is not started again.
            Some(_) if self.kind != MemberKind::Init || has_failed => return AfterExit::Restart,
            _ => {}
        }
        match (self.kind, self.restart) {
            (MemberKind::Init, _) if !has_failed => AfterExit::Stay,
            (MemberKind::Sidecar, _) | (_, RestartPolicy::Always) => AfterExit::Restart,
            (_, RestartPolicy::OnFailure) if has_failed => AfterExit::Restart,
            (_, RestartPolicy::OnFailure | RestartPolicy::Never) => AfterExit::Stay,
        }
    }
}

impl MemberPlan {
    /// Whether one that was stopped because it is unhealthy is started again, whatever it ended with.
    pub(super) fn restarts_failures(&self) -> bool {
        self.kind == MemberKind::Sidecar || self.restart != RestartPolicy::Never
    }
}

/// What follows an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterExit {
    Restart,
    /// All containers, from the first init container on.
    RestartAll,
    Stay,
}
