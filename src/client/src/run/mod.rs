//! `peapod run`: a Pod in the foreground, the way a kubelet runs it, from its images to its removal.

mod asked;
mod attempt;
mod being_made;
#[cfg(test)]
mod bench;
mod dns;
mod env;
mod events;
mod facts;
#[cfg(test)]
mod field_tests;
mod fleet;
#[cfg(test)]
mod fleet_tests;
#[cfg(test)]
mod golden;
mod handlers;
mod handover;
mod host_paths;
mod images;
mod jobs;
mod kernel_mounts;
mod launch;
mod left_pod;
mod leftovers;
#[cfg(test)]
mod lost_tests;
mod machine;
mod messages;
mod name_claim;
mod news;
mod off_thread;
mod ownership;
#[cfg(test)]
mod past_tests;
mod patience;
mod payload;
mod pod_dir;
mod prepare;
mod progress;
mod readiness;
mod remains;
mod renewal;
mod report;
mod resources;
mod rotation;
mod security;
#[cfg(test)]
mod settle_tests;
mod stages;
mod subpath;
mod supervise;
mod support;
mod termination;
#[cfg(test)]
mod tests;
mod twin;
mod voice;
mod volume_error;
mod volumes;

use std::collections::BTreeMap;
use std::time::Duration;

use peapod_api::v1;
use tokio::time::Instant;

use crate::cli::RunArgs;
use crate::connect::{CallError, CriClient, QUICK, RUN_POD, call};
use crate::console::Console;
use crate::interrupt::Interrupt;
use crate::manifest::Pod;
use crate::runs::RunRecord;
use crate::runs::owner::OwnerFacts;
use crate::{labels, teardown};

use asked::{StopAsked, StopLine};
use being_made::MakingMark;
pub(crate) use being_made::PodBeingMade;
use events::RuntimeEvents;
use facts::ThisNode;
pub(crate) use fleet::{ChangeReason, PastRun, WishChange, Wishes, pull_for};
use handover::StopDoor;
pub(crate) use handover::ask as ask_to_stop;
use launch::{PodRun, RunningPod};
pub(crate) use leftovers::sweep;
pub(crate) use machine::LifePhase;
use machine::{LifeAction, LifeInput, LifeMachine, LifeOutcome, LifePlan};
use messages::SandboxParts;
use name_claim::PodNameClaim;
use off_thread::off_thread;
use patience::RuntimePatience;
pub(crate) use pod_dir::PodDir;
use readiness::ReportLine;
use remains::{Remains, RemainsWish};
use renewal::VolumeLine;
pub(crate) use report::{ReportedContainer, RunReport};
use stages::StageLine;
use supervise::{RunOutcome, Supervisor};
use support::RuntimeSupport;
use voice::Voice;
use volume_error::VolumeError;

/// Why a pod could not be run. What was made of it is removed again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(transparent)]
    Runs(#[from] Box<twin::PodTwin>),
    #[error("pod {namespace}/{name} is being made by another `peapod run`: `peapod --endpoint {endpoint} ps` shows it")]
    BeingMade { namespace: String, name: String, endpoint: String },
    #[error(transparent)]
    Image(#[from] images::ImageError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("cannot start the pod")]
    Pod { source: CallError },
    #[error("cannot start container {name}")]
    Container { name: String, source: CallError },
    #[error("cannot start container {name}")]
    Prepare { name: String, source: prepare::PrepareError },
    #[error("{who} does not do {what}: remove it if the pod may run without, or choose another runtime")]
    Unsupported { who: String, what: &'static str },
    #[error("no range of users is free for the pod's user namespace: remove pods that have one")]
    NoUsers,
    #[error("cannot make the file for the termination message of container {name}: {source}")]
    LastWords { name: String, source: std::io::Error },
    #[error("cannot look after the pod any longer")]
    Watch { source: CallError },
    #[error("something of the pod is left, see `peapod ps -a`: {0}")]
    Left(String),
    #[error("no random numbers for the pod's uid: {0}")]
    Random(std::io::Error),
}

/// The exit status of a pod whose time was over, as that of timeout(1).
const OUT_OF_TIME: i32 = 124;

/// What all pods of a run have in common.
#[derive(Clone, Copy)]
pub(crate) struct RunContext<'a> {
    pub(crate) connection: &'a CriClient,
    pub(crate) args: &'a RunArgs,
    pub(crate) console: &'a Console,
    pub(crate) record: &'a RunRecord,
    /// There is one Pod, and there will be no others: lines need no pod's name.
    pub(crate) is_alone: bool,
}

/// Runs what is given to its end, and answers the exit status.
pub(crate) async fn run(context: RunContext<'_>, wishes: Wishes<'_>, interrupt: &Interrupt) -> Result<u8, RunError> {
    let code = fleet::run(context, wishes, interrupt).await?;
    Ok(interrupt.status().unwrap_or_else(|| exit_status(code)))
}

/// Runs one pod, from nothing to nothing, or to what is to be left of it.
async fn live(
    RunContext { connection, args, record, .. }: RunContext<'_>,
    pod: &Pod,
    (voice, remains): (Voice, RemainsWish),
    (lines, volumes): ((&StopLine, &RuntimeEvents, &ReportLine), VolumeLine),
) -> Result<RunOutcome, RunError> {
    // Whoever else wants the name finds this pod at the runtime, or this claim.
    let (base, endpoint, named) = (args.dir.clone(), connection.endpoint.clone(), pod.clone());
    let claim = off_thread(move || PodNameClaim::of(&base, &endpoint, &named))
        .await
        .unwrap_or(Err(VolumeError::Thread.into()))?;
    twin::refuse(connection, pod, &record.id).await?;
    let uid = new_uid()?;
    let handler = if args.runtime_handler.is_empty() { &pod.placement.handler } else { &args.runtime_handler };
    let support = RuntimeSupport::ask(connection, pod, (handler, &args.cgroup_parent), &uid).await?;
    if let Some(note) = support.note(pod) {
        voice.note(note).await;
    }
    let node = ThisNode::look();
    if let Some(note) = node.note(pod) {
        voice.note(note).await;
    }
    let facts = OwnerFacts { run: record.id.clone(), endpoint: connection.endpoint.clone() };
    // Held until all is removed: the owner of a folder that is left is gone.
    let (dir, _owner) = PodDir::make(&args.dir, (pod, &uid), facts).await?;
    let mut door = StopDoor::open(&dir.path);
    let making = PodMaking { _mark: MakingMark::set(&dir, pod), _claim: claim };
    let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let parts = SandboxParts {
        uid: &uid,
        dir: &dir.path,
        cgroup_parent: &args.cgroup_parent,
        run: &record.id,
        dns: dns::resolv_conf(&pod.network.dns, &resolv_conf),
        users: support.users,
        whole_limits: support.whole_limits,
    };
    let sandbox = messages::sandbox(pod, parts);
    let run = PodRun { connection, voice, pod, uid, dir, sandbox, node, support };
    let ran = run.go(handler, lines, volumes, (&mut door, making)).await;
    let patience = match ran {
        Err(RunError::Watch { .. }) => RuntimePatience::over(),
        _ => RuntimePatience::default(),
    };
    let left = run.finish(remains.of(ran.as_ref().ok()), patience).await;
    match (ran, left) {
        (Err(error), left) => {
            if let Err(left) = left {
                run.voice.note(left).await;
            }
            Err(error)
        }
        (Ok(_), Err(left)) => Err(left),
        (Ok(outcome), Ok(())) => {
            let tale = run.dir.tells_of_end().then(|| run.dir.path.clone());
            Ok(RunOutcome { tale, ..outcome })
        }
    }
}

/// What others see of a pod that no runtime knows yet.
struct PodMaking {
    _mark: MakingMark,
    _claim: PodNameClaim,
}

impl PodRun<'_> {
    /// From the images to the last container's end, or until somebody asks for an end.
    async fn go(
        &self,
        handler: &str,
        (asked, events, report): (&StopLine, &RuntimeEvents, &ReportLine),
        mut files: VolumeLine,
        (door, making): (&mut StopDoor, PodMaking),
    ) -> Result<RunOutcome, RunError> {
        let begun = Instant::now();
        let plan = LifePlan::of(self.pod);
        let deadline = plan.deadline.unwrap_or(FOREVER);
        let machine = LifeMachine::new(plan);
        let images = tokio::select! {
            biased;
            why = called_off(asked, door, begun + deadline) => return Ok(early(machine, begun, why)),
            pulled = async {
                // What can't be mounted is worth no pull.
                volumes::check(&self.dir, self.pod).await?;
                let pulled = images::ensure_all(self.connection, &self.sandbox, self.pod, self.voice.console()).await;
                Ok::<_, RunError>(pulled?)
            } => pulled?,
        };
        // After the pulls, which may take long: Secrets are there no longer than the pod.
        let mut filling = volumes::make_all(self);
        tokio::select! {
            biased;
            why = called_off(asked, door, begun + deadline) => {
                filling.give_up().await;
                return Ok(early(machine, begun, why));
            }
            made = filling.done() => made?,
        }
        let (mut stages, made_at) = (StageLine::begin(), Instant::now());
        let (sandbox_id, addresses) = tokio::select! {
            biased;
            // The first asking is looked at afterwards: a pod that is being made can't be stopped.
            _ = asked.beyond(StopAsked::Gracefully) => return Ok(early(machine, begun, LifeInput::Stop)),
            made = self.make_pod(handler) => made?,
        };
        drop(making);
        stages.add_pod(self.connection, &sandbox_id, made_at.elapsed()).await;
        let events = events.of(&sandbox_id);
        let running = RunningPod { run: self, sandbox_id, addresses, images };
        let supervisor = Supervisor::new(&running, machine, begun, (stages, report));
        let ran = supervisor.live(asked, (events, &mut files), door).await;
        files.give_up().await;
        ran
    }

    /// Makes the pod, and answers its id and its addresses.
    async fn make_pod(&self, handler: &str) -> Result<(String, Vec<String>), RunError> {
        let request =
            v1::RunPodSandboxRequest { config: Some(self.sandbox.clone()), runtime_handler: handler.to_owned() };
        let mut client = self.connection.runtime.clone();
        let made = call("RunPodSandbox", RUN_POD, client.run_pod_sandbox(request)).await;
        let sandbox_id = match made {
            Ok(made) => made.pod_sandbox_id,
            // Others are named by their ids, which nobody knows.
            Err(source) => {
                let others = crate::select::pods(self.connection).await.unwrap_or_default();
                let names: Vec<_> = others.iter().map(|pod| (pod.id.clone(), crate::select::pod_name(pod))).collect();
                return Err(RunError::Pod { source: source.reworded(&names) });
            }
        };
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox_id.clone(), verbose: false };
        let status = call("PodSandboxStatus", QUICK, client.pod_sandbox_status(request)).await;
        let status = status.map_err(|source| RunError::Pod { source })?.status.unwrap_or_default();
        let network = status.network.unwrap_or_default();
        let further = network.additional_ips.into_iter().map(|further| further.ip);
        let addresses: Vec<String> = std::iter::once(network.ip).chain(further).filter(|ip| !ip.is_empty()).collect();
        let address = addresses.first().map_or("the node's own address", String::as_str);
        let Pod { namespace, name, .. } = self.pod;
        self.voice.note(format_args!("pod {namespace}/{name} is up at {address}")).await;
        Ok((sandbox_id, addresses))
    }

    /// Removes everything, also a pod whose making did not come to an end here, but for what is to be left, which is
    /// stopped. A runtime that is away is waited for.
    async fn finish(&self, remains: Remains, mut patience: RuntimePatience) -> Result<(), RunError> {
        let labels = BTreeMap::from([(labels::UID.to_owned(), self.uid.clone())]);
        let filter = v1::PodSandboxFilter { label_selector: labels, ..Default::default() };
        let list = async || {
            let request = v1::ListPodSandboxRequest { filter: Some(filter.clone()) };
            let mut client = self.connection.runtime.clone();
            call("ListPodSandbox", QUICK, client.list_pod_sandbox(request)).await
        };
        let pods = patience.ask(list).await.map_err(|error| RunError::Left(error.to_string()))?.items;
        let mut errors = Vec::new();
        for pod in &pods {
            // What was done by somebody whose answer was lost is done once more, which changes nothing.
            errors.extend(loop {
                let mut errors = teardown::stop(self.connection, &pod.id, 0).await;
                if remains == Remains::Nothing {
                    errors.extend(teardown::remove(self.connection, &pod.id).await);
                }
                if !(errors.iter().any(CallError::is_unanswered) && patience.wait().await) {
                    break errors;
                }
            });
        }
        let mut left: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let remains = if pods.is_empty() { Remains::Nothing } else { remains };
        if left.is_empty() && remains != Remains::All {
            let dir = self.dir.clone();
            let remove = move || if remains == Remains::Tale { dir.leave_logs() } else { dir.remove() };
            let removed = off_thread(remove).await.and_then(|removed| removed);
            left.extend(removed.err().map(|error| format!("{}: {error}", self.dir.path.display())));
        }
        if left.is_empty() { Ok(()) } else { Err(RunError::Left(left.join("; "))) }
    }
}

/// Waits until a pod is not wanted any more of which nothing runs yet.
async fn called_off(asked: &StopLine, door: &mut StopDoor, deadline: Instant) -> LifeInput {
    tokio::select! {
        biased;
        _ = asked.beyond(StopAsked::No) => LifeInput::Stop,
        _ = door.asked() => LifeInput::Stop,
        () = tokio::time::sleep_until(deadline) => LifeInput::Time,
    }
}

/// More than any pod has.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The end of a pod of which nothing has been started.
fn early(mut machine: LifeMachine, begun: Instant, input: LifeInput) -> RunOutcome {
    let ends = machine.step(begun.elapsed(), input).into_iter().find_map(|action| match action {
        LifeAction::End(outcome) => Some(outcome),
        _ => None,
    });
    let outcome = ends.unwrap_or(LifeOutcome::Asked);
    RunOutcome { code: machine.code(), outcome, report: machine.report(), tale: None }
}

impl RunOutcome {
    /// Whether it has ended by itself, well or not.
    fn is_own(&self) -> bool {
        matches!(self.outcome, LifeOutcome::Finished | LifeOutcome::DeadlineExceeded)
    }

    /// What the first container ended with that did not end well when somebody else stopped the pod.
    fn code_of_stop(&self) -> Option<i32> {
        let mut codes = self.report.members.iter().filter_map(|member| member.exit_code).filter(|code| *code != 0);
        codes.next().filter(|_| matches!(self.outcome, LifeOutcome::Asked | LifeOutcome::Elsewhere))
    }

    /// What the process is to end with.
    fn code(&self) -> i32 {
        if self.code == 0 && self.outcome == LifeOutcome::DeadlineExceeded { OUT_OF_TIME } else { self.code }
    }
}

/// A random uid, in the form of UUID version 4.
fn new_uid() -> Result<String, RunError> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| RunError::Random(errno.into()))?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts = [&bytes[..4], &bytes[4..6], &bytes[6..8], &bytes[8..10], &bytes[10..]];
    Ok(parts.map(hex).join("-"))
}

/// An exit status has 8 bits, and a failure must stay one.
fn exit_status(code: i32) -> u8 {
    match u8::try_from(code) {
        Ok(code) => code,
        Err(_) => 1.max((code & 0xff) as u8),
    }
}
