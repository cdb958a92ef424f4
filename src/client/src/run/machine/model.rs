//! Random lives in a simulated world, held against the rules that no pod may break.

use std::time::Duration;

use super::plan::{MemberPlan, ProbePlan};
use super::*;
use crate::manifest::{RestartAction, RestartPolicy, RestartRule};

/// Random numbers that a seed repeats (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn probe(&mut self, may_have_grace: bool) -> Option<ProbePlan> {
        self.one_in(3).then(|| ProbePlan {
            initial_delay: Duration::from_secs(self.below(5)),
            period: Duration::from_secs(1 + self.below(10)),
            success_threshold: 1,
            failure_threshold: 1 + self.below(3) as u32,
            grace_seconds: (may_have_grace && self.one_in(3)).then_some(1 + self.0 as u32 % 9),
        })
    }

    fn member(&mut self, index: usize, kind: MemberKind) -> MemberPlan {
        let policies = [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::Never];
        let restart = match kind {
            MemberKind::Init => self.of(&policies[1..]),
            MemberKind::Sidecar => RestartPolicy::Always,
            MemberKind::Main => self.of(&policies),
        };
        let mut rules = Vec::new();
        if self.one_in(5) {
            let action = self.of(&[RestartAction::Restart, RestartAction::RestartAllContainers]);
            rules.push(RestartRule { action, codes: vec![3], is_for_codes: true });
        }
        let has_life = kind != MemberKind::Init;
        MemberPlan {
            name: format!("c{index}"),
            kind,
            restart,
            rules,
            startup: self.probe(true).filter(|_| has_life),
            readiness: self.probe(false).filter(|_| has_life),
            liveness: self.probe(true).filter(|_| has_life),
            has_post_start: has_life && self.one_in(4),
            has_pre_stop: has_life && self.one_in(4),
        }
    }

    fn plan(&mut self) -> LifePlan {
        let mut members = Vec::new();
        for index in 0..self.below(4) as usize {
            let kind = self.of(&[MemberKind::Init, MemberKind::Sidecar]);
            members.push(self.member(index, kind));
        }
        for _ in 0..1 + self.below(3) {
            members.push(self.member(members.len(), MemberKind::Main));
        }
        let grace_seconds = self.below(40) as u32;
        let deadline = self.one_in(6).then(|| Duration::from_secs(1 + self.below(300)));
        LifePlan { members, grace_seconds, deadline }
    }
}

#[derive(Clone, Copy, Default, Debug)]
struct Process {
    starts: u32,
    /// The time of its start.
    runs: Option<Duration>,
    is_starting: bool,
    has_ended_well: bool,
    /// In this round of starts.
    was_started: bool,
    is_stopped: bool,
    /// After this the runtime kills it.
    killed_at: Option<Duration>,
}

struct World {
    plan: LifePlan,
    machine: LifeMachine,
    random: Random,
    now: Duration,
    processes: Vec<Process>,
    /// Answers on their way.
    answers: Vec<(Duration, LifeInput)>,
    outcome: Option<LifeOutcome>,
    asked: Option<Duration>,
    restarts_all: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let plan = random.plan();
        let processes = vec![Process::default(); plan.members.len()];
        let machine = LifeMachine::new(plan.clone());
        let (answers, now) = (Vec::new(), Duration::ZERO);
        Self { plan, machine, random, now, processes, answers, outcome: None, asked: None, restarts_all: false }
    }

    fn feed(&mut self, input: LifeInput) {
        let actions = self.machine.step(self.now, input);
        for action in actions {
            self.carry_out(action);
        }
        let report = self.machine.report();
        assert!(!report.is_ready || report.phase == LifePhase::Running, "{report:?}");
        for (process, member) in self.processes.iter_mut().zip(&report.members) {
            assert!(!member.has_started || process.runs.is_some(), "{report:?}");
            process.was_started |= member.has_started;
        }
    }

    fn later(&mut self, seconds: u64, input: LifeInput) {
        let at = self.now + Duration::from_millis(1 + self.random.below(seconds * 1000));
        self.answers.push((at, input));
    }

    fn carry_out(&mut self, action: LifeAction) {
        assert!(self.outcome.is_none(), "after its end: {action:?}");
        match action {
            LifeAction::Start { member, attempt } => self.start(member, attempt),
            LifeAction::Hook { member, attempt, hook, limit } => {
                assert!(self.processes[member].runs.is_some());
                assert_eq!(limit.is_some(), hook == HookKind::PreStop);
                let is_done = !self.random.one_in(5);
                self.later(5, LifeInput::HookDone { member, attempt, hook, is_done });
            }
            LifeAction::Probe { member, attempt, kind } => {
                assert!(self.processes[member].runs.is_some(), "only what runs is probed");
                let all = [Probed::Success, Probed::Success, Probed::Failure, Probed::Unknown, Probed::Refused];
                let result = self.random.of(&all);
                self.later(3, LifeInput::ProbeDone { member, attempt, kind, result });
            }
            LifeAction::Stop { member, grace } => {
                let process = &mut self.processes[member];
                assert!(process.runs.is_some(), "only what runs is stopped");
                let end = self.now + Duration::from_secs(grace.into());
                process.is_stopped = true;
                process.killed_at = Some(process.killed_at.map_or(end, |at| at.min(end)));
            }
            LifeAction::Tell(LifeNews::RestartsAll { .. }) => self.restarts_all = true,
            LifeAction::Tell(_) => {}
            LifeAction::End(outcome) => {
                if !matches!(outcome, LifeOutcome::Elsewhere | LifeOutcome::Lost) {
                    assert!(self.processes.iter().all(|process| process.runs.is_none() && !process.is_starting));
                }
                self.outcome = Some(outcome);
            }
        }
    }

    fn start(&mut self, member: usize, attempt: u32) {
        let process = self.processes[member];
        assert!(process.runs.is_none() && !process.is_starting, "never two of one container");
        assert_eq!(attempt, process.starts, "attempts are counted");
        assert!(self.asked.is_none(), "nothing starts after a stop");
        if self.restarts_all {
            // Everything is begun anew, once nothing runs.
            assert!(self.processes.iter().all(|process| process.runs.is_none() && !process.is_starting));
            self.restarts_all = false;
            for process in &mut self.processes {
                process.has_ended_well = false;
                process.was_started = false;
            }
        }
        let report = self.machine.report();
        for before in 0..member {
            let (plan, process) = (&self.plan.members[before], self.processes[before]);
            match plan.kind {
                MemberKind::Init => assert!(process.has_ended_well, "c{before} before c{member}"),
                MemberKind::Sidecar => {
                    let has_started = process.was_started || report.members[before].has_started;
                    assert!(has_started, "c{before} starts before c{member}: {report:?}");
                }
                MemberKind::Main if attempt == 0 => assert!(process.starts > u32::from(process.is_starting)),
                MemberKind::Main => {}
            }
        }
        let process = &mut self.processes[member];
        process.is_starting = true;
        process.starts += 1;
        let fails = self.random.one_in(60);
        let answer = if fails { LifeInput::StartFailed { member } } else { LifeInput::Started { member } };
        self.later(2, answer);
    }

    /// The next thing that happens.
    fn happen(&mut self) {
        let due = self.answers.iter().enumerate().min_by_key(|(_, (at, _))| *at).map(|(index, (at, _))| (index, *at));
        let wake = self.machine.next();
        let (jump, kills) = (self.random.below(8), self.processes.iter().filter_map(|process| process.killed_at).min());
        let next = [due.map(|(_, at)| at), wake, kills, Some(self.now + Duration::from_secs(jump))];
        self.now = next.into_iter().flatten().min().unwrap().max(self.now);
        if let Some((index, at)) = due
            && at <= self.now
        {
            let (_, input) = self.answers.swap_remove(index);
            match input {
                LifeInput::Started { member } => {
                    self.processes[member] =
                        Process { runs: Some(self.now), is_starting: false, ..self.processes[member] };
                }
                LifeInput::StartFailed { member } => self.processes[member].is_starting = false,
                _ => {}
            }
            return self.feed(input);
        }
        let killed = |process: &Process| process.killed_at.is_some_and(|at| at <= self.now);
        if let Some(member) = self.processes.iter().position(killed) {
            return self.exit(member, 137);
        }
        if wake.is_some_and(|at| at <= self.now) {
            return self.feed(LifeInput::Time);
        }
        let member = self.random.below(self.processes.len() as u64) as usize;
        let process = self.processes[member];
        let may_exit = process.is_stopped || self.random.one_in(4);
        if process.runs.is_some() && may_exit {
            let code = self.random.of(&[0, 0, 0, 1, 3]);
            return self.exit(member, code);
        }
        let somebody_stops_it = self.random.one_in(30);
        self.feed(if somebody_stops_it { LifeInput::Announced } else { LifeInput::Time });
    }

    fn exit(&mut self, member: usize, code: i32) {
        let Process { starts, was_started, .. } = self.processes[member];
        let has_ended_well = code == 0;
        self.processes[member] = Process { starts, was_started, has_ended_well, ..Process::default() };
        self.feed(LifeInput::Exited { member, code, out_of_memory: false });
    }

    fn live(mut self) -> LifeOutcome {
        let stop_after = self.random.below(400);
        let ask = self.random.of(&[LifeInput::Stop, LifeInput::StopWithin { seconds: 9 }, LifeInput::Kill]);
        self.feed(LifeInput::Time);
        for _ in 0..stop_after {
            if self.outcome.is_some() {
                break;
            }
            self.happen();
        }
        self.asked = Some(self.now);
        if self.outcome.is_none() {
            self.feed(ask);
        }
        let limit = self.now + Duration::from_secs(u64::from(self.plan.grace_seconds) + 120);
        for _ in 0..10_000 {
            if let Some(outcome) = self.outcome {
                let report = self.machine.report();
                assert!(matches!(report.phase, LifePhase::Succeeded | LifePhase::Failed), "{report:?}");
                return outcome;
            }
            assert!(self.now < limit, "everything ends in time: {:#?}", self.machine);
            self.happen();
        }
        panic!("everything ends: {:#?}", self.machine);
    }
}

#[test]
fn random_lives_keep_the_rules() {
    let lives = std::env::var("PEAPOD_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(3000);
    let mut seen = [0_usize; 4];
    for seed in 1..=lives {
        let outcome = std::panic::catch_unwind(|| World::new(seed).live());
        let outcome = outcome.unwrap_or_else(|_| panic!("seed {seed}"));
        seen[match outcome {
            LifeOutcome::Finished => 0,
            LifeOutcome::Asked => 1,
            LifeOutcome::DeadlineExceeded => 2,
            LifeOutcome::StartFailed | LifeOutcome::Elsewhere | LifeOutcome::Lost => 3,
        }] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "each way to end is met: {seen:?}");
}
