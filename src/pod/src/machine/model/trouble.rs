//! What goes wrong: jobs hang and panic, containers end, shims and daemons die.

use super::moves::kind;
use super::simulation::{Running, Simulation, defaults};
use crate::id::PodId;
use crate::listed::Listed;
use crate::load::Loaded;
use crate::machine::{Input, JobKey, Machine, NoResult, Seen, TaskKey};
use crate::record::{ContainerPhase, PodPhase};

impl Simulation {
    /// A job to which something happens that happens mostly to those of one kind, and seldom to a watch.
    pub(super) fn choose(&self, which: usize, may: impl Fn(&Running) -> bool) -> Option<usize> {
        let of = |wanted: &dyn Fn(&JobKey) -> bool| -> Vec<usize> {
            let jobs = self.jobs.iter().enumerate();
            jobs.filter(|(_, running)| may(running) && wanted(&running.key)).map(|(index, _)| index).collect()
        };
        let mut chosen = of(&|key| kind(key) == self.weak);
        if chosen.is_empty() && !which.is_multiple_of(4) {
            chosen = of(&|key| *key != JobKey::Watch);
        } else if chosen.is_empty() {
            chosen = of(&|_| true);
        }
        chosen.get(which / 4 % chosen.len().max(1)).copied()
    }

    pub(super) fn hang(&mut self, which: usize) {
        let may_hang = |key: &JobKey| matches!(key, JobKey::Start(_) | JobKey::Create(_) | JobKey::Update(_));
        if let Some(index) = self.choose(which, |running| may_hang(&running.key)) {
            self.jobs[index].hangs = true;
        }
    }

    pub(super) fn exit(&mut self, which: usize) {
        let tasks: Vec<_> = self.world.shim.iter().flat_map(|shim| shim.tasks.keys().cloned()).collect();
        if !tasks.is_empty() {
            self.world.exit(&tasks[which % tasks.len()]);
        }
    }

    pub(super) fn kill_shim(&mut self) {
        // One that is being made is ended by whoever makes it.
        let made =
            !self.jobs.iter().any(|running| matches!(running.key, JobKey::SetUp | JobKey::TakeBack | JobKey::Release));
        if let Some(shim) = self.world.shim().filter(|_| made) {
            shim.is_dead = true;
        }
    }

    pub(super) fn panic_one(&mut self, which: usize) {
        if which.is_multiple_of(4)
            && let Some(rows) = self.commit.take()
        {
            if (which / 4).is_multiple_of(2) {
                self.world.disk.write(&rows);
            }
            return self.lose(TaskKey::Commit, which / 8);
        }
        let Some(index) = self.choose(which, |_| true) else { return };
        let running = self.jobs.remove(index);
        let key = TaskKey::Job(running.key.clone());
        // It had done all of it, or nothing. A discard that does nothing leaves everything to the next start.
        let done = (which / 16).is_multiple_of(2) || matches!(running.key, JobKey::Discard(_));
        if let JobKey::Update(id) = &running.key {
            self.world.unsure.insert(id.clone());
        }
        if done && !running.cancelled {
            self.world.finish(running.job, true, running.overridden);
        } else if key.clone().ended_without_result::<u32>(NoResult::Panicked).is_none() {
            self.jobs.push(running);
        }
        self.lose(key, which / 16);
    }

    /// A task panicked. Where nobody knows how far it came, the pod is taken up from its record.
    pub(super) fn lose(&mut self, key: TaskKey, which: usize) {
        match key.ended_without_result(NoResult::Panicked) {
            Some(input) => self.step(input),
            None => self.die(which),
        }
    }

    /// What the daemon knows is lost.
    pub(super) fn forget_daemon(&mut self) {
        self.jobs.clear();
        self.timers.clear();
        self.waiting.clear();
        self.commit = None;
        self.shown = None;
    }

    /// The daemon dies and the next one begins. Jobs have done what they were to do, or nothing; the commit is on disk,
    /// or not.
    pub(super) fn die(&mut self, which: usize) {
        if let Some(rows) = self.commit.take().filter(|_| which.is_multiple_of(2)) {
            self.world.disk.write(&rows);
        }
        for (index, running) in std::mem::take(&mut self.jobs).into_iter().enumerate() {
            if !running.cancelled && !running.hangs && (which >> (index % 8 + 1)).is_multiple_of(2) {
                self.world.finish(running.job, true, running.overridden);
            }
        }
        self.forget_daemon();
        self.machine = None;
        self.world.sweep();
        self.tried = self.world.disk.clone();
        self.begin_again(which);
    }

    pub(super) fn begin_again(&mut self, which: usize) {
        let Some(state) = self.world.disk.pod.clone() else { return };
        if let Some(shim) = self.world.shim() {
            shim.is_foreign = state.phase != PodPhase::Setup && which.is_multiple_of(7);
        }
        let containers = self.world.disk.containers.iter();
        let containers: Vec<_> =
            containers.map(|(id, (spec, record))| (id.clone(), (**spec).clone(), record.clone())).collect();
        let running = containers.iter().filter(|(_, _, record)| matches!(record.phase, ContainerPhase::Running { .. }));
        let exits = running.filter_map(|(id, _, _)| Some((id.clone(), *self.world.exits.get(id)?))).collect();
        let id = PodId::parse(&format!("{:064x}", self.next())).expect("an id");
        let rebooted = self.world.shim().is_none() && which.is_multiple_of(3);
        let boot = if rebooted { "another" } else { "boot" };
        let spec = self.world.disk.pod_spec.as_deref().cloned().expect("a row has its spec");
        let loaded = Loaded { id, spec, state, containers, strays: Vec::new(), rebooted: false };
        let loaded = loaded.in_this_boot(boot, self.world.now);
        let seen = Seen { listening: self.world.shim().is_some(), exits };
        let machine = Machine::recorded(loaded, seen, &defaults(), &Listed::new(u64::MAX));
        self.shown = machine.entry();
        self.facts.check_shown(self.shown.as_ref());
        self.machine = Some(machine);
        self.forgotten = false;
        self.step(Input::Begin);
    }
}
