//! What takes time in looking after a pod: each job ends with what the pod's machine is told.

use std::time::Duration;

use peapod_api::v1;
use tokio::time::Instant;

use super::RunError;
use super::handlers::{AskedContainer, HandlerAnswer};
use super::launch::{RunningPod, StartedContainer};
use super::machine::HookKind;
use super::patience::RuntimePatience;
use crate::connect::{CHANGE, CallError, QUICK, call};
use crate::manifest::{Container, ProbeKind};

/// More than any hook has: what is given up earlier is given up by its limit.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// How a job ended. Containers are named by their place in the pod.
pub(super) enum JobEnd {
    Started {
        member: usize,
        took: Duration,
        result: Result<StartedContainer, RunError>,
    },
    Exited {
        member: usize,
        id: String,
        end: ContainerEnd,
    },
    /// The runtime can't be asked about an end at the moment.
    ExitUnknown {
        member: usize,
        started: StartedContainer,
        error: CallError,
    },
    Hook {
        member: usize,
        attempt: u32,
        hook: HookKind,
        answer: Option<HandlerAnswer>,
    },
    Probe {
        member: usize,
        attempt: u32,
        kind: ProbeKind,
        answer: HandlerAnswer,
    },
    Stopped {
        member: usize,
        result: Result<(), CallError>,
    },
}

/// A start of a container; what is left of the last one goes before.
pub(super) async fn start(pod: &RunningPod<'_>, member: usize, container: &Container, attempt: u32) -> JobEnd {
    pod.run.dir.forget_before(container, attempt);
    let begun = Instant::now();
    let result = pod.launch(container, attempt).await;
    JobEnd::Started { member, took: begun.elapsed(), result }
}

/// After a container's end: how it ended, and the rest of what it wrote.
pub(super) async fn exit(pod: &RunningPod<'_>, member: usize, started: StartedContainer) -> JobEnd {
    match ContainerEnd::of(pod, &started.id).await {
        Ok(mut end) => {
            let (id, words) = (started.id.clone(), started.words.clone());
            started.drain().await;
            end.words = words.read(end.code != 0);
            JobEnd::Exited { member, id, end }
        }
        Err(error) => JobEnd::ExitUnknown { member, started, error },
    }
}

/// One probe.
pub(super) async fn probe(
    pod: &RunningPod<'_>,
    (member, attempt, kind): (usize, u32, ProbeKind),
    container: &Container,
    id: String,
) -> Option<JobEnd> {
    let life = &container.life;
    let probe = match kind {
        ProbeKind::Startup => &life.startup,
        ProbeKind::Readiness => &life.readiness,
        ProbeKind::Liveness => &life.liveness,
    };
    let asked = AskedContainer { connection: pod.run.connection, id: &id, address: pod.address() };
    let answer = asked.probe(probe.as_ref()?).await;
    Some(JobEnd::Probe { member, attempt, kind, answer })
}

/// A hook, which is given up after its limit.
pub(super) async fn hook(
    pod: &RunningPod<'_>,
    (member, attempt, hook): (usize, u32, HookKind),
    container: &Container,
    id: String,
    limit: Option<Duration>,
) -> Option<JobEnd> {
    let life = &container.life;
    let wanted = match hook {
        HookKind::PostStart => &life.post_start,
        HookKind::PreStop => &life.pre_stop,
    };
    let asked = AskedContainer { connection: pod.run.connection, id: &id, address: pod.address() };
    let answer = tokio::time::timeout(limit.unwrap_or(FOREVER), asked.hook(wanted.as_ref()?)).await.ok();
    Some(JobEnd::Hook { member, attempt, hook, answer })
}

/// A stop. A runtime that is away is asked again when it is back.
pub(super) async fn stop(pod: &RunningPod<'_>, member: usize, id: String, grace: u32) -> JobEnd {
    let deadline = CHANGE + Duration::from_secs(grace.into());
    let ask = async || {
        let mut client = pod.run.connection.runtime.clone();
        let request = v1::StopContainerRequest { container_id: id.clone(), timeout: grace.into() };
        call("StopContainer", deadline, client.stop_container(request)).await
    };
    let result = match RuntimePatience::default().ask(ask).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    };
    JobEnd::Stopped { member, result }
}

/// How a container ended.
#[derive(Clone, Debug, Default)]
pub(super) struct ContainerEnd {
    pub(super) code: i32,
    pub(super) reason: String,
    message: String,
    /// What it left as its termination message.
    pub(super) words: String,
}

impl ContainerEnd {
    async fn of(pod: &RunningPod<'_>, id: &str) -> Result<Self, CallError> {
        let mut client = pod.run.connection.runtime.clone();
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let status = match call("ContainerStatus", QUICK, client.container_status(request)).await {
            Ok(answer) => answer.status.unwrap_or_default(),
            Err(error) if error.is_not_found() => {
                let reason = "removed by somebody else".to_owned();
                return Ok(Self { code: 255, reason, ..Self::default() });
            }
            Err(error) => return Err(error),
        };
        let (reason, message) = (status.reason, status.message);
        Ok(Self { code: status.exit_code, reason, message, words: String::new() })
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
        if !self.words.is_empty() {
            let words = peapod_text::collapsed(&self.words, crate::bounds::HANDLER_SAYING);
            write!(f, ", and left the message: {words}")?;
        }
        Ok(())
    }
}
