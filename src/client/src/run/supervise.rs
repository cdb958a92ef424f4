//! Looks after a pod: feeds its machine with what happens, and carries out what that decides.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use peapod_api::v1;
use tokio::time::Instant;

use super::RunError;
use super::asked::{StopAsked, StopLine};
use super::events::EventsOfPod;
use super::handover::StopDoor;
use super::jobs::{self, AWAY, ContainerEnd, JobEnd};
use super::launch::{RunningPod, StartedContainer};
use super::machine::{HookKind, LifeAction, LifeInput, LifeMachine, LifeNews, LifeOutcome, PodReport, Probed};
use super::news::NewsSubject;
use super::readiness::ReportLine;
use super::report::RunReport;
use super::stages::StageLine;
use crate::connect::{CallError, QUICK, call};
use crate::manifest::Container;

/// How the pod ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RunOutcome {
    /// Of the first container that failed by itself, or 0.
    pub(super) code: i32,
    pub(super) outcome: LifeOutcome,
    pub(super) report: PodReport,
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
    /// Since when the runtime does not answer.
    away: Option<Instant>,
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
            away: None,
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
        mut events: EventsOfPod,
        door: &mut StopDoor,
    ) -> Result<RunOutcome, RunError> {
        let mut heard = StopAsked::No;
        let mut counting = std::pin::pin!(self.pod.run.voice.console().count_down(self.pod.run.pod.grace_seconds));
        let mut look_at = Instant::now();
        // What was asked for while the pod was made comes before its first start.
        if asked.so_far() == StopAsked::No {
            self.feed(LifeInput::Time).await;
        }
        let outcome = loop {
            if let Some(outcome) = self.outcome {
                break outcome;
            }
            let wake = self.machine.next().map(|moment| self.begun + moment);
            let looks = tokio::select! {
                biased;
                more = asked.beyond(heard) => {
                    self.is_asked(heard, more).await;
                    heard = more;
                    false
                }
                never = &mut counting, if heard == StopAsked::Gracefully => match never {},
                seconds = door.asked() => {
                    let text = format!("the pod was stopped by somebody else, within {seconds} s");
                    self.pod.run.voice.note(text).await;
                    self.feed(LifeInput::StopWithin { seconds }).await;
                    false
                }
                Some(end) = self.jobs.next(), if !self.jobs.is_empty() => self.job_ended(end).await,
                () = tokio::time::sleep_until(wake.unwrap_or(look_at)), if wake.is_some() => {
                    self.feed(LifeInput::Time).await;
                    false
                }
                () = events.changed() => true,
                () = tokio::time::sleep_until(look_at) => true,
            };
            if looks && self.outcome.is_none() {
                match self.look().await {
                    Ok(()) => self.answered().await,
                    Err(error) => match self.unanswered(error).await {
                        Ok(()) => {}
                        Err(error) => {
                            self.drain().await;
                            return Err(error);
                        }
                    },
                }
                look_at = Instant::now() + events.patience();
            }
        };
        self.drain().await;
        match self.start_error {
            Some(error) if outcome == LifeOutcome::StartFailed => Err(error),
            _ => Ok(RunOutcome { code: self.machine.code(), outcome, report: self.machine.report() }),
        }
    }

    /// Lets the rest of the logs be printed, once nothing runs any more.
    async fn drain(&mut self) {
        for member in &mut self.members {
            if let Some(started) = member.started.take() {
                started.drain().await;
            }
        }
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
                let (container, last) = (seen.container, seen.id.take());
                self.jobs.push(Box::pin(async move { Some(jobs::start(pod, member, container, attempt, last).await) }));
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

    /// Says whether it is worth a look at the pod now.
    async fn job_ended(&mut self, end: Option<JobEnd>) -> bool {
        match end {
            None => false,
            Some(JobEnd::Started { member, took, result }) => {
                match result {
                    Ok(started) => {
                        let seen = &mut self.members[member];
                        seen.id = Some(started.id.clone());
                        seen.started = Some(started);
                        if let Some(stages) = &mut self.stages {
                            stages.add(&seen.container.name, took);
                        }
                        self.feed(LifeInput::Started { member }).await;
                    }
                    Err(error) => {
                        self.members[member].saying = peapod_text::chain(&error);
                        self.start_error = Some(error);
                        self.feed(LifeInput::StartFailed { member }).await;
                    }
                }
                // It may have ended before anybody listened.
                true
            }
            Some(JobEnd::Exited { member, id, end }) => {
                self.exits -= 1;
                let (code, out_of_memory) = (end.code, end.reason == "OOMKilled");
                let seen = &mut self.members[member];
                seen.end = end;
                seen.id = Some(id);
                self.feed(LifeInput::Exited { member, code, out_of_memory }).await;
                false
            }
            Some(JobEnd::ExitUnknown { member, started, error }) => {
                self.exits -= 1;
                self.members[member].started = Some(started);
                if !error.is_unanswered() {
                    self.pod.run.voice.note(error).await;
                }
                false
            }
            Some(JobEnd::Hook { member, attempt, hook, answer }) => {
                let is_done = answer.as_ref().is_some_and(|answer| answer.result == Probed::Success);
                if !is_done {
                    let seen = &self.members[member];
                    let name = match hook {
                        HookKind::PostStart => "postStart",
                        HookKind::PreStop => "preStop",
                    };
                    let why = answer.map_or_else(|| "it took all of the grace period".to_owned(), |answer| answer.text);
                    let then = if hook == HookKind::PostStart { "; stopping it" } else { "" };
                    let text = format!("{}: its {name} hook failed: {why}{then}", seen.container.name);
                    self.pod.run.voice.note(text).await;
                }
                self.feed(LifeInput::HookDone { member, attempt, hook, is_done }).await;
                false
            }
            Some(JobEnd::Probe { member, attempt, kind, answer }) => {
                self.members[member].saying = answer.text;
                let result = answer.result;
                self.feed(LifeInput::ProbeDone { member, attempt, kind, result }).await;
                false
            }
            Some(JobEnd::Stopped { member, result }) => {
                if let Err(error) = result {
                    self.pod.run.voice.note(error).await;
                    self.feed(LifeInput::StopFailed { member }).await;
                }
                true
            }
        }
    }

    async fn tell(&mut self, news: LifeNews) {
        let is_first = self.stages.is_some();
        let (LifeNews::Ended { member, .. }
        | LifeNews::RestartsAll { member, .. }
        | LifeNews::StartsAgain { member, .. }
        | LifeNews::ProbeFailed { member, .. }
        | LifeNews::Unhealthy { member, .. }
        | LifeNews::Ready { member }
        | LifeNews::NotReady { member }) = news
        else {
            return self.pod.run.voice.note("the pod's activeDeadlineSeconds are over; stopping it").await;
        };
        let seen = &self.members[member];
        let policy = seen.container.life.restart.unwrap_or(self.pod.run.pod.restart);
        let about = NewsSubject { name: &seen.container.name, end: &seen.end, saying: &seen.saying, policy };
        if let Some(text) = about.text(news, is_first) {
            self.pod.run.voice.note(text).await;
        }
    }

    /// The state of the pod to its directory, and its readiness to the console.
    async fn show(&mut self) {
        let report = self.machine.report();
        self.line.say(&report);
        if report.is_ready
            && let Some(stages) = self.stages.take()
        {
            self.pod.run.voice.note(stages.ready()).await;
        }
        let words: Vec<String> = self.members.iter().map(|seen| seen.end.words.clone()).collect();
        let report = RunReport::new(&report, &words);
        if self.shown.as_ref() != Some(&report) {
            if let Err(error) = report.write(&self.pod.run.dir.path) {
                self.pod.run.voice.note(format_args!("cannot write the pod's state: {error}")).await;
            }
            self.shown = Some(report);
        }
    }

    /// What of the pod has changed without anybody having told it.
    async fn look(&mut self) -> Result<(), CallError> {
        // The pod first: whoever stops it stops the containers before.
        let is_ready = self.pod_is_ready().await?;
        let states = self.states().await?;
        if !is_ready || self.pod.run.dir.is_stopping() {
            // Before the ends of containers, which are wanted then.
            self.feed(LifeInput::Announced).await;
        }
        for (member, seen) in self.members.iter_mut().enumerate() {
            let runs = v1::ContainerState::ContainerRunning;
            if let Some(started) = seen.started.take_if(|started| states.get(&started.id) != Some(&runs)) {
                let pod = self.pod;
                self.exits += 1;
                self.jobs.push(Box::pin(async move { Some(jobs::exit(pod, member, started).await) }));
            }
        }
        if !is_ready {
            while self.exits > 0
                && let Some(end) = self.jobs.next().await
            {
                self.job_ended(end).await;
            }
            self.feed(LifeInput::Gone).await;
            if self.outcome == Some(LifeOutcome::Elsewhere) {
                self.pod.run.voice.note("the pod was stopped by somebody else").await;
            }
        }
        Ok(())
    }

    async fn pod_is_ready(&self) -> Result<bool, CallError> {
        let filter = v1::PodSandboxFilter { id: self.pod.sandbox_id.clone(), ..Default::default() };
        let request = v1::ListPodSandboxRequest { filter: Some(filter) };
        let mut client = self.pod.run.connection.runtime.clone();
        let pods = call("ListPodSandbox", QUICK, client.list_pod_sandbox(request)).await?;
        Ok(pods.items.first().is_some_and(|pod| pod.state() == v1::PodSandboxState::SandboxReady))
    }

    async fn states(&self) -> Result<BTreeMap<String, v1::ContainerState>, CallError> {
        let filter = v1::ContainerFilter { pod_sandbox_id: self.pod.sandbox_id.clone(), ..Default::default() };
        let request = v1::ListContainersRequest { filter: Some(filter) };
        let mut client = self.pod.run.connection.runtime.clone();
        let list = call("ListContainers", QUICK, client.list_containers(request)).await?;
        Ok(list.containers.into_iter().map(|container| (container.id.clone(), container.state())).collect())
    }

    async fn answered(&mut self) {
        if self.away.take().is_some() {
            self.pod.run.voice.note("the runtime is back").await;
        }
    }

    /// A runtime may be restarted under its pods: they go on, and so do we, for a while.
    async fn unanswered(&mut self, error: CallError) -> Result<(), RunError> {
        let lost = error.is_unanswered();
        let since = match self.away {
            Some(since) => since,
            None if lost => {
                let text = "the runtime does not answer; what runs goes on, waiting for it to come back";
                self.pod.run.voice.note(text).await;
                *self.away.insert(Instant::now())
            }
            None => return Err(RunError::Watch { source: error }),
        };
        if since.elapsed() > AWAY { Err(RunError::Watch { source: error }) } else { Ok(()) }
    }
}
