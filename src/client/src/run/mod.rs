//! `peapod run`: a Pod in the foreground, the way a kubelet runs it, from its images to its removal.

mod backoff;
mod dns;
mod env;
mod facts;
#[cfg(test)]
mod field_tests;
#[cfg(test)]
mod golden;
mod host_paths;
mod images;
mod kernel_mounts;
mod launch;
mod messages;
mod ownership;
mod payload;
mod prepare;
mod resources;
mod security;
mod subpath;
mod supervise;
mod support;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeMap;

use peapod_api::v1;

use crate::cli::RunArgs;
use crate::connect::{CallError, CriClient, QUICK, RUN_POD, call};
use crate::console::Console;
use crate::interrupt::Interrupt;
use crate::manifest::{Pod, RestartPolicy};
use crate::{labels, teardown};

use facts::{LaunchFacts, ThisNode};
use images::ContainerImage;
use launch::{PodRun, RunningPod};
use messages::SandboxParts;
use supervise::{RunOutcome, Supervisor};
use support::RuntimeSupport;
pub(crate) use volumes::PodDir;

/// Why a pod could not be run. What was made of it is removed again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(
        "pod {namespace}/{name} runs already, with the id {id}: stop it with `peapod stop {id}`, or give this one another name"
    )]
    Runs { namespace: String, name: String, id: String },
    #[error(transparent)]
    Image(#[from] images::ImageError),
    #[error(transparent)]
    Volume(#[from] volumes::VolumeError),
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
    #[error("cannot look after the pod any longer")]
    Watch { source: CallError },
    #[error("something of the pod is left, see `peapod ps -a`: {0}")]
    Left(String),
    #[error("no random numbers for the pod's uid: {0}")]
    Random(std::io::Error),
}

/// Runs the pod to its end and answers the exit status.
pub(crate) async fn run(
    connection: &CriClient,
    pod: &Pod,
    args: &RunArgs,
    console: &Console,
    interrupt: &Interrupt,
) -> Result<u8, RunError> {
    refuse_twin(connection, pod).await?;
    host_paths::check(&pod.volumes)?;
    let uid = new_uid()?;
    let handler = if args.runtime_handler.is_empty() { &pod.placement.handler } else { &args.runtime_handler };
    let support = RuntimeSupport::ask(connection, pod, handler, &uid).await?;
    let node = ThisNode::look();
    let dir = PodDir::create(&args.dir, &LaunchFacts { pod, uid: &uid, node: &node, addresses: &[] })?;
    let resolv_conf = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let sandbox = messages::sandbox(
        pod,
        SandboxParts {
            uid: &uid,
            dir: &dir.path,
            cgroup_parent: &args.cgroup_parent,
            dns: dns::resolv_conf(&pod.network.dns, &resolv_conf),
            users: support.users,
        },
    );
    let run = PodRun { connection, console, pod, uid, dir, sandbox, node, support };
    let ran = run.go(handler, interrupt).await;
    let left = run.finish(args.keep).await;
    match (ran, left) {
        (Err(error), left) => {
            if let Err(left) = left {
                console.note(left.to_string()).await;
            }
            Err(error)
        }
        (Ok(_), Err(left)) => Err(left),
        (Ok(code), Ok(())) => Ok(interrupt.status().unwrap_or_else(|| exit_status(code))),
    }
}

/// Two pods of one name could not be told apart afterwards.
async fn refuse_twin(connection: &CriClient, pod: &Pod) -> Result<(), RunError> {
    let labels = BTreeMap::from([
        (labels::POD.to_owned(), pod.name.clone()),
        (labels::NAMESPACE.to_owned(), pod.namespace.clone()),
    ]);
    let ready = v1::PodSandboxStateValue { state: v1::PodSandboxState::SandboxReady.into() };
    let filter = v1::PodSandboxFilter { state: Some(ready), label_selector: labels, ..Default::default() };
    let request = v1::ListPodSandboxRequest { filter: Some(filter) };
    let mut client = connection.runtime.clone();
    let list = call("ListPodSandbox", QUICK, client.list_pod_sandbox(request)).await;
    match list.map_err(|source| RunError::Pod { source })?.items.first() {
        Some(twin) => Err(RunError::Runs {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            id: crate::select::short(&twin.id).to_owned(),
        }),
        None => Ok(()),
    }
}

impl PodRun<'_> {
    /// From the images to the last container's end, or until somebody asks for an end.
    async fn go(&self, handler: &str, interrupt: &Interrupt) -> Result<i32, RunError> {
        let images = tokio::select! {
            biased;
            () = interrupt.first() => return Ok(0),
            pulled = self.pull() => pulled?,
        };
        let (sandbox_id, addresses) = tokio::select! {
            biased;
            // The first signal is looked at afterwards: a pod that is being made can't be stopped.
            () = interrupt.second() => return Ok(0),
            made = self.make_pod(handler) => made?,
        };
        let (running, policy) = (RunningPod { run: self, sandbox_id, addresses, images }, self.pod.restart);
        let once = if policy == RestartPolicy::Never { policy } else { RestartPolicy::OnFailure };
        for index in 0..self.pod.init_containers.len() {
            let init = &self.pod.init_containers[index..=index];
            match running.watch(init, once, interrupt).await? {
                RunOutcome::Ended { code: 0 } => {}
                outcome => return Ok(outcome.code()),
            }
        }
        running.watch(&self.pod.containers, policy, interrupt).await.map(|outcome| outcome.code())
    }

    /// The image of each container, by its name, and of volumes.
    async fn pull(&self) -> Result<BTreeMap<String, ContainerImage>, RunError> {
        let mut images = BTreeMap::<String, ContainerImage>::new();
        let wanted = images::wanted(self.pod);
        let with = (&self.sandbox, self.pod.placement.pull_secrets.as_slice());
        for one in &wanted {
            // Two containers of one image and policy need it once.
            let twin = wanted
                .iter()
                .find(|other| (&other.image, other.pull) == (&one.image, one.pull) && images.contains_key(&other.key));
            let image = match twin.and_then(|twin| images.get(&twin.key)) {
                Some(image) => image.clone(),
                None => images::ensure(self.connection, with, one, self.console).await?,
            };
            images.insert(one.key.clone(), image);
        }
        Ok(images)
    }

    /// Makes the pod, and answers its id and its addresses.
    async fn make_pod(&self, handler: &str) -> Result<(String, Vec<String>), RunError> {
        let request =
            v1::RunPodSandboxRequest { config: Some(self.sandbox.clone()), runtime_handler: handler.to_owned() };
        let mut client = self.connection.runtime.clone();
        let made = call("RunPodSandbox", RUN_POD, client.run_pod_sandbox(request)).await;
        let sandbox_id = made.map_err(|source| RunError::Pod { source })?.pod_sandbox_id;
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox_id.clone(), verbose: false };
        let status = call("PodSandboxStatus", QUICK, client.pod_sandbox_status(request)).await;
        let status = status.map_err(|source| RunError::Pod { source })?.status.unwrap_or_default();
        let network = status.network.unwrap_or_default();
        let further = network.additional_ips.into_iter().map(|further| further.ip);
        let addresses: Vec<String> = std::iter::once(network.ip).chain(further).filter(|ip| !ip.is_empty()).collect();
        let address = addresses.first().map_or("the node's own address", String::as_str);
        let Pod { namespace, name, .. } = self.pod;
        self.console.note(format!("pod {namespace}/{name} is up at {address}")).await;
        Ok((sandbox_id, addresses))
    }

    /// Removes everything, also a pod whose making did not come to an end here; with `keep` it only stops it.
    async fn finish(&self, keep: bool) -> Result<(), RunError> {
        let labels = BTreeMap::from([(labels::UID.to_owned(), self.uid.clone())]);
        let filter = v1::PodSandboxFilter { label_selector: labels, ..Default::default() };
        let request = v1::ListPodSandboxRequest { filter: Some(filter) };
        let mut client = self.connection.runtime.clone();
        let list = call("ListPodSandbox", QUICK, client.list_pod_sandbox(request)).await;
        let pods = list.map_err(|error| RunError::Left(error.to_string()))?.items;
        let mut errors = Vec::new();
        for pod in &pods {
            errors.extend(teardown::stop(self.connection, &pod.id, 0).await);
            if !keep {
                errors.extend(teardown::remove(self.connection, &pod.id).await);
            }
        }
        let mut left: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let kept = keep && !pods.is_empty();
        if left.is_empty() && !kept {
            left.extend(self.dir.remove().err().map(|error| format!("{}: {error}", self.dir.path.display())));
        }
        if left.is_empty() { Ok(()) } else { Err(RunError::Left(left.join("; "))) }
    }
}

impl RunningPod<'_> {
    /// Runs these containers to their ends, or until somebody asks for an end. They have stopped when this returns.
    async fn watch(
        &self,
        containers: &[crate::manifest::Container],
        policy: RestartPolicy,
        interrupt: &Interrupt,
    ) -> Result<RunOutcome, RunError> {
        let mut supervisor = Supervisor::start(self, containers, policy, interrupt).await?;
        let outcome = supervisor.watch(interrupt).await;
        match &outcome {
            Ok(RunOutcome::Ended { .. }) => return outcome,
            Ok(RunOutcome::Asked) => self.stop(interrupt).await,
            Ok(RunOutcome::Elsewhere { .. }) => self.run.console.note("the pod was stopped by somebody else").await,
            Err(_) => {}
        }
        supervisor.drain().await;
        outcome
    }

    /// Stops the pod within its grace period; a second signal kills what still runs.
    async fn stop(&self, interrupt: &Interrupt) {
        let grace = self.run.pod.grace_seconds;
        self.run.console.note(format!("stopping; what still runs in {grace} s is killed, with Ctrl-C at once")).await;
        let mut errors = tokio::select! {
            biased;
            errors = teardown::stop(self.run.connection, &self.sandbox_id, grace) => Some(errors),
            () = interrupt.second() => None,
        };
        if errors.is_none() {
            self.run.console.note("killing").await;
            errors = Some(teardown::stop(self.run.connection, &self.sandbox_id, 0).await);
        }
        for error in errors.unwrap_or_default() {
            self.run.console.note(error.to_string()).await;
        }
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
