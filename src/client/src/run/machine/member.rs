//! A container in its pod's life.

use super::backoff::BackOff;
use super::plan::{MemberKind, MemberPlan, Moment};
use super::probes::{ProbeState, ProbeVerdict};
use crate::manifest::ProbeKind;

/// A container, over all its starts.
#[derive(Debug)]
pub(super) struct LifeMember {
    pub(super) plan: MemberPlan,
    /// How often it was started.
    pub(super) starts: u32,
    pub(super) back_off: BackOff,
    /// The exit code of the last run.
    pub(super) last: Option<i32>,
    pub(super) state: LifeState,
}

/// Where it is in its life.
#[derive(Debug)]
pub(super) enum LifeState {
    /// To be started for the first time, not before this time and not before its turn.
    Fresh {
        not_before: Moment,
    },
    /// To be started again.
    Waiting {
        not_before: Moment,
    },
    Starting,
    Running(RunningMember),
    /// It is not started again.
    Ended {
        has_failed: bool,
    },
}

/// A container that runs.
#[derive(Debug)]
pub(super) struct RunningMember {
    pub(super) since: Moment,
    pub(super) post_start: PostStart,
    pub(super) startup: Option<ProbeState>,
    pub(super) readiness: Option<ProbeState>,
    pub(super) liveness: Option<ProbeState>,
    pub(super) ending: Option<Ending>,
}

/// Whether what follows the start is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostStart {
    UnderWay,
    Done,
}

/// A stop that was decided.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) cause: EndingCause,
    /// The grace period's end.
    pub(super) by: Moment,
    pub(super) stage: EndingStage,
}

/// Why a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndingCause {
    /// It failed its probe or its postStart hook: it may be started again.
    Unhealthy,
    /// All containers are started again.
    RestartAll,
    /// The pod ends.
    Pod,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndingStage {
    PreStop,
    /// A sidecar waits for those that it serves.
    Turn,
    /// The runtime was asked.
    Asked,
    /// The stop failed; it is asked again at this time.
    Again {
        at: Moment,
    },
    Killed,
}

impl LifeMember {
    pub(super) fn new(plan: MemberPlan) -> Self {
        let state = LifeState::Fresh { not_before: Moment::ZERO };
        Self { plan, starts: 0, back_off: BackOff::default(), last: None, state }
    }

    /// The number of the container that runs or ran last, counted from zero.
    pub(super) fn attempt(&self) -> u32 {
        self.starts.saturating_sub(1)
    }

    pub(super) fn running(&self) -> Option<&RunningMember> {
        match &self.state {
            LifeState::Running(running) => Some(running),
            _ => None,
        }
    }

    pub(super) fn running_mut(&mut self) -> Option<&mut RunningMember> {
        match &mut self.state {
            LifeState::Running(running) => Some(running),
            _ => None,
        }
    }

    /// Whether the container after it may be started for the first time.
    pub(super) fn lets_next_start(&self) -> bool {
        match (self.plan.kind, &self.state) {
            (_, LifeState::Fresh { .. } | LifeState::Starting) => false,
            (MemberKind::Init, LifeState::Ended { has_failed }) => !has_failed,
            (MemberKind::Init, _) => false,
            (MemberKind::Sidecar, _) => self.has_started(),
            (MemberKind::Main, LifeState::Running(running)) => running.post_start == PostStart::Done,
            (MemberKind::Main, LifeState::Waiting { .. } | LifeState::Ended { .. }) => true,
        }
    }

    /// There is, or may be, a process.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, LifeState::Starting | LifeState::Running(_))
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, LifeState::Ended { .. })
    }

    pub(super) fn has_started(&self) -> bool {
        self.running().is_some_and(RunningMember::has_started)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.running().is_some_and(RunningMember::is_ready)
    }

    /// It runs from now on.
    pub(super) fn begin(&mut self, now: Moment) {
        let probe = |kind| self.plan.probe(kind).map(|plan| ProbeState::new(kind, now + plan.initial_delay));
        self.state = LifeState::Running(RunningMember {
            since: now,
            post_start: if self.plan.has_post_start { PostStart::UnderWay } else { PostStart::Done },
            startup: probe(ProbeKind::Startup),
            readiness: probe(ProbeKind::Readiness),
            liveness: probe(ProbeKind::Liveness),
            ending: None,
        });
    }
}

impl RunningMember {
    /// As Kubernetes means it: the postStart hook is through, and so is the startup probe.
    pub(super) fn has_started(&self) -> bool {
        let probe = self.startup.as_ref().is_none_or(|probe| probe.verdict == ProbeVerdict::Success);
        self.post_start == PostStart::Done && probe
    }

    pub(super) fn is_ready(&self) -> bool {
        let probe = self.readiness.as_ref().is_none_or(|probe| probe.verdict == ProbeVerdict::Success);
        self.has_started() && probe && self.ending.is_none()
    }

    pub(super) fn probe_mut(&mut self, kind: ProbeKind) -> Option<&mut ProbeState> {
        match kind {
            ProbeKind::Startup => self.startup.as_mut(),
            ProbeKind::Readiness => self.readiness.as_mut(),
            ProbeKind::Liveness => self.liveness.as_mut(),
        }
    }

    /// The probes that are made now: the startup probe alone until it has succeeded, then the others.
    pub(super) fn active_probes(&self) -> impl Iterator<Item = (ProbeKind, &ProbeState)> {
        let is_asked = self.post_start == PostStart::Done && self.ending.is_none();
        let has_started = self.has_started();
        let all = [
            (ProbeKind::Startup, self.startup.as_ref().filter(|_| !has_started)),
            (ProbeKind::Readiness, self.readiness.as_ref().filter(|_| has_started)),
            (ProbeKind::Liveness, self.liveness.as_ref().filter(|_| has_started)),
        ];
        all.into_iter().filter(move |_| is_asked).filter_map(|(kind, probe)| probe.map(|probe| (kind, probe)))
    }
}
