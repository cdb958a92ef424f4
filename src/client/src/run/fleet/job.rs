//! A Job's pods: how many at a time, how often again, and when it is done. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{FleetAction, FleetEnd, FleetInput, Moment, PodNumber};
use crate::manifest::{Completions, Job, RestartPolicy};

/// Until a pod is made in place of one that failed, at first and at most.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// A Job on its way.
#[derive(Debug)]
pub(super) struct JobController {
    completions: Completions,
    parallelism: usize,
    backoff_limit: u32,
    deadline: Option<Moment>,
    course: JobCourse,
    counted: CountedFailures,
    /// The index of each pod that runs, and how often its containers were started again, if that counts.
    running: BTreeMap<PodNumber, (u32, u32)>,
    /// Indexes, or numbers of pods where they have none.
    done: BTreeSet<u32>,
    failures: u32,
    next: PodNumber,
}

/// What counts against the limit of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountedFailures {
    /// Pods that have failed.
    Pods,
    /// And starts of containers after a failure, for their pods do not fail by it.
    Restarts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JobCourse {
    /// Pods are made, but not before this time.
    On {
        not_before: Moment,
    },
    /// No more pods are made; it has failed, because of this.
    Failing(FleetEnd),
    Stopping,
    Over,
}

impl JobController {
    pub(super) fn new(job: &Job) -> Self {
        Self {
            completions: job.completions,
            parallelism: job.parallelism as usize,
            backoff_limit: job.backoff_limit,
            counted: match job.template.pod().restart {
                RestartPolicy::OnFailure => CountedFailures::Restarts,
                RestartPolicy::Always | RestartPolicy::Never => CountedFailures::Pods,
            },
            deadline: job.active_deadline.map(|seconds| Duration::from_secs(seconds.into())),
            course: JobCourse::On { not_before: Moment::ZERO },
            running: BTreeMap::new(),
            done: BTreeSet::new(),
            failures: 0,
            next: 0,
        }
    }

    pub(super) fn step(&mut self, now: Moment, input: FleetInput) -> Vec<FleetAction> {
        let mut actions = Vec::new();
        match input {
            FleetInput::Time | FleetInput::Ready { .. } => {}
            FleetInput::Restarted { number, restarts } => {
                if self.counted == CountedFailures::Restarts
                    && let Some((_, known)) = self.running.get_mut(&number)
                {
                    *known = restarts;
                }
            }
            FleetInput::Ended { number, is_success } => self.ended(now, number, is_success),
            FleetInput::Lost { number } => self.ended(now, number, false),
            FleetInput::Stop => {
                if matches!(self.course, JobCourse::On { .. }) {
                    self.course = JobCourse::Stopping;
                }
            }
        }
        if matches!(self.course, JobCourse::On { .. })
            && let Some(why) = self.failure(now)
        {
            self.course = JobCourse::Failing(why);
            actions.extend(self.running.keys().map(|number| FleetAction::Stop { number: *number }));
        }
        self.make(now, &mut actions);
        let end = match self.course {
            JobCourse::On { .. } | JobCourse::Stopping if self.is_done() => Some(FleetEnd::Done),
            JobCourse::Failing(why) => Some(why),
            JobCourse::Stopping => Some(FleetEnd::Stopped),
            JobCourse::On { .. } | JobCourse::Over => None,
        };
        if let Some(end) = end.filter(|_| self.running.is_empty()) {
            actions.push(FleetAction::Over(end));
            self.course = JobCourse::Over;
        }
        actions
    }

    /// So many pods run at a time from now on. Those that run go on, also if they are more.
    pub(super) fn set_parallelism(&mut self, parallelism: u32) {
        self.parallelism = parallelism as usize;
    }

    /// Whether no pod of it is to be made for now.
    pub(super) fn is_waiting(&self) -> bool {
        self.parallelism == 0 && matches!(self.course, JobCourse::On { .. })
    }

    /// How many pods of it have ended well.
    pub(super) fn done(&self) -> u32 {
        u32::try_from(self.done.len()).unwrap_or(u32::MAX)
    }

    /// When it has to be told the time.
    pub(super) fn next(&self) -> Option<Moment> {
        match self.course {
            JobCourse::On { not_before } => {
                let waits = (self.missing() > 0).then_some(not_before);
                waits.into_iter().chain(self.deadline).min()
            }
            JobCourse::Failing(_) | JobCourse::Stopping | JobCourse::Over => None,
        }
    }

    fn ended(&mut self, now: Moment, number: PodNumber, is_success: bool) {
        let Some((index, _)) = self.running.remove(&number) else { return };
        if is_success {
            self.done.insert(index);
        } else if let JobCourse::On { not_before } = &mut self.course {
            self.failures += 1;
            let wait = FIRST.saturating_mul(2_u32.saturating_pow(self.failures - 1)).min(LONGEST);
            *not_before = now + wait;
        }
    }

    /// Why it can't be done any more.
    fn failure(&self, now: Moment) -> Option<FleetEnd> {
        let restarts: u32 = self.running.values().map(|(_, restarts)| restarts).sum();
        // Restarts within pods count as a kubelet's do: the limit is reached, not passed, but for none at all.
        let is_hopeless = self.failures > self.backoff_limit || restarts >= self.backoff_limit.max(1);
        let is_late = self.deadline.is_some_and(|at| at <= now);
        is_hopeless.then_some(FleetEnd::TooManyFailures).or(is_late.then_some(FleetEnd::OutOfTime))
    }

    fn is_done(&self) -> bool {
        match self.completions {
            Completions::Count(count) | Completions::Indexed(count) => self.done.len() >= count as usize,
            Completions::WorkQueue => !self.done.is_empty(),
        }
    }

    /// How many pods could be made.
    fn missing(&self) -> usize {
        let wanted = match self.completions {
            Completions::Count(count) | Completions::Indexed(count) => (count as usize).saturating_sub(self.done.len()),
            // Once one has ended well there is no more work.
            Completions::WorkQueue if self.done.is_empty() => usize::MAX,
            Completions::WorkQueue => 0,
        };
        wanted.min(self.parallelism).saturating_sub(self.running.len())
    }

    fn make(&mut self, now: Moment, actions: &mut Vec<FleetAction>) {
        let JobCourse::On { not_before } = self.course else { return };
        if not_before > now {
            return;
        }
        for _ in 0..self.missing() {
            let number = self.next;
            self.next += 1;
            let index = match self.completions {
                Completions::Indexed(count) => {
                    let is_open = |index: &u32| {
                        !self.done.contains(index) && self.running.values().all(|(running, _)| running != index)
                    };
                    (0..count).find(is_open)
                }
                Completions::Count(_) | Completions::WorkQueue => None,
            };
            self.running.insert(number, (index.unwrap_or(number), 0));
            actions.push(FleetAction::StartJob { number, index });
        }
    }
}
