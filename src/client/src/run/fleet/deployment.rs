//! A Deployment's pods: always so many, and replaced in turn, or all at once. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::{FleetAction, FleetEnd, FleetInput, Moment, PodNumber};
use crate::manifest::{Deployment, PodTemplate, RolloutStrategy};
use crate::run::machine::BackOff;

/// A Deployment on its way.
#[derive(Debug)]
pub(super) struct DeploymentController {
    /// What its pods are made from, but for what can be another one while they run.
    revision: Arc<PodTemplate>,
    strategy: RolloutStrategy,
    /// For how long a new pod is ready before it counts.
    min_ready: Duration,
    slots: Vec<ReplicaSlot>,
    course: DeploymentCourse,
    next: PodNumber,
}

/// The place of one pod.
#[derive(Debug)]
struct ReplicaSlot {
    state: ReplicaState,
    back_off: BackOff,
}

#[derive(Debug, PartialEq, Eq)]
enum ReplicaState {
    Down {
        not_before: Moment,
    },
    Up {
        number: PodNumber,
        /// Of a pod that an earlier process has made nobody knows it.
        revision: Option<Arc<PodTemplate>>,
        since: Moment,
        readiness: ReplicaReadiness,
    },
    /// To be made anew, or not.
    Ending {
        number: PodNumber,
        is_replaced: bool,
    },
    Gone,
}

/// In the order in which they are missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ReplicaReadiness {
    No,
    /// Not for long enough yet.
    Since(Moment),
    Available,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeploymentCourse {
    On,
    Stopping,
    Over,
}

impl DeploymentController {
    pub(super) fn new(deployment: &Deployment) -> Self {
        let slots = (0..deployment.replicas).map(|_| ReplicaSlot::new()).collect();
        Self {
            revision: Arc::new(deployment.template.fixed()),
            strategy: deployment.strategy,
            min_ready: Duration::from_secs(deployment.min_ready_seconds.into()),
            slots,
            course: DeploymentCourse::On,
            next: 0,
        }
    }

    /// Takes over pods that an earlier process has made, each in its place, if that is free; their numbers. They count
    /// as ready, and as of another revision. What is to be done then [`change`](Self::change) says.
    pub(super) fn inherit(&mut self, slots: &[u32]) -> Vec<PodNumber> {
        let numbers = slots.iter().map(|slot| {
            let number = self.next;
            self.next += 1;
            let (since, readiness) = (Moment::ZERO, ReplicaReadiness::Available);
            let state = ReplicaState::Up { number, revision: None, since, readiness };
            let is_free = |slot: &&mut ReplicaSlot| matches!(slot.state, ReplicaState::Down { .. });
            match self.slots.get_mut(*slot as usize).filter(is_free) {
                Some(slot) => slot.state = state,
                // One too many.
                None => self.slots.push(ReplicaSlot { state, back_off: BackOff::default() }),
            }
            number
        });
        numbers.collect()
    }

    /// What is wished has changed.
    pub(super) fn change(&mut self, now: Moment, deployment: &Deployment) -> Vec<FleetAction> {
        let revision = deployment.template.fixed();
        if *self.revision != revision {
            self.revision = Arc::new(revision);
        }
        self.strategy = deployment.strategy;
        self.min_ready = Duration::from_secs(deployment.min_ready_seconds.into());
        let mut actions = Vec::new();
        let wanted = deployment.replicas as usize;
        while self.slots.len() < wanted {
            self.slots.push(ReplicaSlot::new());
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match &mut slot.state {
                ReplicaState::Up { number, .. } if index >= wanted => {
                    actions.push(FleetAction::Stop { number: *number });
                    slot.state = ReplicaState::Ending { number: *number, is_replaced: false };
                }
                ReplicaState::Ending { is_replaced, .. } => *is_replaced = index < wanted,
                ReplicaState::Down { .. } if index >= wanted => slot.state = ReplicaState::Gone,
                ReplicaState::Gone if index < wanted => slot.state = ReplicaState::Down { not_before: now },
                ReplicaState::Up { .. } | ReplicaState::Down { .. } | ReplicaState::Gone => {}
            }
        }
        actions.extend(self.step(now, FleetInput::Time));
        actions
    }

    pub(super) fn step(&mut self, now: Moment, input: FleetInput) -> Vec<FleetAction> {
        match input {
            FleetInput::Time | FleetInput::Restarted { .. } => {}
            FleetInput::Ready { number, is_ready: now_ready } => {
                for slot in &mut self.slots {
                    if let ReplicaState::Up { number: own, readiness, .. } = &mut slot.state
                        && *own == number
                    {
                        *readiness = if now_ready { ReplicaReadiness::Since(now) } else { ReplicaReadiness::No };
                    }
                }
            }
            FleetInput::Ended { number, .. } | FleetInput::Lost { number } => self.ended(now, number),
            FleetInput::Stop => {
                if self.course != DeploymentCourse::Over {
                    self.course = DeploymentCourse::Stopping;
                }
            }
        }
        self.advance(now)
    }

    /// Whether all pods are there, ready and as wished.
    pub(super) fn is_settled(&self) -> bool {
        let is_settled = |slot: &ReplicaSlot| match &slot.state {
            ReplicaState::Up { readiness, revision, .. } => {
                *readiness == ReplicaReadiness::Available && revision.as_ref() == Some(&self.revision)
            }
            ReplicaState::Gone => true,
            ReplicaState::Down { .. } | ReplicaState::Ending { .. } => false,
        };
        self.course != DeploymentCourse::Stopping && self.slots.iter().all(is_settled)
    }

    /// When it has to be told the time.
    pub(super) fn next(&self) -> Option<Moment> {
        if matches!(self.course, DeploymentCourse::Stopping | DeploymentCourse::Over) {
            return None;
        }
        let waits = !self.lets_start();
        let moments = self.slots.iter().filter_map(|slot| match slot.state {
            ReplicaState::Down { not_before } if !waits => Some(not_before),
            ReplicaState::Up { readiness: ReplicaReadiness::Since(since), .. } => Some(since + self.min_ready),
            _ => None,
        });
        moments.min()
    }

    fn ended(&mut self, now: Moment, number: PodNumber) {
        for slot in &mut self.slots {
            slot.state = match &slot.state {
                ReplicaState::Up { number: own, since, .. } if *own == number => {
                    // Somebody else ended it, or it could not be made.
                    ReplicaState::Down { not_before: now + slot.back_off.after(now.saturating_sub(*since)) }
                }
                ReplicaState::Ending { number: own, is_replaced } if *own == number => {
                    if *is_replaced {
                        ReplicaState::Down { not_before: now }
                    } else {
                        ReplicaState::Gone
                    }
                }
                _ => continue,
            };
        }
    }

    fn advance(&mut self, now: Moment) -> Vec<FleetAction> {
        let mut actions = Vec::new();
        match self.course {
            DeploymentCourse::Over => return actions,
            DeploymentCourse::Stopping => {
                let is_up =
                    |slot: &ReplicaSlot| matches!(slot.state, ReplicaState::Up { .. } | ReplicaState::Ending { .. });
                if !self.slots.iter().any(is_up) {
                    self.course = DeploymentCourse::Over;
                    actions.push(FleetAction::Over(FleetEnd::Stopped));
                }
                return actions;
            }
            DeploymentCourse::On => {}
        }
        for slot in &mut self.slots {
            if let ReplicaState::Up { readiness, .. } = &mut slot.state
                && matches!(*readiness, ReplicaReadiness::Since(since) if since + self.min_ready <= now)
            {
                *readiness = ReplicaReadiness::Available;
            }
        }
        while let Some(action) = self.replace_next() {
            actions.push(action);
        }
        let lets_start = self.lets_start();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if lets_start && matches!(slot.state, ReplicaState::Down { not_before } if not_before <= now) {
                let (number, revision) = (self.next, Some(self.revision.clone()));
                self.next += 1;
                slot.state = ReplicaState::Up { number, revision, since: now, readiness: ReplicaReadiness::No };
                actions.push(FleetAction::StartReplica { number, slot: u32::try_from(index).unwrap_or(u32::MAX) });
            }
        }
        actions
    }

    /// Whether pods may be made: not before the last of those of another revision has ended, where all end first.
    fn lets_start(&self) -> bool {
        let is_old = |slot: &ReplicaSlot| match &slot.state {
            ReplicaState::Ending { .. } => true,
            ReplicaState::Up { revision, .. } => revision.as_ref() != Some(&self.revision),
            ReplicaState::Down { .. } | ReplicaState::Gone => false,
        };
        self.strategy != RolloutStrategy::Recreate || !self.slots.iter().any(is_old)
    }

    /// Ends a pod of another revision, unless as many as may be missing are still awaited. It decides by what there is
    /// alone, however often the revision has changed meanwhile. What serves nobody goes first.
    fn replace_next(&mut self) -> Option<FleetAction> {
        let awaited = self.slots.iter().filter(|slot| slot.is_awaited(&self.revision)).count();
        if matches!(self.strategy, RolloutStrategy::InTurn { at_a_time } if awaited >= at_a_time as usize) {
            return None;
        }
        let old = self.slots.iter_mut().filter_map(|slot| match &slot.state {
            ReplicaState::Up { number, revision, readiness, .. } if revision.as_ref() != Some(&self.revision) => {
                Some((*readiness, *number, slot))
            }
            _ => None,
        });
        let (_, number, slot) = old.min_by_key(|(readiness, ..)| *readiness)?;
        slot.state = ReplicaState::Ending { number, is_replaced: true };
        Some(FleetAction::Stop { number })
    }
}

impl ReplicaSlot {
    /// A pod of the revision is to be ready here, and is not yet.
    fn is_awaited(&self, wished: &Arc<PodTemplate>) -> bool {
        match &self.state {
            ReplicaState::Up { revision, readiness, .. } => {
                revision.as_ref() == Some(wished) && *readiness != ReplicaReadiness::Available
            }
            ReplicaState::Down { .. } | ReplicaState::Ending { is_replaced: true, .. } => true,
            ReplicaState::Ending { is_replaced: false, .. } | ReplicaState::Gone => false,
        }
    }

    fn new() -> Self {
        Self { state: ReplicaState::Down { not_before: Moment::ZERO }, back_off: BackOff::default() }
    }
}
