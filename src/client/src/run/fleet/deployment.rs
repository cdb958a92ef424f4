//! A Deployment's pods: always so many, and replaced one by one. Pure.

use std::sync::Arc;

use super::{FleetAction, FleetEnd, FleetInput, Moment, PodNumber};
use crate::manifest::{Deployment, PodTemplate};
use crate::run::machine::BackOff;

/// A Deployment on its way.
#[derive(Debug)]
pub(super) struct DeploymentController {
    /// What its pods are made from, but for what can be another one while they run.
    revision: Arc<PodTemplate>,
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
        revision: Arc<PodTemplate>,
        since: Moment,
        is_ready: bool,
    },
    /// To be made anew, or not.
    Ending {
        number: PodNumber,
        is_replaced: bool,
    },
    Gone,
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
        Self { revision: Arc::new(deployment.template.fixed()), slots, course: DeploymentCourse::On, next: 0 }
    }

    /// What is wished has changed.
    pub(super) fn change(&mut self, now: Moment, deployment: &Deployment) -> Vec<FleetAction> {
        let revision = deployment.template.fixed();
        if *self.revision != revision {
            self.revision = Arc::new(revision);
        }
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
                    if let ReplicaState::Up { number: own, is_ready, .. } = &mut slot.state
                        && *own == number
                    {
                        *is_ready = now_ready;
                    }
                }
            }
            FleetInput::Ended { number, .. } => self.ended(now, number),
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
            ReplicaState::Up { is_ready, revision, .. } => *is_ready && *revision == self.revision,
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
        let down = self.slots.iter().filter_map(|slot| match slot.state {
            ReplicaState::Down { not_before } => Some(not_before),
            _ => None,
        });
        down.min()
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
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if matches!(slot.state, ReplicaState::Down { not_before } if not_before <= now) {
                let (number, revision) = (self.next, self.revision.clone());
                self.next += 1;
                slot.state = ReplicaState::Up { number, revision, since: now, is_ready: false };
                actions.push(FleetAction::StartReplica { number, slot: u32::try_from(index).unwrap_or(u32::MAX) });
            }
        }
        actions.extend(self.replace_next());
        actions
    }

    /// Ends a pod of another revision, unless one is still awaited in the place of an earlier one. It decides by what
    /// there is alone, however often the revision has changed meanwhile. What serves nobody goes first.
    fn replace_next(&mut self) -> Option<FleetAction> {
        if self.slots.iter().any(|slot| slot.is_awaited(&self.revision)) {
            return None;
        }
        let old = self.slots.iter_mut().filter_map(|slot| match &slot.state {
            ReplicaState::Up { number, revision, is_ready, .. } if *revision != self.revision => {
                Some((*is_ready, *number, slot))
            }
            _ => None,
        });
        let (_, number, slot) = old.min_by_key(|(is_ready, ..)| *is_ready)?;
        slot.state = ReplicaState::Ending { number, is_replaced: true };
        Some(FleetAction::Stop { number })
    }
}

impl ReplicaSlot {
    /// A pod of the revision is to be ready here, and is not yet.
    fn is_awaited(&self, wished: &Arc<PodTemplate>) -> bool {
        match &self.state {
            ReplicaState::Up { revision, is_ready, .. } => revision == wished && !is_ready,
            ReplicaState::Down { .. } | ReplicaState::Ending { is_replaced: true, .. } => true,
            ReplicaState::Ending { is_replaced: false, .. } | ReplicaState::Gone => false,
        }
    }

    fn new() -> Self {
        Self { state: ReplicaState::Down { not_before: Moment::ZERO }, back_off: BackOff::default() }
    }
}
