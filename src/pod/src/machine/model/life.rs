//! A pod's life in the simulated world: random moves, then everything comes to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::checks::{self, Asked};
use super::world::{Disk, World};
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::layout::Layout;
use crate::listed::Listed;
use crate::load::Loaded;
use crate::machine::{Action, Input, Job, JobKey, Machine, Now, Outcome, Reply, Request, Row, Seen, Ticket, Timer};
use crate::record::{ContainerPhase, PodPhase};
use crate::samples::pod_spec;
use crate::view::PodEntry;

/// Far more than any life takes: beyond it something goes round in a circle.
const STEPS: usize = 20_000;

/// A job under way.
struct Running {
    job: Job<u32>,
    key: JobKey,
    /// It ends only when it is overridden or given up.
    hangs: bool,
    overridden: bool,
    cancelled: bool,
}

/// The daemon, its clients and the world.
pub(super) struct Life {
    pub(super) world: World,
    pub(super) machine: Option<Machine<u32>>,
    /// As committed, and also what could not be written.
    pub(super) tried: Disk,
    pub(super) shown: Option<PodEntry>,
    jobs: Vec<Running>,
    pub(super) commit: Option<Vec<Row>>,
    pub(super) timers: Vec<Timer>,
    pub(super) waiting: BTreeMap<Ticket, Asked>,
    pub(super) answered: BTreeSet<Ticket>,
    pub(super) number: u64,
    /// The pod's name is free, though something may still be done for it.
    pub(super) forgotten: bool,
    /// Containers that any client heard of.
    pub(super) known: Vec<ContainerId>,
}

pub(super) fn layout() -> Arc<Layout> {
    Arc::new(Layout::new(Path::new("/run"), Path::new("/state")))
}

impl Life {
    pub(super) fn new() -> Self {
        Self {
            world: World::default(),
            machine: None,
            tried: Disk::default(),
            shown: None,
            jobs: Vec::new(),
            commit: None,
            timers: Vec::new(),
            waiting: BTreeMap::new(),
            answered: BTreeSet::new(),
            number: 0,
            forgotten: false,
            known: Vec::new(),
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// One move: something happens, chosen by two numbers.
    pub(super) fn play(&mut self, kind: u8, which: u16) {
        let which = usize::from(which);
        match kind {
            0..=3 => self.create(which),
            4..=6 => self.ask_of(which, |id| (Asked::Start(id.clone()), Request::Start(id, Ok(())))),
            7..=8 => {
                let deadline = self.world.now + [0, 50, 1_000_000][which / 7 % 3];
                self.ask_of(which, |id| (Asked::Stop(id.clone()), Request::Stop(id, deadline)));
            }
            9 => self.ask_of(which, |id| (Asked::Remove(id.clone()), Request::Remove(id))),
            10..=11 => self.update(which),
            12 => self.ask(Asked::StopPod, Request::StopPod),
            13 if which.is_multiple_of(2) => self.ask(Asked::RemovePod, Request::RemovePod),
            14..=15 => self.run(if which.is_multiple_of(5) { "other" } else { "pod" }),
            16..=30 => self.finish_one(which, true),
            31..=32 => self.finish_one(which, false),
            33 => self.hang(which),
            34..=42 => self.finish_commit(true),
            43 => self.finish_commit(false),
            44..=45 => self.fire(),
            46..=48 => self.exit(which),
            49 => self.kill_shim(),
            50 => self.world.end_init(),
            51 => self.die(which),
            52 => self.panic_one(which),
            53..=54 => self.leave(which),
            55 => self.world.repeats = which.is_multiple_of(2),
            _ => {}
        }
        self.world.now += 10;
    }

    pub(super) fn step(&mut self, input: Input<u32>) {
        let Some(machine) = &mut self.machine else { return };
        let now = Now { realtime: self.world.now, boottime: self.world.now };
        for action in machine.step(now, input) {
            self.carry_out(action);
        }
        if self.machine.as_ref().is_some_and(Machine::is_over) {
            self.machine = None;
            assert!(self.jobs.iter().all(|running| !matches!(running.key, JobKey::Create(_))), "a create is nobody's");
            self.forget_daemon();
        }
    }

    fn carry_out(&mut self, action: Action<u32>) {
        match action {
            Action::Commit(rows) => {
                assert!(self.commit.is_none(), "two commits at once");
                self.commit = Some(rows);
            }
            Action::Publish(entry) => {
                checks::shown(&entry, &self.tried);
                self.shown = Some(*entry);
            }
            Action::Hide => {
                assert!(self.world.disk.pod.is_none(), "hidden before it is gone");
                self.shown = None;
            }
            Action::Answer(ticket, result) => self.answer(ticket, &result),
            Action::Run(job) => {
                let key = job.key();
                checks::exclusive(&job, self.jobs.iter().filter(|other| !other.cancelled).map(|other| &other.key));
                self.world.begin(&job);
                let overridden = matches!(&job, Job::Start(start) if start.stopped.is_some());
                self.jobs.push(Running { job, key, hangs: false, overridden, cancelled: false });
            }
            Action::Override(id, _) => {
                for running in self.jobs.iter_mut().filter(|running| running.key == JobKey::Start(id.clone())) {
                    running.overridden = true;
                }
            }
            Action::Cancel(key) => self.cancel(|job| *job == key),
            Action::CancelShimJobs => self.cancel(JobKey::needs_shim),
            Action::Pause(timer, _) => self.timers.push(timer),
            // Whoever is left asks again, and finds nothing.
            Action::Forget => {
                self.waiting.clear();
                self.forgotten = true;
            }
            Action::Expose(_) | Action::Recovered | Action::Reached(_) => {}
        }
    }

    fn cancel(&mut self, which: impl Fn(&JobKey) -> bool) {
        for running in self.jobs.iter_mut().filter(|running| which(&running.key)) {
            running.cancelled = true;
        }
    }

    fn answer(&mut self, ticket: Ticket, result: &Result<Reply, Error>) {
        if self.answered.contains(&ticket) && !self.waiting.contains_key(&ticket) {
            // Its client has left.
            return;
        }
        let asked = self.waiting.remove(&ticket).expect("an answer nobody waits for");
        self.answered.insert(ticket);
        if let Ok(reply) = result {
            checks::success(&asked, reply, &self.world, &self.tried);
            if let Reply::Created(id) = reply
                && !self.known.contains(id)
            {
                self.known.push(id.clone());
            }
        }
    }

    fn finish_one(&mut self, which: usize, well: bool) {
        let ready: Vec<usize> =
            (0..self.jobs.len()).filter(|index| self.can_finish(&self.jobs[*index], false)).collect();
        if !ready.is_empty() {
            self.finish_job(ready[which % ready.len()], well);
        }
    }

    fn can_finish(&self, running: &Running, settling: bool) -> bool {
        let stuck = running.hangs && !running.overridden && !running.cancelled;
        match &running.job {
            _ if running.cancelled => true,
            Job::Watch { after, .. } if settling => self.world.has_events(*after),
            _ => !stuck,
        }
    }

    fn finish_job(&mut self, index: usize, well: bool) {
        let Running { job, key, overridden, cancelled, .. } = self.jobs.remove(index);
        let outcome = if cancelled { key.cancelled() } else { Some(self.world.finish(job, well, overridden)) };
        let retry = matches!(&outcome, Some(Outcome::TakenBack(Err(_))));
        self.step(Input::Outcome(outcome.expect("a job that can be given up has an outcome")));
        if retry {
            // Its record stays: the next daemon tries again.
            self.die(0);
        }
    }

    fn hang(&mut self, which: usize) {
        let may_hang = |key: &JobKey| matches!(key, JobKey::Start(_) | JobKey::Create(_) | JobKey::Update(_));
        let count = self.jobs.len().max(1);
        if let Some(running) = self.jobs.get_mut(which % count).filter(|running| may_hang(&running.key)) {
            running.hangs = true;
        }
    }

    fn finish_commit(&mut self, well: bool) {
        let Some(rows) = self.commit.take() else { return };
        if well {
            self.world.disk.write(&rows);
        }
        self.tried.write(&rows);
        if well && matches!(rows.as_slice(), [Row::NoPod]) {
            self.tried = Disk::default();
        }
        let full = Error::Failed { step: "record".to_owned(), reason: "made to fail".to_owned() };
        self.step(Input::Committed(if well { Ok(()) } else { Err(full) }));
    }

    fn fire(&mut self) {
        if let Some(timer) = self.timers.pop() {
            self.step(Input::Timer(timer));
        }
    }

    fn exit(&mut self, which: usize) {
        let tasks: Vec<_> = self.world.shim.iter().flat_map(|shim| shim.tasks.keys().cloned()).collect();
        if !tasks.is_empty() {
            self.world.exit(&tasks[which % tasks.len()]);
        }
    }

    fn kill_shim(&mut self) {
        // One that is being made is ended by whoever makes it.
        let made =
            !self.jobs.iter().any(|running| matches!(running.key, JobKey::SetUp | JobKey::TakeBack | JobKey::Release));
        if let Some(shim) = self.world.shim().filter(|_| made) {
            shim.is_dead = true;
        }
    }

    fn panic_one(&mut self, which: usize) {
        if self.jobs.is_empty() {
            return;
        }
        if matches!(self.jobs[which % self.jobs.len()].key, JobKey::Discard(_)) {
            // It would stay until the next start, which sweeps it away.
            return;
        }
        let running = self.jobs.remove(which % self.jobs.len());
        match running.key.clone().panicked() {
            Some(outcome) => {
                // It had done all of it, or nothing.
                if which.is_multiple_of(2) && !running.cancelled {
                    self.world.finish(running.job, true, running.overridden);
                }
                self.step(Input::Outcome(outcome));
            }
            None => {
                self.jobs.push(running);
                self.die(which);
            }
        }
    }

    /// What the daemon knows is lost.
    fn forget_daemon(&mut self) {
        self.jobs.clear();
        self.timers.clear();
        self.waiting.clear();
        self.commit = None;
        self.shown = None;
    }

    /// The daemon dies and the next one begins. Jobs have done what they were to do, or nothing; the commit is on disk,
    /// or not.
    fn die(&mut self, which: usize) {
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

    fn begin_again(&mut self, which: usize) {
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
        let loaded = Loaded { id, spec: pod_spec("pod"), state, containers, strays: Vec::new(), rebooted: false };
        let loaded = loaded.in_this_boot(boot, self.world.now);
        let seen = Seen { listening: self.world.shim().is_some(), exits };
        let machine = Machine::recorded(loaded, seen, &layout(), &Listed::new(u64::MAX));
        self.shown = machine.entry();
        self.machine = Some(machine);
        self.forgotten = false;
        self.step(Input::Begin);
    }

    /// The world answers everything that does not hang, until nothing happens any more.
    fn settle(&mut self) {
        for _ in 0..STEPS {
            self.world.now += 10;
            let ending: Vec<_> = std::mem::take(&mut self.world.ending).into_iter().collect();
            ending.iter().for_each(|id| self.world.exit(id));
            if self.commit.is_some() {
                self.finish_commit(true);
            } else if let Some(index) = self.jobs.iter().position(|running| self.can_finish(running, true)) {
                self.finish_job(index, true);
            } else if !self.timers.is_empty() {
                self.fire();
            } else {
                return;
            }
        }
        panic!("it does not come to an end");
    }

    /// Whoever waits is answered, and after a stop and a removal nothing is left.
    pub(super) fn end(mut self) {
        self.world.repeats = false;
        self.settle();
        for (asked, request) in [(Asked::StopPod, Request::StopPod), (Asked::RemovePod, Request::RemovePod)] {
            self.ask(asked, request);
            self.settle();
            assert!(self.waiting.is_empty(), "nobody answers {:?}; under way: {:?}", self.waiting, self.keys());
        }
        assert!(self.shown.is_none(), "a pod that was removed is shown");
        // Their clients were answered without them.
        self.jobs.iter_mut().for_each(|running| running.hangs = false);
        self.settle();
        assert!(self.machine.is_none(), "the machine goes on; under way: {:?}", self.keys());
        let left = self.world.left();
        assert!(left.is_empty(), "left are {left:?}");
    }

    fn keys(&self) -> Vec<&JobKey> {
        self.jobs.iter().map(|running| &running.key).collect()
    }
}
