//! Looks after a pod: feeds its machine with what happens, and carries out what that decides.

mod ends;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::RunError;
use super::asked::{StopAsked, StopLine};
use super::events::EventsOfPod;
use super::handover::StopDoor;
use super::jobs::{self, ContainerEnd, JobEnd};
use super::launch::{RunningPod, StartedContainer};
use super::machine::{LifeAction, LifeInput, LifeMachine, LifeOutcome, PodReport};
use super::readiness::ReportLine;
use super::renewal::VolumeLine;
use super::report::RunReport;
use super::stages::StageLine;
use crate::connect::CallError;
use crate::manifest::Container;

use watch::{Absence, PodWatch, Sight};

/// How the pod ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunOutcome {
    /// Of the first container that failed by itself, or 0.
    pub(super) code: i32,
    pub(super) outcome: LifeOutcome,
    pub(super) report: PodReport,
    /// The folder of what is left to tell why it ended.
    pub(super) tale: Option<PathBuf>,
}

type Job<'a> = Pin<Box<dyn Future<Output = Option<JobEnd>> + 'a>>;

/// A container of the pod, as the runtime has it.
struct SeenMember<'a> {
    container: &'a Container,
    started: Option<StartedContainer>,
    /// The container that runs, or ran last and is still there.
    id: Option<String>,
    end: ContainerEnd,
    /// What the last probe or hook said.
    saying: String,
}

/// Who looks after a pod, from its first start to its last end.
pub(super) struct Supervisor<'a> {
    pod: &'a RunningPod<'a>,
    machine: LifeMachine,
    /// The machine's moment zero.
    begun: Instant,
    members: Vec<SeenMember<'a>>,
    jobs: FuturesUnordered<Job<'a>>,
    /// How many of them are about ends.
    exits: usize,
    stages: Option<StageLine>,
    watch: PodWatch<'a>,
    shown: Option<RunReport>,
    line: ReportLine,
    start_error: Option<RunError>,
    outcome: Option<LifeOutcome>,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        pod: &'a RunningPod<'a>,
        machine: LifeMachine,
        begun: Instant,
        (stages, line): (StageLine, &ReportLine),
    ) -> Self {
        let containers = pod.run.pod.init_containers.iter().chain(&pod.run.pod.containers);
        let member = |container| SeenMember {
            container,
            started: None,
            id: None,
            end: ContainerEnd::default(),
            saying: String::new(),
        };
        Self {
            pod,
            machine,
            begun,
            members: containers.map(member).collect(),
            jobs: FuturesUnordered::new(),
            exits: 0,
            stages: Some(stages),
            watch: PodWatch::new(pod),
            shown: None,
            line: line.clone(),
            start_error: None,
            outcome: None,
        }
    }

    /// Until nothing runs any more.
    pub(super) async fn live(
        mut self,
        asked: &StopLine,
        (mut events, volumes): (EventsOfPod, &mut VolumeLine),
        door: &mut StopDoor,
    ) -> Result<RunOutcome, RunError> {
        let mut heard = StopAsked::No;
        let mut counting = std::pin::pin!(self.pod.run.voice.console().count_down(self.pod.run.pod.grace_seconds));
        // What was asked for while the pod was made comes before its first start.
        if asked.so_far() == StopAsked::No {
            self.feed(LifeInput::Time).await;
        }
        let outcome = loop {
            if let Some(outcome) = self.outcome {
                break outcome;
            }
            if self.watch.is_over() && self.exits == 0 {
                self.is_gone().await;
                continue;
            }
            let wake = self.machine.next().map(|moment| self.begun + moment);
            let patience = events.patience();
            tokio::select! {
                biased;
                more = asked.beyond(heard) => {
                    self.is_asked(heard, more).await;
                    heard = more;
                }
                never = &mut counting, if heard == StopAsked::Gracefully => match never {},
                seconds = door.asked() => {
                    let text = format!("the pod was stopped by somebody else, within {seconds} s");
                    self.pod.run.voice.note(text).await;
                    self.feed(LifeInput::StopWithin { seconds }).await;
                }
                Some(end) = self.jobs.next(), if !self.jobs.is_empty() => self.job_ended(end).await,
                () = tokio::time::sleep_until(wake.unwrap_or(self.begun)), if wake.is_some() => {
                    self.feed(LifeInput::Time).await;
                }
                renewed = volumes.renewed(|known, wished| super::volumes::renew(self.pod.run, known, wished)) => volumes.tell(renewed, &self.pod.run.voice).await,
                () = events.changed() => self.watch.want(),
                sight = self.watch.next(&self.members, patience) => match sight {
                    Ok(sight) => {
                        self.answered().await;
                        self.seen(sight).await;
                    }
                    Err(error) => {
                        if let Err(error) = self.unanswered(error).await {
                            self.drain().await;
                            return Err(error);
                        }
                    }
                },
            }
        };
        self.drain().await;
        match self.start_error {
            Some(error) if outcome == LifeOutcome::StartFailed => Err(error),
            _ => Ok(RunOutcome { code: self.machine.code(), outcome, report: self.machine.report(), tale: None }),
        }
    }

    /// Lets the rest of the logs be printed, once nothing runs any more.
    async fn drain(&mut self) {
        let started = self.members.iter_mut().filter_map(|member| member.started.take());
        join_all(started.map(StartedContainer::drain)).await;
    }

    async fn is_asked(&mut self, before: StopAsked, now: StopAsked) {
        let (voice, grace) = (&self.pod.run.voice, self.pod.run.pod.grace_seconds);
        if before == StopAsked::No {
            self.feed(LifeInput::Stop).await; // First: whoever is told may not read.
            voice.note(format_args!("stopping; what still runs in {grace} s is killed, with Ctrl-C at once")).await;
        }
        if now == StopAsked::AtOnce {
            self.feed(LifeInput::Kill).await;
            voice.console().show(Vec::new()).await;
            voice.note("killing").await;
        }
    }

    /// Tells the machine, and begins what it decides.
    async fn feed(&mut self, input: LifeInput) {
        let actions = self.machine.step(self.begun.elapsed(), input);
        for action in actions {
            self.carry_out(action).await;
        }
        self.show().await;
    }

    async fn carry_out(&mut self, action: LifeAction) {
        let pod = self.pod;
        match action {
            LifeAction::Start { member, attempt } => {
                let seen = &mut self.members[member];
                seen.id = None;
                let container = seen.container;
                self.jobs.push(Box::pin(async move { Some(jobs::start(pod, member, container, attempt).await) }));
            }
            LifeAction::Hook { member, attempt, hook, limit } => {
                let seen = &self.members[member];
                if let Some(id) = seen.id.clone() {
                    self.jobs.push(Box::pin(jobs::hook(pod, (member, attempt, hook), seen.container, id, limit)));
                }
            }
            LifeAction::Probe { member, attempt, kind } => {
                let seen = &self.members[member];
                if let Some(id) = seen.id.clone() {
                    self.jobs.push(Box::pin(jobs::probe(pod, (member, attempt, kind), seen.container, id)));
                }
            }
            LifeAction::Stop { member, grace } => {
                if let Some(id) = self.members[member].id.clone() {
                    self.jobs.push(Box::pin(async move { Some(jobs::stop(pod, member, id, grace).await) }));
                }
            }
            LifeAction::Tell(news) => self.tell(news).await,
            LifeAction::End(outcome) => self.outcome = Some(outcome),
        }
    }

    /// What of the pod has changed without anybody having told it.
    async fn seen(&mut self, sight: Sight) {
        if !sight.is_ready || self.pod.run.dir.is_stopping() {
            // Before the ends of containers, which are wanted then.
            self.feed(LifeInput::Announced).await;
        }
        for (member, id) in sight.ended {
            if let Some(started) = self.members[member].started.take_if(|started| started.id == id) {
                let pod = self.pod;
                self.exits += 1;
                self.jobs.push(Box::pin(async move { Some(jobs::exit(pod, member, started).await) }));
            }
        }
        if !sight.is_ready {
            self.watch.end();
        }
    }

    /// The pod is gone, and all is known of its containers' ends that can be.
    async fn is_gone(&mut self) {
        let was_asked = self.pod.run.dir.was_asked_to_stop();
        self.feed(if was_asked { LifeInput::Gone } else { LifeInput::Lost }).await;
        let text = match self.outcome {
            Some(LifeOutcome::Elsewhere) => "the pod was stopped by somebody else",
            Some(LifeOutcome::Lost) => "the pod has ended under its containers, and no `peapod stop` asked for it",
            _ => return,
        };
        self.pod.run.voice.note(text).await;
    }

    async fn answered(&mut self) {
        if self.watch.answered() {
            self.pod.run.voice.note("the runtime is back").await;
        }
    }

    async fn unanswered(&mut self, error: CallError) -> Result<(), RunError> {
        match self.watch.unanswered(&error) {
            Absence::New => {
                let text = "the runtime does not answer; what runs goes on, waiting for it to come back";
                self.pod.run.voice.note(text).await;
            }
            Absence::Known => {}
            Absence::TooLong => return Err(RunError::Watch { source: error }),
        }
        Ok(())
    }
}
