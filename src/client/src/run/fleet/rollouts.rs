//! Random rollouts (the seed repeats them): whatever is applied whenever, if the last template gets ready the rollout
//! ends with it everywhere, and on the way there nothing that serves is taken while another pod is missing.

use std::collections::BTreeMap;

use super::deployment::DeploymentController;
use super::tests::{Dice, deployment};
use super::*;
use crate::manifest::{Deployment, RolloutStrategy};

/// A pod of the world.
#[derive(Debug)]
struct WorldPod {
    slot: u32,
    /// The number of the template that it was made from.
    template: u64,
    is_ready: bool,
    is_ending: bool,
}

struct World {
    controller: DeploymentController,
    pods: BTreeMap<PodNumber, WorldPod>,
    now: Moment,
    wanted: u32,
    template: u64,
    at_a_time: u32,
    min_ready: u32,
    seed: u64,
}

/// Every third template never gets ready.
fn is_good(template: u64) -> bool {
    template % 3 != 2
}

impl World {
    fn new(seed: u64, dice: &mut Dice) -> Self {
        let (template, wanted) = (dice.below(9), dice.below(5) as u32);
        // Of none at a time all are replaced at once.
        let (at_a_time, min_ready) = (dice.below(3) as u32, dice.below(2) as u32 * 5);
        let controller = DeploymentController::new(&deployment(0, "x"));
        let (pods, now) = (BTreeMap::new(), Moment::ZERO);
        let mut world = Self { controller, pods, now, wanted, template, at_a_time, min_ready, seed };
        world.controller = DeploymentController::new(&world.wish());
        world.step(FleetInput::Time);
        world
    }

    fn wish(&self) -> Deployment {
        let strategy = match self.at_a_time {
            0 => RolloutStrategy::Recreate,
            at_a_time => RolloutStrategy::InTurn { at_a_time },
        };
        let wish = deployment(self.wanted, &format!("x:{}", self.template));
        Deployment { strategy, min_ready_seconds: self.min_ready, ..wish }
    }

    fn change(&mut self, template: u64, wanted: u32) {
        (self.template, self.wanted) = (template, wanted);
        let actions = self.controller.change(self.now, &self.wish());
        self.carry_out(actions);
    }

    fn step(&mut self, input: FleetInput) {
        let actions = self.controller.step(self.now, input);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<FleetAction>) {
        for action in actions {
            match action {
                FleetAction::StartReplica { number, slot } => {
                    assert!(self.pods.values().all(|pod| pod.slot != slot), "seed {}: two of one name", self.seed);
                    let is_first = self.at_a_time == 0;
                    let is_old = |pod: &WorldPod| is_first && pod.template != self.template;
                    assert!(!self.pods.values().any(is_old), "seed {}: beside {:?}", self.seed, self.pods);
                    let pod = WorldPod { slot, template: self.template, is_ready: false, is_ending: false };
                    self.pods.insert(number, pod);
                }
                FleetAction::Stop { number } => self.stop(number),
                other => panic!("seed {}: {other:?}", self.seed),
            }
        }
    }

    fn stop(&mut self, number: PodNumber) {
        let (seed, wanted, at_a_time) = (self.seed, self.wanted, self.at_a_time);
        let pod = self.pods.get_mut(&number).unwrap();
        assert!(!pod.is_ending, "seed {seed}: stopped once");
        let serves = std::mem::replace(&mut pod.is_ready, false);
        pod.is_ending = true;
        if pod.slot >= wanted {
            return;
        }
        assert_ne!(pod.template, self.template, "seed {seed}: it is as it is wished");
        let serving = self.pods.values().filter(|pod| pod.slot < wanted && pod.is_ready).count() as u32;
        let may_miss = if at_a_time == 0 { wanted } else { at_a_time };
        assert!(!serves || serving + may_miss >= wanted, "seed {seed}: {serving} of {wanted} serve: {:?}", self.pods);
    }

    fn happen(&mut self, dice: &mut Dice, may_fail: bool) {
        let numbers: Vec<PodNumber> = self.pods.keys().copied().collect();
        let picked = (!numbers.is_empty()).then(|| numbers[dice.below(numbers.len() as u64) as usize]);
        let Some(number) = picked.filter(|_| dice.below(4) > 0) else {
            self.now = self.controller.next().map_or(self.now, |moment| moment.max(self.now));
            return self.step(FleetInput::Time);
        };
        let pod = self.pods.get_mut(&number).unwrap();
        if pod.is_ending || may_fail && dice.below(8) == 0 {
            self.pods.remove(&number);
            self.step(FleetInput::Ended { number, is_success: false });
        } else if !pod.is_ready && is_good(pod.template) || pod.is_ready && may_fail && dice.below(8) == 0 {
            pod.is_ready = !pod.is_ready;
            let is_ready = pod.is_ready;
            self.step(FleetInput::Ready { number, is_ready });
        }
    }
}

#[test]
fn whatever_is_applied_whenever_a_rollout_ends_with_the_last_template() {
    for seed in 1..=1000_u64 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(seed, &mut dice);
        let mut template = 9;
        for _ in 0..dice.below(60) {
            if dice.below(6) == 0 {
                // Now and then back to an earlier one.
                template = if dice.below(4) == 0 { 1 + dice.below(template) } else { template + 1 };
                let wanted = if dice.below(3) == 0 { dice.below(5) as u32 } else { world.wanted };
                world.change(template, wanted);
            }
            world.happen(&mut dice, true);
        }
        if !is_good(world.template) {
            world.change(9 + 3 * seed, world.wanted);
        }
        for _ in 0..600 {
            world.happen(&mut dice, false);
        }
        assert!(world.controller.is_settled(), "seed {seed}: {:?} {:?}", world.controller, world.pods);
        assert_eq!(world.pods.len(), world.wanted as usize, "seed {seed}");
        let is_wished = |pod: &WorldPod| pod.template == world.template && pod.is_ready && !pod.is_ending;
        assert!(world.pods.values().all(is_wished), "seed {seed}: {:?}", world.pods);
    }
}
