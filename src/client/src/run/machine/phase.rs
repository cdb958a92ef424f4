//! What Kubernetes would say of the pod.

use super::member::{LifeMember, LifeState};
use super::{Goal, LifeMachine, LifeOutcome, MemberKind};

/// As `kubectl get pods` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum LifePhase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// A pod as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::run) struct PodReport {
    pub(in crate::run) phase: LifePhase,
    /// Why it has failed, if not because of a container.
    pub(in crate::run) reason: Option<&'static str>,
    pub(in crate::run) is_initialized: bool,
    /// All containers are ready, and so is the pod.
    pub(in crate::run) is_ready: bool,
    pub(in crate::run) members: Vec<MemberReport>,
}

/// A container as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::run) struct MemberReport {
    pub(in crate::run) name: String,
    pub(in crate::run) kind: MemberKind,
    pub(in crate::run) state: &'static str,
    pub(in crate::run) has_started: bool,
    pub(in crate::run) is_ready: bool,
    pub(in crate::run) restarts: u32,
    /// Of its last run.
    pub(in crate::run) exit_code: Option<i32>,
}

impl LifeMachine {
    /// How the pod is now.
    pub(in crate::run) fn report(&self) -> PodReport {
        let is_initialized = self.members[..self.passed].iter().any(|member| member.plan.kind == MemberKind::Main)
            || self.members.get(self.passed).is_none_or(|member| member.plan.kind == MemberKind::Main);
        let phase = self.phase();
        let lasting = self.members.iter().filter(|member| member.plan.kind != MemberKind::Init);
        let is_over = matches!(phase, LifePhase::Succeeded | LifePhase::Failed);
        let reason = match self.goal {
            Goal::End { outcome, .. } | Goal::Over { outcome } if outcome == LifeOutcome::DeadlineExceeded => {
                Some("DeadlineExceeded")
            }
            _ => None,
        };
        PodReport {
            phase,
            reason,
            is_initialized,
            is_ready: is_initialized && !is_over && lasting.into_iter().all(LifeMember::is_ready),
            members: self.members.iter().map(LifeMember::report).collect(),
        }
    }

    fn phase(&self) -> LifePhase {
        let main = || self.members.iter().filter(|member| member.plan.kind == MemberKind::Main);
        if let Goal::Over { outcome } = self.goal {
            let is_well = |member: &LifeMember| matches!(member.state, LifeState::Ended { has_failed: false });
            let has_failed = matches!(outcome, LifeOutcome::DeadlineExceeded | LifeOutcome::StartFailed);
            return if !has_failed && main().all(is_well) { LifePhase::Succeeded } else { LifePhase::Failed };
        }
        let is_new = |member: &LifeMember| {
            matches!(member.state, LifeState::Fresh { .. })
                || (member.starts == 1 && matches!(member.state, LifeState::Starting))
        };
        if main().any(is_new) { LifePhase::Pending } else { LifePhase::Running }
    }
}

impl LifeMember {
    fn report(&self) -> MemberReport {
        MemberReport {
            name: self.plan.name.clone(),
            kind: self.plan.kind,
            state: match &self.state {
                LifeState::Fresh { .. } | LifeState::Starting => "Waiting",
                LifeState::Waiting { .. } => "CrashLoopBackOff",
                LifeState::Running(running) if running.ending.is_some() => "Terminating",
                LifeState::Running(_) => "Running",
                LifeState::Ended { .. } => "Terminated",
            },
            has_started: self.has_started(),
            is_ready: match self.plan.kind {
                MemberKind::Init => matches!(self.state, LifeState::Ended { has_failed: false }),
                MemberKind::Sidecar | MemberKind::Main => self.is_ready(),
            },
            restarts: self.attempt(),
            exit_code: self.last,
        }
    }
}
