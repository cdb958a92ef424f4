//! The pods of a run, side by side: those of Pods, of Jobs and of Deployments.

mod change;
mod controller;
mod deployment;
mod inherited;
mod job;
mod lives;
mod past;
mod pod;
mod pulls;
#[cfg(test)]
mod rollouts;
mod subjects;
#[cfg(test)]
mod tests;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::asked::StopAsked;
use super::events::RuntimeEvents;
use super::readiness::{PodKey, PodNumber, ReportBoard};
use super::{Interrupt, RunContext, RunError, exit_status};
use crate::manifest::Workload;
use crate::manifest_files::NamedWorkload;
use crate::runs::RunSubjects;

pub(crate) use change::ChangeReason;
use change::LastChange;
use controller::Controller;
use lives::{FleetPod, PodLife};
pub(crate) use past::PastRun;
pub(crate) use pulls::pull_for;
use troubles::FleetTroubles;

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
    /// It ended, nobody is known to have asked for it, and its policy is not `Never`.
    Lost {
        number: PodNumber,
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
    Over(FleetEnd),
}

/// How a workload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FleetEnd {
    Done,
    /// It was asked to, before it was done.
    Stopped,
    /// More of its pods failed than may.
    TooManyFailures,
    OutOfTime,
}

/// The exit status for a pod that could not be run.
const OWN_FAILURE: u8 = 125;

/// All that runs here.
struct Fleet<'a> {
    context: RunContext<'a>,
    news: FleetNews<'a>,
    begun: Instant,
    /// What is over stays in its place.
    controllers: Vec<Controller>,
    /// What takes the place of a controller once that is over.
    successors: Vec<(usize, Workload)>,
    /// Controllers whose ends are wished.
    leaving: BTreeSet<usize>,
    pods: BTreeMap<PodKey, FleetPod>,
    lives: FuturesUnordered<PodLife<'a>>,
    asked: StopAsked,
    result: FleetResult,
    change: LastChange<'a>,
    /// What others know that it looks after.
    subjects: RunSubjects,
}

/// Where pods hear of what happens at the runtime, and where they say how they are.
struct FleetNews<'a> {
    events: &'a RuntimeEvents,
    reports: ReportBoard,
}

/// What the process is to end with, and what went wrong.
#[derive(Default)]
struct FleetResult {
    first_failure: Option<i32>,
    /// Why the only pod could not be run.
    error: Option<RunError>,
    troubles: FleetTroubles,
}

/// What is to run, at first and from then on.
pub(crate) struct Wishes<'a> {
    pub(crate) first: &'a [Workload],
    /// What an earlier process of this run has left.
    pub(crate) past: PastRun,
    pub(crate) changes: mpsc::Receiver<WishChange>,
}

/// Something else is to run from now on.
pub(crate) enum WishChange {
    Wished {
        /// The whole: what is not in it any more ends, what changed is replaced, the rest is left alone. Or why nobody
        /// knows.
        wishes: Result<Vec<Workload>, String>,
        reason: ChangeReason,
    },
    /// These were taken down, which waits for nothing. All else stays as it is, or becomes what it was to be: what was
    /// refused is not carried out with it.
    Left(BTreeSet<NamedWorkload>),
}

/// Runs workloads to their ends, and answers the code of the first that failed.
pub(super) async fn run(
    context: RunContext<'_>,
    mut wishes: Wishes<'_>,
    interrupt: &Interrupt,
) -> Result<i32, RunError> {
    let events = RuntimeEvents::listen(context.connection);
    let reports = ReportBoard::default();
    let mut news = reports.read();
    let mut fleet = Fleet {
        context,
        news: FleetNews { events: &events, reports },
        begun: Instant::now(),
        controllers: wishes.first.iter().map(|wish| wishes.past.controller(wish)).collect(),
        successors: Vec::new(),
        leaving: BTreeSet::new(),
        pods: BTreeMap::new(),
        lives: FuturesUnordered::new(),
        asked: StopAsked::No,
        result: FleetResult::default(),
        change: LastChange::Told,
        subjects: RunSubjects::default(),
    };
    inherited::inherit(&mut fleet, &wishes.past).await;
    fleet.feed_all(FleetInput::Time).await;
    fleet.settle().await;
    // What is watched may ask for more when all is over.
    while !fleet.is_over() || (context.args.watch && fleet.asked == StopAsked::No) {
        let moments = fleet.controllers.iter().filter_map(Controller::next).map(|moment| fleet.begun + moment);
        let wake = moments.chain(fleet.pods.values().filter_map(FleetPod::next)).min();
        let asked = fleet.asked;
        tokio::select! {
            biased;
            () = interrupt.first(), if asked == StopAsked::No => fleet.ask(StopAsked::Gracefully).await,
            () = context.console.closed(), if asked == StopAsked::No => fleet.ask(StopAsked::Gracefully).await,
            () = interrupt.second(), if asked != StopAsked::AtOnce => fleet.ask(StopAsked::AtOnce).await,
            Some((key, result)) = fleet.lives.next(), if !fleet.lives.is_empty() => fleet.ended(key, result).await,
            Some(change) = wishes.changes.recv() => fleet.is_told(change).await,
            pulled = fleet.change.pulled() => fleet.has_pulled(pulled).await,
            Ok(()) = news.changed() => {
                let said = news.borrow_and_update().clone();
                fleet.heard(said).await;
            }
            () = tokio::time::sleep_until(wake.unwrap_or(fleet.begun)), if wake.is_some() => {
                fleet.feed_all(FleetInput::Time).await;
            }
        }
        fleet.settle().await;
    }
    match fleet.result {
        FleetResult { error: Some(error), .. } => Err(error),
        FleetResult { first_failure, .. } => Ok(first_failure.unwrap_or_default()),
    }
}

impl Fleet<'_> {
    fn is_over(&self) -> bool {
        let is_changing = matches!(self.change, LastChange::Pulling(_)) || !self.successors.is_empty();
        self.lives.is_empty() && !is_changing && self.controllers.iter().all(Controller::is_over)
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
                    if controller.stops_what_fails() {
                        pod.remains.leave_tale();
                    }
                    pod.stop.ask(StopAsked::Gracefully);
                }
            }
            FleetAction::Over(end) => {
                let last = self.result.troubles.blame(index, end);
                let said = controller.verdict(end, last.as_deref());
                if let Some(said) = &said {
                    self.context.console.note(said.clone()).await;
                }
                if matches!(end, FleetEnd::TooManyFailures | FleetEnd::OutOfTime) {
                    self.has_failed(index, 1, said);
                }
            }
            FleetAction::StartPod { number }
            | FleetAction::StartJob { number, .. }
            | FleetAction::StartReplica { number, .. } => {
                if let Some(pod) = controller.pod(action) {
                    self.begin((index, number), action, pod);
                }
            }
        }
    }

    async fn ask(&mut self, wish: StopAsked) {
        self.asked = wish;
        self.successors.clear();
        self.forget_pulls().await;
        for pod in self.pods.values() {
            pod.stop.ask(wish);
        }
        self.feed_all(FleetInput::Stop).await;
    }

    /// Something failed that nobody wished to end; with the reason if that is told nowhere else.
    fn has_failed(&mut self, index: usize, code: i32, text: Option<String>) {
        if self.leaving.contains(&index) {
            return;
        }
        self.result.first_failure.get_or_insert(code);
        if let Some(applied) = self.change.so_far()
            && applied.status == 0
        {
            applied.status = exit_status(code);
            applied.lines.extend(text);
        }
    }

    /// Tells who waits, once all that is wished is ready or has ended.
    async fn settle(&mut self) {
        self.tell_subjects();
        self.pods.values_mut().for_each(FleetPod::look);
        let is_settled = |(index, controller): (usize, &Controller)| {
            let own = self.pods.iter().filter(|((of, _), _)| *of == index);
            controller.is_settled(own.map(|(_, pod)| pod.was_ready())) && !self.leaving.contains(&index)
                || controller.is_over() && !self.pods.keys().any(|(of, _)| *of == index)
        };
        let is_settled = self.successors.is_empty() && self.controllers.iter().enumerate().all(is_settled);
        let waits = match &self.change {
            LastChange::Pulling(_) => vec!["images of what takes the place of something that runs".to_owned()],
            LastChange::Settling(_) if !is_settled => {
                self.result.troubles.waits(&self.controllers, &self.leaving, &self.pods)
            }
            LastChange::Settling(_) | LastChange::Told | LastChange::Refused(_) => Vec::new(),
        };
        self.result.troubles.tell(self.context.record, waits);
        self.tell_change(is_settled).await;
        if is_settled && self.result.error.is_none() {
            let status = self.result.first_failure.map(exit_status).unwrap_or_default();
            self.context.console.settled(status).await;
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

    /// What can't be run ends, with those of its pods that run.
    async fn give_up(&mut self, index: usize) {
        self.controllers[index].give_up();
        for (_, pod) in self.pods.iter().filter(|((of, _), _)| *of == index) {
            pod.stop.ask(StopAsked::Gracefully);
        }
        self.feed(index, FleetInput::Stop).await;
    }
}
