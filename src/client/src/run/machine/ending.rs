//! How containers are stopped: hook, turn, signal, grace.

use std::time::Duration;

use super::member::{Ending, EndingCause, EndingStage, LifeMember, LifeState};
use super::plan::Moment;
use super::{Goal, HookKind, LifeAction, LifeMachine, MemberKind};

/// What a container has at least after its preStop hook, or once its turn has come; as a kubelet gives.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// How quickly a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Graceful { by: Moment },
    Kill,
}

impl LifeMachine {
    /// Decides a container's stop.
    pub(super) fn begin_ending(
        &mut self,
        now: Moment,
        index: usize,
        cause: EndingCause,
        grace: Duration,
        actions: &mut Vec<LifeAction>,
    ) {
        let Some(member) = self.members.get_mut(index) else { return };
        // Containers that are all started again are not asked whether they mind.
        let has_hook = member.plan.has_pre_stop && cause != EndingCause::RestartAll && !grace.is_zero();
        let attempt = member.attempt();
        let Some(running) = member.running_mut() else { return };
        let stage = if has_hook {
            let limit = Some(grace);
            actions.push(LifeAction::Hook { member: index, attempt, hook: HookKind::PreStop, limit });
            EndingStage::PreStop
        } else {
            EndingStage::Turn
        };
        running.ending = Some(Ending { cause, by: now + grace, stage });
    }

    /// Decides the stop of all that run, and of all that were to be started that they are not.
    pub(super) fn end_all(&mut self, now: Moment, actions: &mut Vec<LifeAction>) {
        let (cause, by) = match self.goal {
            Goal::RestartAll { .. } => (EndingCause::RestartAll, now + LEAST_GRACE),
            Goal::End { pace: Pace::Graceful { by }, .. } => (EndingCause::Pod, by),
            Goal::End { pace: Pace::Kill, .. } => (EndingCause::Pod, now),
            Goal::Run | Goal::Leave { .. } | Goal::Over { .. } => return,
        };
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            match &mut member.state {
                LifeState::Fresh { .. } | LifeState::Waiting { .. } if cause == EndingCause::Pod => {
                    member.state = LifeState::Ended { has_failed: member.last != Some(0) };
                }
                LifeState::Running(running) => match &mut running.ending {
                    Some(ending) => {
                        ending.cause = cause;
                        if by < ending.by {
                            ending.by = by;
                            // The runtime takes the shorter time, too.
                            if ending.stage == EndingStage::Asked {
                                ending.stage = EndingStage::Turn;
                            }
                        }
                    }
                    None => self.begin_ending(now, index, cause, by.saturating_sub(now), actions),
                },
                LifeState::Fresh { .. } | LifeState::Waiting { .. } | LifeState::Starting | LifeState::Ended { .. } => {
                }
            }
        }
    }

    /// Asks the runtime for those stops that are not asked for yet.
    pub(super) fn go_on_ending(&mut self, now: Moment, actions: &mut Vec<LifeAction>) {
        let kills = matches!(self.goal, Goal::End { pace: Pace::Kill, .. });
        for index in (0..self.members.len()).rev() {
            let has_turn = self.has_turn(index);
            let Some(ending) = self.members[index].running_mut().and_then(|running| running.ending.as_mut()) else {
                continue;
            };
            let left = ending.by.saturating_sub(now);
            let grace = match ending.stage {
                EndingStage::Killed => continue,
                _ if kills => {
                    ending.stage = EndingStage::Killed;
                    actions.push(LifeAction::Stop { member: index, grace: 0 });
                    continue;
                }
                EndingStage::Turn if has_turn || left.is_zero() => left.max(LEAST_GRACE),
                EndingStage::Again { at } if at <= now => LEAST_GRACE,
                EndingStage::PreStop | EndingStage::Turn | EndingStage::Asked | EndingStage::Again { .. } => continue,
            };
            ending.stage = EndingStage::Asked;
            let grace = u32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
            actions.push(LifeAction::Stop { member: index, grace });
        }
    }

    /// A sidecar of a pod that ends is stopped after all that started after it.
    fn has_turn(&self, index: usize) -> bool {
        let member = &self.members[index];
        let is_last = member.plan.kind == MemberKind::Sidecar
            && member
                .running()
                .and_then(|running| running.ending.as_ref())
                .is_some_and(|ending| ending.cause == EndingCause::Pod);
        !is_last || !self.members[index + 1..].iter().any(LifeMember::is_live)
    }

    /// When something is to be done for a stop.
    pub(super) fn ending_moments(&self) -> impl Iterator<Item = Moment> {
        self.members.iter().filter_map(|member| match member.running()?.ending.as_ref()? {
            Ending { stage: EndingStage::Turn, by, .. } => Some(*by),
            Ending { stage: EndingStage::Again { at }, .. } => Some(*at),
            _ => None,
        })
    }
}
