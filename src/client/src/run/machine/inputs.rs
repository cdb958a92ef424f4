//! What each input changes.

use super::ending::Pace;
use super::member::{EndingCause, EndingStage, LifeMember, LifeState, PostStart};
use super::plan::{AfterExit, Moment};
use super::probes::{ProbeStep, ProbeVerdict};
use super::{Goal, HookKind, LifeAction, LifeInput, LifeMachine, LifeNews, LifeOutcome, MemberKind, Probed};
use crate::manifest::ProbeKind;

/// What is said of an init container that ended well, although something in it was killed for want of memory.
const OUT_OF_MEMORY: i32 = 137;

/// When a stop is asked for again that the runtime did not carry out.
const STOP_AGAIN: Moment = Moment::from_secs(5);

/// For how long a pod is left to somebody else who does not say again that he stops it: longer than from one look at
/// the pod to the next.
const LEAVE: Moment = Moment::from_secs(30);

impl LifeMachine {
    pub(super) fn take(&mut self, now: Moment, input: LifeInput, actions: &mut Vec<LifeAction>) {
        match input {
            LifeInput::Time => {}
            LifeInput::Started { member } => self.started(now, member, actions),
            LifeInput::StartFailed { member } => self.start_failed(now, member, actions),
            LifeInput::Exited { member, code, out_of_memory } => {
                self.exited(now, member, code, out_of_memory, actions);
            }
            LifeInput::HookDone { member, attempt, hook, is_done } => {
                self.hook_done(now, (member, attempt), hook, is_done, actions);
            }
            LifeInput::ProbeDone { member, attempt, kind, result } => {
                self.probe_done(now, (member, attempt), kind, result, actions);
            }
            LifeInput::StopFailed { member } => self.stop_failed(now, member),
            LifeInput::Stop => match self.goal {
                Goal::End { .. } | Goal::Over { .. } => {}
                _ => self.end(now, LifeOutcome::Asked),
            },
            LifeInput::StopWithin { seconds: 0 } => self.take(now, LifeInput::Kill, actions),
            LifeInput::StopWithin { seconds } => {
                let by = now + Moment::from_secs(seconds.into());
                self.goal = match self.goal {
                    Goal::Over { .. } | Goal::End { pace: Pace::Kill, .. } => return,
                    Goal::End { outcome, pace: Pace::Graceful { by: before } } => {
                        Goal::End { outcome, pace: Pace::Graceful { by: by.min(before) } }
                    }
                    _ => Goal::End { outcome: LifeOutcome::Asked, pace: Pace::Graceful { by } },
                };
            }
            LifeInput::Kill => match self.goal {
                Goal::Over { .. } => {}
                Goal::End { outcome, .. } => self.goal = Goal::End { outcome, pace: Pace::Kill },
                _ => self.goal = Goal::End { outcome: LifeOutcome::Asked, pace: Pace::Kill },
            },
            LifeInput::Announced => {
                if matches!(self.goal, Goal::Run | Goal::RestartAll { .. } | Goal::Leave { .. }) {
                    self.goal = Goal::Leave { until: now + LEAVE };
                }
            }
            LifeInput::Gone | LifeInput::Lost => {
                let outcome = match self.goal {
                    Goal::Over { .. } => return,
                    Goal::End { outcome, .. } => outcome,
                    _ if input == LifeInput::Lost => LifeOutcome::Lost,
                    _ => LifeOutcome::Elsewhere,
                };
                self.goal = Goal::Over { outcome };
                actions.push(LifeAction::End(outcome));
            }
        }
    }

    fn started(&mut self, now: Moment, index: usize, actions: &mut Vec<LifeAction>) {
        let Some(member) = self.members.get_mut(index) else { return };
        if !matches!(member.state, LifeState::Starting) {
            return;
        }
        member.begin(now);
        if member.is_ready() {
            actions.push(LifeAction::Tell(LifeNews::Ready { member: index }));
        }
        let attempt = member.attempt();
        let Some(running) = member.running_mut().filter(|running| running.post_start == PostStart::UnderWay) else {
            return;
        };
        if self.goal == Goal::Run {
            actions.push(LifeAction::Hook { member: index, attempt, hook: HookKind::PostStart, limit: None });
        } else {
            running.post_start = PostStart::Done;
        }
    }

    fn start_failed(&mut self, now: Moment, index: usize, actions: &mut Vec<LifeAction>) {
        let Some(member) = self.members.get_mut(index) else { return };
        if !matches!(member.state, LifeState::Starting) {
            return;
        }
        if self.goal == Goal::Run && member.starts > 1 {
            let wait = member.back_off.after(Moment::ZERO);
            member.state = LifeState::Waiting { not_before: now + wait };
            actions.push(LifeAction::Tell(LifeNews::StartsAgain { member: index, wait }));
        } else {
            member.state = LifeState::Ended { has_failed: true };
            if self.goal == Goal::Run {
                self.end(now, LifeOutcome::StartFailed);
            }
        }
    }

    /// Of a pod that ends the rest is the removal's, which tries once more and says what is left.
    fn stop_failed(&mut self, now: Moment, index: usize) {
        let Some(member) = self.members.get_mut(index) else { return };
        let ends = matches!(self.goal, Goal::End { .. });
        let Some(ending) = member.running_mut().and_then(|running| running.ending.as_mut()) else { return };
        if ends {
            member.state = LifeState::Ended { has_failed: true };
        } else {
            ending.stage = EndingStage::Again { at: now + STOP_AGAIN };
        }
    }

    fn exited(&mut self, now: Moment, index: usize, code: i32, no_memory: bool, actions: &mut Vec<LifeAction>) {
        let Some(member) = self.members.get_mut(index) else { return };
        let LifeState::Running(running) = &member.state else { return };
        let was_unhealthy = running.ending.as_ref().is_some_and(|ending| ending.cause == EndingCause::Unhealthy);
        let ran = now.saturating_sub(running.since);
        let no_memory = no_memory && member.plan.kind == MemberKind::Init;
        let has_failed = code != 0 || no_memory;
        member.last = Some(code);
        let mut after = member.plan.after(code, has_failed);
        if was_unhealthy && after == AfterExit::Stay && member.plan.restarts_failures() {
            after = AfterExit::Restart;
        }
        if self.goal != Goal::Run {
            after = AfterExit::Stay;
        }
        let news = match after {
            AfterExit::Restart => {
                let wait = member.back_off.after(ran);
                member.state = LifeState::Waiting { not_before: now + wait };
                LifeNews::Ended { member: index, again: Some(wait) }
            }
            AfterExit::RestartAll => {
                let wait = member.back_off.after(ran);
                member.state = LifeState::Ended { has_failed };
                self.goal = Goal::RestartAll { wait };
                LifeNews::RestartsAll { member: index, wait }
            }
            AfterExit::Stay => {
                member.state = LifeState::Ended { has_failed };
                // Ends that somebody asked for are no failures.
                if has_failed && self.goal == Goal::Run {
                    self.first_failure.get_or_insert(if code == 0 { OUT_OF_MEMORY } else { code });
                }
                LifeNews::Ended { member: index, again: None }
            }
        };
        actions.push(LifeAction::Tell(news));
    }

    fn hook_done(
        &mut self,
        now: Moment,
        (index, attempt): (usize, u32),
        hook: HookKind,
        is_done: bool,
        actions: &mut Vec<LifeAction>,
    ) {
        let grace = self.grace;
        let Some(member) = self.members.get_mut(index).filter(|member| member.attempt() == attempt) else { return };
        let Some(running) = member.running_mut() else { return };
        match hook {
            HookKind::PostStart => {
                running.post_start = PostStart::Done;
                if !is_done {
                    self.begin_ending(now, index, EndingCause::Unhealthy, grace, actions);
                } else if member.is_ready() {
                    actions.push(LifeAction::Tell(LifeNews::Ready { member: index }));
                }
            }
            HookKind::PreStop => {
                if let Some(ending) = running.ending.as_mut().filter(|ending| ending.stage == EndingStage::PreStop) {
                    ending.stage = EndingStage::Turn;
                }
            }
        }
    }

    fn probe_done(
        &mut self,
        now: Moment,
        (index, attempt): (usize, u32),
        kind: ProbeKind,
        result: Probed,
        actions: &mut Vec<LifeAction>,
    ) {
        let grace = self.grace;
        let Some(member) = self.members.get_mut(index).filter(|member| member.attempt() == attempt) else { return };
        let Some(plan) = member.plan.probe(kind).cloned() else { return };
        let was_ready = member.is_ready();
        let Some(running) = member.running_mut().filter(|running| running.ending.is_none()) else { return };
        let Some(probe) = running.probe_mut(kind) else { return };
        let (step, verdict) = (probe.take(&plan, result, now), probe.verdict);
        let is_ready = member.is_ready();
        let mut tell = |news| actions.push(LifeAction::Tell(news));
        match (was_ready, is_ready) {
            (false, true) => tell(LifeNews::Ready { member: index }),
            (true, false) => tell(LifeNews::NotReady { member: index }),
            _ => {}
        }
        match step {
            ProbeStep::Turned if verdict == ProbeVerdict::Failure && kind != ProbeKind::Readiness => {
                tell(LifeNews::Unhealthy { member: index, kind });
                let own = plan.grace_seconds.map(|seconds| Moment::from_secs(seconds.into()));
                self.begin_ending(now, index, EndingCause::Unhealthy, own.unwrap_or(grace), actions);
            }
            ProbeStep::FirstFailure => tell(LifeNews::ProbeFailed { member: index, kind }),
            ProbeStep::FirstRefusal => tell(LifeNews::ProbeRefused { member: index, kind }),
            ProbeStep::Same | ProbeStep::Turned => {}
        }
    }
}

/// Nobody stops the pod after all: what it is about now. What has ended meanwhile is started again if it would have
/// been.
pub(super) fn goal_after_leave(now: Moment, members: &mut [LifeMember]) -> Goal {
    let mut goal = Goal::Run;
    for member in members {
        let LifeState::Ended { has_failed } = member.state else { continue };
        let Some(code) = member.last else { continue };
        let after = member.plan.after(code, has_failed);
        if after == AfterExit::Stay {
            continue;
        }
        let wait = member.back_off.after(Moment::ZERO);
        match after {
            AfterExit::RestartAll => goal = Goal::RestartAll { wait },
            _ => member.state = LifeState::Waiting { not_before: now + wait },
        }
    }
    goal
}
