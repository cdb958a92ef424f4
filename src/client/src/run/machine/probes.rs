//! One probe of a running container: when it is made, and what its results come to.

use super::plan::{Moment, ProbePlan};
use crate::manifest::ProbeKind;

/// What one probe said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) enum Probed {
    Success,
    Failure,
    /// It could not be made, as nobody answered, which says nothing about the container.
    Unknown,
    /// The runtime can't make it, because its program is missing for example. For a kubelet that says nothing, either.
    Refused,
}

/// What is held of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeVerdict {
    Unknown,
    Success,
    Failure,
}

/// A probe of a running container.
#[derive(Debug)]
pub(super) struct ProbeState {
    /// When it is made next; nothing while it is under way.
    pub(super) due: Option<Moment>,
    asked_at: Moment,
    pub(super) verdict: ProbeVerdict,
    last: Probed,
    /// How many of the last results were the same.
    in_a_row: u32,
    /// The last attempts were refused, so many of them.
    refused: u32,
}

/// What a result came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeStep {
    /// Nothing that counts yet.
    Same,
    /// The first failure after a success.
    FirstFailure,
    /// It can't be made from now on.
    FirstRefusal,
    Turned,
}

impl ProbeState {
    pub(super) fn new(kind: ProbeKind, due: Moment) -> Self {
        let verdict = match kind {
            ProbeKind::Startup => ProbeVerdict::Unknown,
            ProbeKind::Readiness => ProbeVerdict::Failure,
            ProbeKind::Liveness => ProbeVerdict::Success,
        };
        Self { due: Some(due), asked_at: due, verdict, last: Probed::Unknown, in_a_row: 0, refused: 0 }
    }

    /// It is being made.
    pub(super) fn ask(&mut self, now: Moment) {
        self.due = None;
        self.asked_at = now;
    }

    /// Takes a result.
    pub(super) fn take(&mut self, plan: &ProbePlan, result: Probed, now: Moment) -> ProbeStep {
        self.due = Some((self.asked_at + plan.period).max(now));
        let wanted = match result {
            Probed::Unknown => return ProbeStep::Same,
            Probed::Refused => {
                self.refused = self.refused.saturating_add(1);
                return if self.refused == 1 { ProbeStep::FirstRefusal } else { ProbeStep::Same };
            }
            Probed::Success => (ProbeVerdict::Success, plan.success_threshold),
            Probed::Failure => (ProbeVerdict::Failure, plan.failure_threshold),
        };
        self.refused = 0;
        let is_first = self.last != result;
        self.in_a_row = if is_first { 1 } else { self.in_a_row.saturating_add(1) };
        self.last = result;
        let (verdict, threshold) = wanted;
        if self.in_a_row >= threshold && self.verdict != verdict {
            self.verdict = verdict;
            ProbeStep::Turned
        } else if is_first && result == Probed::Failure {
            ProbeStep::FirstFailure
        } else {
            ProbeStep::Same
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn verdicts_turn_at_their_thresholds() {
        let plan = ProbePlan {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            success_threshold: 2,
            failure_threshold: 3,
            grace_seconds: None,
        };
        let mut probe = ProbeState::new(ProbeKind::Readiness, Moment::ZERO);
        let mut steps = Vec::new();
        for (second, result) in "f f s u s s f s f f f r r f s s r".split(' ').enumerate() {
            let now = Duration::from_secs(second as u64 * 10);
            assert!(probe.due.unwrap() <= now);
            probe.ask(now);
            assert_eq!(probe.due, None);
            let result = match result {
                "s" => Probed::Success,
                "f" => Probed::Failure,
                "r" => Probed::Refused,
                _ => Probed::Unknown,
            };
            steps.push(match probe.take(&plan, result, now + Duration::from_secs(1)) {
                ProbeStep::Same => '.',
                ProbeStep::FirstFailure => '!',
                ProbeStep::FirstRefusal => '?',
                ProbeStep::Turned if probe.verdict == ProbeVerdict::Success => '+',
                ProbeStep::Turned => '-',
            });
        }
        assert_eq!(steps.iter().collect::<String>(), "!...+.!.!.-?...+?");
        // A probe that takes longer than its period is made again at once.
        probe.ask(Duration::from_secs(1000));
        probe.take(&plan, Probed::Success, Duration::from_secs(1025));
        assert_eq!(probe.due, Some(Duration::from_secs(1025)));
    }
}
