//! The pods of a run, side by side: those of Pods, of Jobs and of Deployments.

mod controller;
mod deployment;
mod job;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::asked::{StopAsked, StopSpeaker, stop_line};
use super::events::RuntimeEvents;
use super::machine::{LifeOutcome, LifePhase};
use super::readiness::{PodKey, PodNumber, PodSigns, ReportBoard};
use super::supervise::RunOutcome;
use super::voice::Voice;
use super::{Interrupt, RunError, live};
use crate::cli::RunArgs;
use crate::connect::CriClient;
use crate::console::Console;
use crate::manifest::{Pod, Workload};

use controller::Controller;

/// Since the run's beginning.
type Moment = Duration;

/// What happened to a controller's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FleetInput {
    Time,
    Ready {
        number: PodNumber,
        is_ready: bool,
    },
    /// Its containers were started again so often, all together.
    Restarted {
        number: PodNumber,
        restarts: u32,
    },
    Ended {
        number: PodNumber,
        is_success: bool,
    },
    /// All pods have been asked to end.
    Stop,
}

/// What a controller wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FleetAction {
    StartPod {
        number: PodNumber,
    },
    StartJob {
        number: PodNumber,
        index: Option<u32>,
    },
    StartReplica {
        number: PodNumber,
        slot: u32,
    },
    Stop {
        number: PodNumber,
    },
    /// No pod of it runs, and none will.
    Over {
        has_failed: bool,
    },
}

type PodLife<'a> = Pin<Box<dyn Future<Output = (PodKey, Result<RunOutcome, RunError>)> + 'a>>;

/// A pod that lives.
struct FleetPod {
    name: String,
    stop: StopSpeaker,
    restarts: u32,
    is_ready: bool,
}

/// All that runs here.
struct Fleet<'a> {
    connection: &'a CriClient,
    args: &'a RunArgs,
    console: &'a Console,
    events: &'a RuntimeEvents,
    begun: Instant,
    /// What is over stays in its place.
    controllers: Vec<Controller>,
    /// What takes the place of a controller once that is over.
    successors: Vec<(usize, Workload)>,
    pods: BTreeMap<PodKey, FleetPod>,
    lives: FuturesUnordered<PodLife<'a>>,
    reports: ReportBoard,
    asked: StopAsked,
    result: FleetResult,
}

/// What the process is to end with.
#[derive(Default)]
struct FleetResult {
    first_failure: Option<i32>,
    error: Option<RunError>,
}

/// What is to run, at first and from then on.
pub(crate) struct Wishes<'a> {
    pub(crate) first: &'a [Workload],
    /// Each one is the whole: what is not in it any more ends, what changed is replaced, the rest is left alone.
    pub(crate) changes: mpsc::Receiver<Vec<Workload>>,
}

/// Runs workloads to their ends, and answers the code of the first that failed.
pub(super) async fn run(
    connection: &CriClient,
    mut wishes: Wishes<'_>,
    args: &RunArgs,
    console: &Console,
    interrupt: &Interrupt,
) -> Result<i32, RunError> {
    let events = RuntimeEvents::listen(connection);
    let reports = ReportBoard::default();
    let mut news = reports.read();
    let mut fleet = Fleet {
        connection,
        args,
        console,
        events: &events,
        begun: Instant::now(),
        controllers: wishes.first.iter().map(Controller::new).collect(),
        successors: Vec::new(),
        pods: BTreeMap::new(),
        lives: FuturesUnordered::new(),
        reports,
        asked: StopAsked::No,
        result: FleetResult::default(),
    };
    fleet.feed_all(FleetInput::Time).await;
    while !fleet.is_over() {
        let wake = fleet.controllers.iter().filter_map(Controller::next).min().map(|moment| fleet.begun + moment);
        let asked = fleet.asked;
        tokio::select! {
            biased;
            () = interrupt.first(), if asked == StopAsked::No => fleet.ask(StopAsked::Gracefully).await,
            () = console.closed(), if asked == StopAsked::No => fleet.ask(StopAsked::Gracefully).await,
            () = interrupt.second(), if asked != StopAsked::AtOnce => fleet.ask(StopAsked::AtOnce).await,
            Some((key, result)) = fleet.lives.next(), if !fleet.lives.is_empty() => fleet.ended(key, result).await,
            Some(workloads) = wishes.changes.recv() => fleet.change(workloads).await,
            Ok(()) = news.changed() => {
                let said = news.borrow_and_update().clone();
                fleet.heard(said).await;
            }
            () = tokio::time::sleep_until(wake.unwrap_or(fleet.begun)), if wake.is_some() => {
                fleet.feed_all(FleetInput::Time).await;
            }
        }
    }
    match fleet.result {
        FleetResult { error: Some(error), .. } => Err(error),
        FleetResult { first_failure, .. } => Ok(first_failure.unwrap_or_default()),
    }
}

impl Fleet<'_> {
    fn is_over(&self) -> bool {
        self.lives.is_empty() && self.successors.is_empty() && self.controllers.iter().all(Controller::is_over)
    }

    /// Only one pod, and nobody confuses it.
    fn is_alone(&self) -> bool {
        matches!(self.controllers.as_slice(), [Controller::Pod(_)])
    }

    async fn feed_all(&mut self, input: FleetInput) {
        for index in 0..self.controllers.len() {
            self.feed(index, input).await;
        }
    }

    async fn feed(&mut self, index: usize, input: FleetInput) {
        let actions = self.controllers[index].step(self.begun.elapsed(), input);
        for action in actions {
            self.carry_out(index, action).await;
        }
    }

    async fn carry_out(&mut self, index: usize, action: FleetAction) {
        let controller = &self.controllers[index];
        match action {
            FleetAction::Stop { number } => {
                if let Some(pod) = self.pods.get(&(index, number)) {
                    pod.stop.ask(StopAsked::Gracefully);
                }
            }
            FleetAction::Over { has_failed } => {
                if let Some(said) = controller.verdict(has_failed) {
                    self.console.note(said).await;
                }
                if has_failed {
                    self.result.first_failure.get_or_insert(1);
                }
            }
            FleetAction::StartPod { number }
            | FleetAction::StartJob { number, .. }
            | FleetAction::StartReplica { number, .. } => {
                if let Some(pod) = controller.pod(action) {
                    self.begin((index, number), pod);
                }
            }
        }
    }

    fn begin(&mut self, key: PodKey, pod: Pod) {
        let (stop, line) = stop_line();
        let voice = Voice::new(self.console, if self.is_alone() { "" } else { &pod.name });
        let report = self.reports.line(key);
        self.pods.insert(key, FleetPod { name: pod.name.clone(), stop, restarts: 0, is_ready: false });
        let (connection, args, events) = (self.connection, self.args, self.events);
        self.lives
            .push(Box::pin(async move { (key, live(connection, &pod, args, voice, (&line, events, &report)).await) }));
    }

    async fn ask(&mut self, wish: StopAsked) {
        self.asked = wish;
        self.successors.clear();
        for pod in self.pods.values() {
            pod.stop.ask(wish);
        }
        self.feed_all(FleetInput::Stop).await;
    }

    /// What is wished has changed.
    async fn change(&mut self, workloads: Vec<Workload>) {
        if self.asked != StopAsked::No {
            return;
        }
        self.successors.clear();
        let mut new: Vec<Option<Workload>> = workloads.into_iter().map(Some).collect();
        for index in 0..self.controllers.len() {
            if self.controllers[index].is_over() {
                continue;
            }
            let is_same =
                |wish: &Option<Workload>| wish.as_ref().is_some_and(|wish| self.controllers[index].is_named_as(wish));
            let wish = new.iter().position(is_same).and_then(|at| new[at].take());
            match wish {
                Some(wish) if self.controllers[index].is_for(&wish) => {}
                Some(Workload::Deployment(wish)) => {
                    let actions = self.controllers[index].change(self.begun.elapsed(), wish);
                    for action in actions {
                        self.carry_out(index, action).await;
                    }
                }
                wish => {
                    self.successors.extend(wish.map(|wish| (index, wish)));
                    for (_, pod) in self.pods.iter().filter(|((of, _), _)| *of == index) {
                        pod.stop.ask(StopAsked::Gracefully);
                    }
                    self.feed(index, FleetInput::Stop).await;
                }
            }
        }
        for wish in new.into_iter().flatten() {
            self.controllers.push(Controller::new(&wish));
            self.feed(self.controllers.len() - 1, FleetInput::Time).await;
        }
    }

    /// What waited for the end of another begins.
    async fn succeed(&mut self, index: usize) {
        if !self.controllers[index].is_over() || self.pods.keys().any(|(of, _)| *of == index) {
            return;
        }
        while let Some(at) = self.successors.iter().position(|(of, _)| *of == index) {
            let (_, wish) = self.successors.swap_remove(at);
            self.controllers.push(Controller::new(&wish));
            self.feed(self.controllers.len() - 1, FleetInput::Time).await;
        }
    }

    async fn heard(&mut self, said: BTreeMap<PodKey, PodSigns>) {
        for (key, PodSigns { is_ready, restarts }) in said {
            let Some(pod) = self.pods.get_mut(&key) else { continue };
            let (index, number) = key;
            let was_ready = std::mem::replace(&mut pod.is_ready, is_ready);
            let had = std::mem::replace(&mut pod.restarts, restarts);
            if was_ready != is_ready {
                self.feed(index, FleetInput::Ready { number, is_ready }).await;
            }
            if had != restarts {
                self.feed(index, FleetInput::Restarted { number, restarts }).await;
            }
        }
    }

    async fn ended(&mut self, key: PodKey, result: Result<RunOutcome, RunError>) {
        let pod = self.pods.remove(&key);
        self.reports.forget(key);
        let (index, number) = key;
        let is_success = match result {
            Ok(outcome) => {
                let is_plain = matches!(self.controllers[index], Controller::Pod(_));
                if is_plain && outcome.code() != 0 {
                    self.result.first_failure.get_or_insert(outcome.code());
                }
                outcome.outcome == LifeOutcome::Finished && outcome.report.phase == LifePhase::Succeeded
            }
            Err(error) => {
                if !self.is_alone() {
                    let name = pod.map(|pod| pod.name).unwrap_or_default();
                    self.console.note(format!("{name}: {}", peapod_text::chain(&error))).await;
                }
                if self.controllers[index].fails_with(&error) {
                    self.result.error.get_or_insert(error);
                }
                false
            }
        };
        self.feed(index, FleetInput::Ended { number, is_success }).await;
        self.succeed(index).await;
    }
}
