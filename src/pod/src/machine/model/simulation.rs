//! A pod's life in the simulated world: what happens in it, and how it comes to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::checks::{self, Asked};
use super::disk::Disk;
use super::events;
use super::facts::Facts;
use super::moves::{Habits, Move};
use super::trace;
use super::world::World;
use crate::defaults::PodDefaults;
use crate::error::Error;
use crate::id::ContainerId;
use crate::layout::Layout;
use crate::machine::{
    Action, Input, Job, JobKey, Machine, NoResult, Now, Outcome, Reply, Request, Row, TaskKey, Ticket, Timer,
};
use crate::record::{PodCgroup, PodPhase};
use crate::view::PodEntry;

/// A job under way.
pub(super) struct Running {
    pub(super) job: Job<u32>,
    pub(super) key: JobKey,
    /// It ends only when it is overridden or given up.
    pub(super) hangs: bool,
    pub(super) overridden: bool,
    pub(super) cancelled: bool,
}

/// The daemon, its clients and the world.
pub(super) struct Simulation {
    pub(super) world: World,
    pub(super) machine: Option<Machine<u32>>,
    /// As committed, and also what could not be written.
    pub(super) tried: Disk,
    pub(super) shown: Option<PodEntry>,
    pub(super) jobs: Vec<Running>,
    pub(super) commit: Option<Vec<Row>>,
    pub(super) timers: Vec<Timer>,
    pub(super) waiting: BTreeMap<Ticket, Asked>,
    pub(super) answered: BTreeSet<Ticket>,
    pub(super) number: u64,
    /// The pod's name is free, though something may still be done for it.
    pub(super) forgotten: bool,
    /// Containers that any client heard of.
    pub(super) known: Vec<ContainerId>,
    /// What clients were told.
    pub(super) facts: Facts,
    /// Who was told an error last.
    pub(super) refused: Option<(Asked, Error)>,
    /// The kind of job that mostly goes wrong.
    pub(super) weak: usize,
}

pub(super) fn layout() -> Arc<Layout> {
    Arc::new(Layout::new(Path::new("/run"), Path::new("/state")))
}

pub(super) fn defaults() -> PodDefaults {
    PodDefaults {
        layout: layout(),
        boot_id: "boot".to_owned(),
        cgroup: PodCgroup::default(),
        categories: Arc::default(),
    }
}

impl Simulation {
    /// A life begins; mostly with a pod that is ready, and containers of which every second one runs.
    pub(super) fn new(habits: &Habits) -> Self {
        let mut life = Self {
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
            facts: Facts::default(),
            refused: None,
            weak: habits.weak,
        };
        life.run("pod");
        if let Some(containers) = habits.begins {
            life.settle();
            (0..containers).for_each(|which| life.create(which + 1));
            life.settle();
            let known = life.known.clone();
            known.into_iter().step_by(2).for_each(|id| life.ask(Asked::Start(id.clone()), Request::Start(id, Ok(()))));
            life.settle();
        }
        life
    }

    pub(super) fn next(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Something happens; a number says to whom.
    pub(super) fn play(&mut self, what: Move, which: usize) {
        trace(&what);
        match what {
            Move::Run => self.run(if which.is_multiple_of(5) { "other" } else { "pod" }),
            Move::Create => self.create(which),
            Move::Start => self.start(which),
            Move::Stop => self.stop(which),
            Move::Remove => self.ask_of(which, |id| (Asked::Remove(id.clone()), Request::Remove(id))),
            Move::Update => self.update(which),
            Move::StopPod => self.ask(Asked::StopPod, Request::StopPod),
            Move::RemovePod => self.ask(Asked::RemovePod, Request::RemovePod),
            Move::UpdatePod => self.update_pod(),
            Move::Leave => self.leave(which),
            Move::FinishJob => self.finish_one(which),
            Move::Commit => self.finish_commit(true),
            Move::Fire => self.fire(),
            Move::Proceed => self.proceed(which % 24, Some(self.weak).filter(|_| which.is_multiple_of(5))),
            Move::Exit => self.exit(which),
            Move::FailJob => {
                if let Some(index) = self.choose(which, |running| !running.cancelled && !running.hangs) {
                    self.finish_job(index, false);
                }
            }
            Move::Hang => self.hang(which),
            Move::Panic => self.panic_one(which),
            Move::FailCommit => self.finish_commit(false),
            Move::KillShim => self.kill_shim(),
            Move::EndInit => self.world.end_init(),
            Move::Die => self.die(which),
            Move::RepeatEvents => self.world.repeats = which.is_multiple_of(2),
        }
        self.world.now += 10;
    }

    pub(super) fn step(&mut self, input: Input<u32>) {
        let Some(machine) = &mut self.machine else { return };
        let now = Now { realtime: self.world.now, boottime: self.world.now };
        trace(&input);
        for action in machine.step(now, input) {
            trace(&action);
            self.carry_out(action);
        }
        if let Some(machine) = &self.machine {
            let awaited = machine.awaited();
            for (ticket, asked) in &self.waiting {
                checks::awaited(asked, awaited.get(ticket).copied());
            }
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
                self.facts.check_shown(Some(&entry));
                events::changed(self.shown.as_ref(), Some(&entry));
                self.shown = Some(*entry);
            }
            Action::Hide => {
                assert!(self.world.disk.pod.is_none(), "hidden before it is gone");
                events::changed(self.shown.as_ref(), None);
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
            // Whoever is left asks again, and finds nothing: no call is answered by that whose pod is there.
            Action::Forget => {
                let phase = self.world.disk.pod.as_ref().map(|pod| pod.phase);
                assert!(matches!(phase, None | Some(PodPhase::Setup)), "a pod that is {phase:?} is forgotten");
                self.waiting.clear();
                self.forgotten = true;
            }
            Action::Expose(_) | Action::Recovered | Action::Reached(_) | Action::CountLostShim => {}
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
        if let Err(error) = result {
            let running = self.jobs.iter().filter(|running| !running.cancelled).map(|running| &running.key);
            checks::refusal(&asked, error, &self.world.disk, running);
            self.facts.refuse(&asked, error);
            self.refused = Some((asked.clone(), error.clone()));
        }
        if let Ok(reply) = result {
            checks::success(&asked, reply, &self.world, &self.tried);
            self.facts.tell(&asked, reply, &self.world.disk);
            if let Reply::Created(id) = reply
                && !self.known.contains(id)
            {
                self.known.push(id.clone());
            }
        }
    }

    pub(super) fn finish_one(&mut self, which: usize) {
        // A watch mostly waits until there is something to tell.
        let patient = !which.is_multiple_of(8);
        let ready: Vec<usize> =
            (0..self.jobs.len()).filter(|index| self.can_finish(&self.jobs[*index], patient)).collect();
        if !ready.is_empty() {
            self.finish_job(ready[which / 8 % ready.len()], true);
        }
    }
    pub(super) fn can_finish(&self, running: &Running, settling: bool) -> bool {
        let stuck = running.hangs && !running.overridden && !running.cancelled;
        match &running.job {
            _ if running.cancelled => true,
            Job::Watch { after, .. } if settling => self.world.has_events(*after),
            _ => !stuck,
        }
    }

    pub(super) fn finish_job(&mut self, index: usize, well: bool) {
        let Running { job, key, overridden, cancelled, .. } = self.jobs.remove(index);
        let input = if cancelled {
            let ended = TaskKey::Job(key).ended_without_result(NoResult::Cancelled);
            ended.expect("a job that can be given up has an outcome")
        } else {
            Input::Outcome(self.world.finish(job, well, overridden))
        };
        let retry = matches!(&input, Input::Outcome(Outcome::TakenBack(Err(_))));
        self.step(input);
        if retry {
            // Its record stays: the next daemon tries again.
            self.die(0);
        }
    }
    pub(super) fn finish_commit(&mut self, well: bool) {
        let Some(rows) = self.commit.take() else { return };
        if well {
            self.tried.write(&rows);
            self.world.disk.write(&rows);
            self.facts.check_disk(&self.world.disk);
        }
        if !well {
            self.tried.try_to_write(&rows);
        }
        if well && matches!(rows.as_slice(), [Row::NoPod]) {
            self.tried = Disk::default();
        }
        let full = Error::Failed { step: "record".to_owned(), reason: "made to fail".to_owned() };
        self.step(Input::Committed(if well { Ok(()) } else { Err(full) }));
    }

    pub(super) fn fire(&mut self) {
        if let Some(timer) = self.timers.pop() {
            self.step(Input::Timer(timer));
        }
    }
}
