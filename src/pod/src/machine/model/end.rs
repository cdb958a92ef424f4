//! How everything comes to its end.

use super::checks::Asked;
use super::moves::{Habits, Move, kind};
use super::simulation::{Running, Simulation};
use crate::machine::{JobKey, Request};
use crate::view::PodState;

/// Far more than any life takes: beyond it something goes round in a circle.
const STEPS: usize = 20_000;

impl Simulation {
    /// For a while everything goes well, but jobs of one kind may be slow.
    pub(super) fn proceed(&mut self, steps: usize, slow: Option<usize>) {
        for _ in 0..steps {
            if !self.go_on(slow) {
                return;
            }
        }
    }

    /// Jobs end in any order.
    pub(super) fn next_to_finish(&self, slow: Option<usize>) -> Option<usize> {
        let may = |running: &Running| self.can_finish(running, true) && Some(kind(&running.key)) != slow;
        let ready: Vec<usize> = (0..self.jobs.len()).filter(|index| may(&self.jobs[*index])).collect();
        let any = usize::try_from(self.world.now / 10).unwrap_or_default() * 7 / 3;
        ready.get(any % ready.len().max(1)).copied()
    }

    /// One thing that is under way comes to its end, and well. False if nothing is that does not hang.
    pub(super) fn go_on(&mut self, slow: Option<usize>) -> bool {
        self.world.now += 10;
        let ending: Vec<_> = std::mem::take(&mut self.world.ending).into_iter().collect();
        ending.iter().for_each(|id| self.world.exit(id));
        if self.commit.is_some() {
            self.finish_commit(true);
        } else if let Some(index) = self.next_to_finish(slow) {
            self.finish_job(index, true);
        } else if !self.timers.is_empty() {
            self.fire();
        } else {
            return false;
        }
        true
    }

    /// The world answers everything that does not hang, until nothing happens any more. Then nobody waits but for what
    /// hangs; stops and removals not even for that.
    pub(super) fn settle(&mut self) {
        for _ in 0..STEPS {
            if self.go_on(None) {
                continue;
            }
            let hangs = self.jobs.iter().any(|running| running.hangs);
            let waits = |asked: &Asked| {
                matches!(asked, Asked::Stop(_) | Asked::Remove(_) | Asked::StopPod | Asked::RemovePod) || !hangs
            };
            let waiting: Vec<_> = self.waiting.values().filter(|asked| waits(asked)).collect();
            assert!(waiting.is_empty(), "nobody answers {waiting:?}; under way: {:?}", self.keys());
            return;
        }
        panic!("it does not come to an end");
    }

    /// Something goes wrong while the pod is stopped and its containers are removed: whoever asks hears so or not, but
    /// does not wait for ever.
    pub(super) fn trouble_at_the_end(&mut self, mut dice: u64) {
        let mut roll = |sides: u64| {
            let rolled = dice % sides;
            dice /= sides;
            usize::try_from(rolled).unwrap_or_default()
        };
        match roll(3) {
            0 => self.exit(roll(4)),
            1 => self.start(roll(4) * 8 + 1),
            _ => {
                self.start(roll(4) * 8 + 1);
                self.finish_commit(true);
                self.hang(roll(4));
            }
        }
        let slow = Some(self.weak);
        self.proceed(roll(12), slow);
        self.go_wrong(roll(32));
        if roll(2) == 0 {
            self.ask_of(roll(16) * 4, |id| (Asked::Remove(id.clone()), Request::Remove(id)));
        }
        let last = roll(4) == 0;
        let (asked, request) =
            if last { (Asked::RemovePod, Request::RemovePod) } else { (Asked::StopPod, Request::StopPod) };
        self.ask(asked, request);
        self.proceed(roll(12), slow);
        self.go_wrong(roll(32));
        self.settle();
    }

    pub(super) fn go_wrong(&mut self, which: usize) {
        if which < 8 { self.panic_one(which * 4 + 1) } else { self.play(Move::FailJob, which) }
    }

    /// Whoever waits is answered, and after a stop and a removal nothing is left.
    pub(super) fn end(mut self, habits: &Habits) {
        if habits.dies {
            self.die(self.weak);
            self.settle();
            self.check_ready();
        }
        self.world.repeats = false;
        self.settle();
        self.check_limits();
        for round in 0..habits.last_troubles {
            self.trouble_at_the_end(habits.dice.rotate_left(u32::try_from(round).unwrap_or_default() * 13));
        }
        for (asked, request) in [(Asked::StopPod, Request::StopPod), (Asked::RemovePod, Request::RemovePod)] {
            self.refused = None;
            self.ask(asked.clone(), request);
            self.settle();
            let failed = self.refused.as_ref().filter(|(refused, _)| *refused == asked && !self.forgotten);
            assert!(failed.is_none(), "in a world that works fails {failed:?}");
        }
        assert!(self.shown.is_none(), "a pod that was removed is shown");
        // Their clients were answered without them.
        self.jobs.iter_mut().for_each(|running| running.hangs = false);
        self.settle();
        assert!(self.machine.is_none(), "the machine goes on; under way: {:?}", self.keys());
        let left = self.world.left();
        assert!(left.is_empty(), "left are {left:?}");
    }

    /// All changes of limits that were told are in force where something runs, and what is in force is recorded.
    pub(super) fn check_limits(&self) {
        for (id, limits) in &self.world.limits {
            self.facts.check_limits(id, &limits.hugepage_limits);
        }
        let is_driven = self.world.shim.as_ref().is_some_and(|shim| !shim.is_foreign && !shim.is_dead);
        // What hangs is not over.
        let hangs = self.jobs.iter().any(|running| running.hangs);
        if is_driven && !hangs {
            for (id, limits, recorded) in self.world.running_limits() {
                assert_eq!(limits, recorded, "other limits of {} are in force than are recorded", id.short());
            }
            // Once the shim was to end nothing can run in it again, whether the group has gone by then or not.
            if self.world.shim.as_ref().is_some_and(|shim| !shim.is_released) {
                assert_eq!(self.world.group, self.world.recorded_group(), "of the pod's own cgroup");
            }
        }
    }

    /// A pod that a new daemon has taken over is ready only if its shim starts containers. (After a stop that failed it
    /// stays ready until another one succeeds.)
    fn check_ready(&mut self) {
        let is_ready = self.shown.as_ref().is_some_and(|entry| entry.pod.state == PodState::Ready);
        let is_killed = self.world.shim().is_some_and(|shim| shim.killed && !shim.is_foreign);
        assert!(!(is_ready && is_killed), "a pod is ready in which nothing can run");
    }

    pub(super) fn keys(&self) -> Vec<&JobKey> {
        self.jobs.iter().map(|running| &running.key).collect()
    }
}
