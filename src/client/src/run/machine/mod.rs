//! A pod's life under `peapod run`, pure: it takes what happened and says what is to be done, as a kubelet would.
//!
//! It knows neither clock nor runtime. Who feeds it says the time with each input, and comes back at
//! [`LifeMachine::next`].

mod backoff;
mod ending;
mod inputs;
mod member;
#[cfg(test)]
mod model;
mod phase;
mod plan;
mod probes;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::manifest::ProbeKind;

pub(in crate::run) use backoff::BackOff;
pub(crate) use phase::LifePhase;
pub(in crate::run) use phase::PodReport;
pub(in crate::run) use plan::{LifePlan, MemberKind, Moment};
pub(in crate::run) use probes::Probed;

use ending::Pace;
use member::{LifeMember, LifeState, RunningMember};

/// What happened. Containers are named by their place in the plan, and their starts are counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum LifeInput {
    /// Time has passed.
    Time,
    Started {
        member: usize,
    },
    StartFailed {
        member: usize,
    },
    Exited {
        member: usize,
        code: i32,
        /// Something in it was killed for want of memory.
        out_of_memory: bool,
    },
    HookDone {
        member: usize,
        attempt: u32,
        hook: HookKind,
        is_done: bool,
    },
    ProbeDone {
        member: usize,
        attempt: u32,
        kind: ProbeKind,
        result: Probed,
    },
    /// The runtime did not stop it.
    StopFailed {
        member: usize,
    },
    /// The pod is to end, with grace.
    Stop,
    /// The pod is to end, with another grace period than its own.
    StopWithin {
        seconds: u32,
    },
    /// The pod is to end at once.
    Kill,
    /// Somebody else is about to stop the pod. It is told again as long as that is so.
    Announced,
    /// Somebody else has stopped or removed the pod.
    Gone,
    /// The pod has ended, and nobody is known to have asked for it.
    Lost,
}

/// What is to be done. Starts, hooks, probes and stops are answered by an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum LifeAction {
    Start {
        member: usize,
        attempt: u32,
    },
    Hook {
        member: usize,
        attempt: u32,
        hook: HookKind,
        /// It is given up after this time.
        limit: Option<Duration>,
    },
    Probe {
        member: usize,
        attempt: u32,
        kind: ProbeKind,
    },
    Stop {
        member: usize,
        grace: u32,
    },
    Tell(LifeNews),
    /// Nothing runs any more.
    End(LifeOutcome),
}

/// Which hook of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum HookKind {
    PostStart,
    PreStop,
}

/// What a user wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum LifeNews {
    Ended {
        member: usize,
        /// It is started again after this time.
        again: Option<Duration>,
    },
    /// All containers are started again.
    RestartsAll {
        member: usize,
        wait: Duration,
    },
    StartsAgain {
        member: usize,
        wait: Duration,
    },
    ProbeFailed {
        member: usize,
        kind: ProbeKind,
    },
    /// It can't be made.
    ProbeRefused {
        member: usize,
        kind: ProbeKind,
    },
    /// It is stopped for it.
    Unhealthy {
        member: usize,
        kind: ProbeKind,
    },
    Ready {
        member: usize,
    },
    NotReady {
        member: usize,
    },
    DeadlineExceeded,
}

/// How the pod's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum LifeOutcome {
    /// All main containers have ended, or an init container has failed.
    Finished,
    /// A container could not be started for the first time.
    StartFailed,
    Asked,
    Elsewhere,
    /// It ended under its containers, as its shim was killed for example.
    Lost,
    DeadlineExceeded,
}

/// What the pod is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Run,
    /// Somebody else is stopping it, who says so again until then.
    Leave {
        until: Moment,
    },
    /// All containers are to end, and to start again after this time.
    RestartAll {
        wait: Duration,
    },
    End {
        outcome: LifeOutcome,
        pace: Pace,
    },
    Over {
        outcome: LifeOutcome,
    },
}

/// A pod's life.
#[derive(Debug)]
pub(in crate::run) struct LifeMachine {
    members: Vec<LifeMember>,
    grace: Duration,
    deadline: Option<Moment>,
    goal: Goal,
    /// How many containers the way through the first starts has passed.
    passed: usize,
    first_failure: Option<i32>,
}

impl LifeMachine {
    /// Before the first start, at the moment zero.
    pub(in crate::run) fn new(plan: LifePlan) -> Self {
        Self {
            members: plan.members.into_iter().map(LifeMember::new).collect(),
            grace: Duration::from_secs(plan.grace_seconds.into()),
            deadline: plan.deadline,
            goal: Goal::Run,
            passed: 0,
            first_failure: None,
        }
    }

    /// Takes what happened, and says what follows.
    pub(in crate::run) fn step(&mut self, now: Moment, input: LifeInput) -> Vec<LifeAction> {
        let mut actions = Vec::new();
        self.take(now, input, &mut actions);
        self.advance(now, &mut actions);
        actions
    }

    /// When it has to be told the time, if nothing happens before.
    pub(in crate::run) fn next(&self) -> Option<Moment> {
        let starts = self.members.iter().take(self.passed + 1).filter_map(|member| match member.state {
            LifeState::Fresh { not_before } | LifeState::Waiting { not_before } => Some(not_before),
            _ => None,
        });
        let running = self.members.iter().filter_map(LifeMember::running);
        let probes = running.flat_map(RunningMember::active_probes).filter_map(|(_, probe)| probe.due);
        let of_run = starts.chain(probes).chain(self.deadline).filter(|_| self.goal == Goal::Run);
        let of_leave = match self.goal {
            Goal::Leave { until } => Some(until),
            _ => None,
        };
        of_run.chain(of_leave).chain(self.ending_moments()).min()
    }

    /// The exit code of the first container that failed by itself, or 0.
    pub(in crate::run) fn code(&self) -> i32 {
        self.first_failure.unwrap_or_default()
    }

    fn advance(&mut self, now: Moment, actions: &mut Vec<LifeAction>) {
        if matches!(self.goal, Goal::Leave { until } if until <= now) {
            self.goal = inputs::goal_after_leave(now, &mut self.members);
        }
        if self.goal == Goal::Run {
            self.meet_deadline(now, actions);
        }
        if let Goal::RestartAll { wait } = self.goal {
            self.end_all(now, actions);
            if !self.members.iter().any(LifeMember::is_live) {
                self.begin_anew(now + wait);
            }
        }
        if self.goal == Goal::Run {
            self.start_due(now, actions);
            self.ask_probes(now, actions);
            self.find_end(now);
        }
        if let Goal::End { outcome, .. } = self.goal {
            self.end_all(now, actions);
            if !self.members.iter().any(LifeMember::is_live) {
                self.goal = Goal::Over { outcome };
                actions.push(LifeAction::End(outcome));
            }
        }
        self.go_on_ending(now, actions);
    }

    fn meet_deadline(&mut self, now: Moment, actions: &mut Vec<LifeAction>) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            actions.push(LifeAction::Tell(LifeNews::DeadlineExceeded));
            self.end(now, LifeOutcome::DeadlineExceeded);
        }
    }

    /// The pod is to end from now on.
    fn end(&mut self, now: Moment, outcome: LifeOutcome) {
        self.goal = Goal::End { outcome, pace: Pace::Graceful { by: now + self.grace } };
    }

    /// All containers are as if they had never been started.
    fn begin_anew(&mut self, not_before: Moment) {
        self.goal = Goal::Run;
        self.passed = 0;
        self.first_failure = None;
        for member in &mut self.members {
            member.state = LifeState::Fresh { not_before };
        }
    }

    /// Starts whoever's time and turn have come.
    fn start_due(&mut self, now: Moment, actions: &mut Vec<LifeAction>) {
        while self.members.get(self.passed).is_some_and(LifeMember::lets_next_start) {
            self.passed += 1;
        }
        for (index, member) in self.members.iter_mut().enumerate().take(self.passed + 1) {
            if let LifeState::Fresh { not_before } | LifeState::Waiting { not_before } = member.state
                && not_before <= now
            {
                member.state = LifeState::Starting;
                member.starts += 1;
                actions.push(LifeAction::Start { member: index, attempt: member.attempt() });
            }
        }
    }

    fn ask_probes(&mut self, now: Moment, actions: &mut Vec<LifeAction>) {
        for (index, member) in self.members.iter_mut().enumerate() {
            let attempt = member.attempt();
            let Some(running) = member.running_mut() else { continue };
            let is_due = |due: Option<Moment>| due.is_some_and(|due| due <= now);
            let due: Vec<_> =
                running.active_probes().filter(|(_, probe)| is_due(probe.due)).map(|(kind, _)| kind).collect();
            for kind in due {
                if let Some(probe) = running.probe_mut(kind) {
                    probe.ask(now);
                    actions.push(LifeAction::Probe { member: index, attempt, kind });
                }
            }
        }
    }

    /// Whether all is done, or can't be done any more.
    fn find_end(&mut self, now: Moment) {
        let failed_init = |member: &LifeMember| {
            member.plan.kind == MemberKind::Init && matches!(member.state, LifeState::Ended { has_failed: true })
        };
        let mut main = self.members.iter().filter(|member| member.plan.kind == MemberKind::Main);
        if main.all(LifeMember::has_ended) || self.members.iter().any(failed_init) {
            self.end(now, LifeOutcome::Finished);
        }
    }
}
