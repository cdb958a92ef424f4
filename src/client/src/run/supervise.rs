//! Watches the containers of a pod and starts them again as the restart policy says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peapod_api::v1;

use super::backoff::BackOff;
use super::launch::{RunningPod, StartedContainer};
use super::{Interrupt, RunError};
use crate::connect::{CallError, QUICK, call};
use crate::manifest::{Container, RestartPolicy};
use crate::units;

/// How late an end may be seen.
const POLL: Duration = Duration::from_millis(200);
/// How long a runtime may be away, for an upgrade for example.
const AWAY: Duration = Duration::from_secs(120);

/// How the pod ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunOutcome {
    /// All containers have ended; the code of the first that failed, or 0.
    Ended { code: i32 },
    /// A signal came, or nobody reads any more.
    Asked,
    /// Somebody else stopped or removed the pod; the code of the first that had failed before, or 0.
    Elsewhere { code: i32 },
}

impl RunOutcome {
    /// Of the first container that failed by itself.
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::Ended { code } | Self::Elsewhere { code } => *code,
            Self::Asked => 0,
        }
    }
}

enum MemberState {
    Running(StartedContainer),
    /// To be started at that time; the container of the last attempt, if it is still there.
    Waiting {
        at: Instant,
        last: Option<String>,
    },
    Ended,
}

struct Member<'a> {
    container: &'a Container,
    attempt: u32,
    back_off: BackOff,
    state: MemberState,
}

/// Some containers of the pod, from their first start to their last end.
pub(super) struct Supervisor<'a> {
    pod: &'a RunningPod<'a>,
    policy: RestartPolicy,
    members: Vec<Member<'a>>,
    first_failure: Option<i32>,
    /// Since when the runtime does not answer.
    away: Option<Instant>,
}

impl<'a> Supervisor<'a> {
    /// Starts the containers in their order.
    pub(super) async fn start(
        pod: &'a RunningPod<'a>,
        containers: &'a [Container],
        policy: RestartPolicy,
        interrupt: &Interrupt,
    ) -> Result<Self, RunError> {
        let mut this = Self { pod, policy, members: Vec::new(), first_failure: None, away: None };
        for container in containers {
            if interrupt.status().is_some() {
                break;
            }
            match pod.launch(container, 0).await {
                Ok(launched) => {
                    let (back_off, state) = (BackOff::default(), MemberState::Running(launched));
                    this.members.push(Member { container, attempt: 0, back_off, state });
                }
                Err(error) => {
                    this.drain().await;
                    return Err(error);
                }
            }
        }
        Ok(this)
    }

    /// Watches until all have ended for good, or somebody asks for an end.
    pub(super) async fn watch(&mut self, interrupt: &Interrupt) -> Result<RunOutcome, RunError> {
        loop {
            tokio::select! {
                biased;
                () = interrupt.first() => return Ok(RunOutcome::Asked),
                () = self.pod.run.console.closed() => return Ok(RunOutcome::Asked),
                () = tokio::time::sleep(POLL) => {}
            }
            let result = self.look().await;
            match result {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) => self.answered().await,
                Err(error) => self.unanswered(error).await?,
            }
        }
    }

    /// Lets the rest of the logs be printed, once nothing runs any more.
    pub(super) async fn drain(&mut self) {
        for member in &mut self.members {
            if let MemberState::Running(launched) = std::mem::replace(&mut member.state, MemberState::Ended) {
                launched.drain().await;
            }
        }
    }

    async fn look(&mut self) -> Result<Option<RunOutcome>, CallError> {
        // The pod first: whoever stops it stops the containers before.
        let ready = self.pod_is_ready().await?;
        let states = self.states().await?;
        for index in 0..self.members.len() {
            self.step(index, &states, ready).await?;
        }
        let code = self.first_failure.unwrap_or_default();
        if self.members.iter().all(|member| matches!(member.state, MemberState::Ended)) && !self.stopping() {
            return Ok(Some(RunOutcome::Ended { code }));
        }
        Ok((!ready).then_some(RunOutcome::Elsewhere { code }))
    }

    /// Whether `peapod stop` is stopping the pod: it says so in the pod's directory before it stops a container.
    fn stopping(&self) -> bool {
        self.pod.run.dir.is_stopping()
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

    async fn step(
        &mut self,
        index: usize,
        states: &BTreeMap<String, v1::ContainerState>,
        ready: bool,
    ) -> Result<(), CallError> {
        let member = &self.members[index];
        match &member.state {
            MemberState::Running(launched) => {
                let running = v1::ContainerState::ContainerRunning;
                if states.get(&launched.id).is_some_and(|state| *state == running) {
                    return Ok(());
                }
                let end = ContainerEnd::of(self.pod, &launched.id).await?;
                self.ended(index, end, ready).await;
            }
            MemberState::Waiting { at, .. } if *at <= Instant::now() && ready && !self.stopping() => {
                self.restart(index).await;
            }
            MemberState::Waiting { .. } | MemberState::Ended => {}
        }
        Ok(())
    }

    async fn ended(&mut self, index: usize, end: ContainerEnd, ready: bool) {
        let wanted = !ready || self.stopping();
        let member = &mut self.members[index];
        let MemberState::Running(launched) = std::mem::replace(&mut member.state, MemberState::Ended) else { return };
        let (id, ran) = (launched.id.clone(), launched.since.elapsed());
        launched.drain().await;
        let again = match self.policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => end.code != 0,
            RestartPolicy::Never => false,
        };
        let name = &member.container.name;
        if again && !wanted {
            let wait = member.back_off.after(ran);
            member.state = MemberState::Waiting { at: Instant::now() + wait, last: Some(id) };
            let when = if wait.is_zero() { "now".to_owned() } else { format!("in {}", units::duration(wait)) };
            self.pod.run.console.note(format!("{name} {end}; starting it again {when}")).await;
        } else {
            // Ends that somebody asked for are no failures.
            if end.code != 0 && !wanted {
                self.first_failure.get_or_insert(end.code);
            }
            self.pod.run.console.note(format!("{name} {end}")).await;
        }
    }

    async fn restart(&mut self, index: usize) {
        let member = &mut self.members[index];
        if let MemberState::Waiting { last, .. } = &mut member.state
            && let Some(id) = last.take()
        {
            self.pod.forget(id).await;
        }
        member.attempt += 1;
        match self.pod.launch(member.container, member.attempt).await {
            Ok(launched) => member.state = MemberState::Running(launched),
            Err(error) => {
                let wait = member.back_off.after(Duration::ZERO);
                member.state = MemberState::Waiting { at: Instant::now() + wait, last: None };
                let error = anyhow::Error::from(error);
                self.pod.run.console.note(format!("{error:#}; trying again in {}", units::duration(wait))).await;
            }
        }
    }

    async fn answered(&mut self) {
        if self.away.take().is_some() {
            self.pod.run.console.note("the runtime is back").await;
        }
    }

    /// A runtime may be restarted under its pods: they go on, and so do we, for a while.
    async fn unanswered(&mut self, error: CallError) -> Result<(), RunError> {
        let lost = error.is_unanswered();
        let since = match self.away {
            Some(since) => since,
            None if lost => {
                self.pod
                    .run
                    .console
                    .note("the runtime does not answer; what runs goes on, waiting for it to come back")
                    .await;
                *self.away.insert(Instant::now())
            }
            None => return Err(RunError::Watch { source: error }),
        };
        if since.elapsed() > AWAY { Err(RunError::Watch { source: error }) } else { Ok(()) }
    }
}

/// How a container ended.
pub(super) struct ContainerEnd {
    code: i32,
    reason: String,
    message: String,
}

impl ContainerEnd {
    pub(super) async fn of(pod: &RunningPod<'_>, id: &str) -> Result<Self, CallError> {
        let mut client = pod.run.connection.runtime.clone();
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let status = match call("ContainerStatus", QUICK, client.container_status(request)).await {
            Ok(answer) => answer.status.unwrap_or_default(),
            Err(error) if error.is_not_found() => {
                let reason = "removed by somebody else".to_owned();
                return Ok(Self { code: 255, reason, message: String::new() });
            }
            Err(error) => return Err(error),
        };
        Ok(Self { code: status.exit_code, reason: status.reason, message: status.message })
    }
}

impl std::fmt::Display for ContainerEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ended with {}", self.code)?;
        // Those two say what the code says.
        if !matches!(self.reason.as_str(), "" | "Completed" | "Error") {
            write!(f, " ({})", self.reason)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}
