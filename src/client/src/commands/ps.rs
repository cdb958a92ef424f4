//! `peapod ps`.

use std::collections::BTreeMap;

use peapod_api::v1;
use serde::Serialize;

use super::pod_state::{SeenContainer, ShownState};
use crate::cli::{OutputFormat, PsArgs};
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::run::{LifePhase, RunReport};
use crate::table::table;
use crate::targets::{self, Whole};
use crate::{labels, runs, select, units};

/// Of a container that has ended.
const EXITED: &str = "Exited";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedPod {
    /// Empty as long as the pod is being made.
    id: String,
    name: String,
    namespace: String,
    uid: String,
    #[serde(flatten)]
    state: ListedState,
    created_at: Option<String>,
    ips: Vec<String>,
    labels: BTreeMap<String, String>,
    containers: Vec<ListedContainer>,
    /// The `peapod run` that made it.
    run: Option<ListedRun>,
    #[serde(skip)]
    created: i64,
}

/// How it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedState {
    /// All its containers are ready.
    ready: bool,
    /// As `kubectl get pods` calls it.
    status: String,
    containers_ready: usize,
    containers_wanted: usize,
    /// Of all containers together.
    restarts: u32,
    /// Its own place, for what is in it, is there.
    sandbox_ready: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedRun {
    id: String,
    file: Option<String>,
    /// The process that looks after the pod.
    pid: Option<i32>,
    detached: bool,
    /// Whether it still does.
    lives: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedContainer {
    id: String,
    name: String,
    attempt: u32,
    image: String,
    state: &'static str,
    started_at: Option<String>,
    finished_at: Option<String>,
    exit_code: Option<i32>,
    reason: Option<String>,
    #[serde(skip)]
    since: i64,
}

/// Lists pods, the oldest first, with their containers in the order of their starts.
pub(crate) async fn ps(connection: &CriClient, args: &PsArgs) -> anyhow::Result<String> {
    let whole = Whole::look(connection).await?;
    let request = v1::ListContainersRequest { filter: None };
    let containers = call("ListContainers", QUICK, connection.runtime.clone().list_containers(request)).await?;
    let mut pods = Vec::new();
    for sandbox in &whole.pods {
        if sandbox.id.is_empty() {
            pods.push(being_made(&whole, sandbox));
            continue;
        }
        if !targets::is_ready(sandbox) && !args.all {
            continue;
        }
        let mut own: Vec<_> = containers.containers.iter().filter(|c| c.pod_sandbox_id == sandbox.id).collect();
        own.sort_by_key(|container| (container.created_at, &container.id));
        pods.extend(pod(connection, sandbox, &own, args.all).await?);
    }
    if args.output == OutputFormat::Json {
        return super::json(&pods);
    }
    let rows: Vec<Vec<String>> = pods.iter().flat_map(rows).collect();
    let head =
        ["POD", "NAMESPACE", "READY", "STATUS", "IP", "AGE", "CONTAINER", "STATE", "RESTARTS", "IMAGE", "ID", "RUN"];
    // Where a kubelet makes the pods, no run does.
    let columns = if pods.iter().any(|pod| pod.run.is_some()) { head.len() } else { head.len() - 1 };
    Ok(table(&head[..columns], &rows))
}

/// One that no runtime has yet.
fn being_made(whole: &Whole, sandbox: &v1::PodSandbox) -> ListedPod {
    let made = whole.being_made.iter().find(|made| made.is(sandbox));
    let state = ShownState::being_made(made.map_or(0, |made| made.containers));
    listed(sandbox, state, (Vec::new(), Vec::new()))
}

fn listed(sandbox: &v1::PodSandbox, state: ShownState, inside: (Vec<String>, Vec<ListedContainer>)) -> ListedPod {
    let metadata = sandbox.metadata.clone().unwrap_or_default();
    let sandbox_ready = targets::is_ready(sandbox);
    ListedPod {
        id: sandbox.id.clone(),
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        state: ListedState {
            ready: sandbox_ready && state.containers > 0 && state.ready == state.containers,
            status: state.status,
            containers_ready: state.ready,
            containers_wanted: state.containers,
            restarts: state.restarts,
            sandbox_ready,
        },
        created_at: units::timestamp(sandbox.created_at),
        ips: inside.0,
        labels: sandbox.labels.clone(),
        containers: inside.1,
        run: run_of(sandbox),
        created: sandbox.created_at,
    }
}

/// Of a pod that `peapod run` made.
fn run_of(sandbox: &v1::PodSandbox) -> Option<ListedRun> {
    let (base, id) = targets::run_of(sandbox)?;
    let file = sandbox.annotations.get(labels::RUN_FILE).cloned();
    let known = runs::known(&base, &id);
    Some(ListedRun {
        id,
        file,
        pid: known.as_ref().map(|run| run.pid),
        detached: known.as_ref().is_some_and(|run| run.options.detached),
        lives: known.is_some_and(|run| run.lives),
    })
}

/// Nothing if the pod was removed meanwhile.
async fn pod(
    connection: &CriClient,
    sandbox: &v1::PodSandbox,
    own: &[&v1::Container],
    all: bool,
) -> Result<Option<ListedPod>, CallError> {
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: sandbox.id.clone(), verbose: false };
    let status = match call("PodSandboxStatus", QUICK, connection.runtime.clone().pod_sandbox_status(request)).await {
        Ok(answer) => answer.status.unwrap_or_default(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let network = status.network.unwrap_or_default();
    let further = network.additional_ips.into_iter().map(|ip| ip.ip);
    let ips = std::iter::once(network.ip).chain(further).filter(|ip| !ip.is_empty()).collect();
    let (mut containers, mut last) = (Vec::new(), Vec::new());
    for (index, one) in own.iter().enumerate() {
        let name = select::container_name(one);
        let is_last = !own[index + 1..].iter().any(|later| select::container_name(later) == name);
        if (is_last || all)
            && let Some((container, seen)) = container(connection, one).await?
        {
            containers.push((container, is_last));
            last.extend(is_last.then_some(seen));
        }
    }
    let report = report(sandbox);
    let state = match &report {
        Some(report) => ShownState::of_report(report),
        None => ShownState::of_runtime(targets::is_ready(sandbox), &last),
    };
    for (container, _) in containers.iter_mut().filter(|(_, is_last)| *is_last) {
        let mut reported = report.iter().flat_map(|report| &report.containers);
        let waits = reported.any(|one| one.name == container.name && one.state == "CrashLoopBackOff");
        if waits && container.exit_code.is_some() {
            container.state = "CrashLoopBackOff";
        }
    }
    // What has done its work is of interest only where nothing else is.
    let is_done =
        |(container, _): &(ListedContainer, bool)| container.exit_code == Some(0) && container.state == EXITED;
    if !all && !containers.iter().all(is_done) {
        containers.retain(|container| !is_done(container));
    }
    let containers = containers.into_iter().map(|(container, _)| container).collect();
    Ok(Some(listed(sandbox, state, (ips, containers))))
}

/// What the `peapod run` of a pod says of it, if it lives, or has seen the pod's end.
fn report(sandbox: &v1::PodSandbox) -> Option<RunReport> {
    let report = RunReport::read(targets::run_dir(sandbox)?)?;
    let (base, id) = targets::run_of(sandbox)?;
    let is_over = matches!(report.phase, LifePhase::Succeeded | LifePhase::Failed);
    let lives = || runs::known(&base, &id).is_some_and(|run| run.lives);
    (if targets::is_ready(sandbox) { lives() } else { is_over }).then_some(report)
}

/// Nothing if the container was removed meanwhile.
async fn container(
    connection: &CriClient,
    own: &v1::Container,
) -> Result<Option<(ListedContainer, SeenContainer)>, CallError> {
    let request = v1::ContainerStatusRequest { container_id: own.id.clone(), verbose: false };
    let status = match call("ContainerStatus", QUICK, connection.runtime.clone().container_status(request)).await {
        Ok(answer) => answer.status.unwrap_or_default(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let exited = status.state() == v1::ContainerState::ContainerExited;
    let spec = own.image.clone().unwrap_or_default();
    let (name, image) = (select::container_name(own).to_owned(), [spec.user_specified_image, spec.image]);
    let attempt = own.metadata.as_ref().map(|metadata| metadata.attempt).unwrap_or_default();
    let seen = SeenContainer {
        state: status.state(),
        exit_code: status.exit_code,
        created_at: own.created_at,
        finished_at: status.finished_at,
        attempt,
    };
    let listed = ListedContainer {
        id: own.id.clone(),
        name,
        attempt,
        image: image.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
        state: match status.state() {
            v1::ContainerState::ContainerCreated => "Created",
            v1::ContainerState::ContainerRunning => "Running",
            v1::ContainerState::ContainerExited => EXITED,
            v1::ContainerState::ContainerUnknown => "Unknown",
        },
        started_at: units::timestamp(status.started_at),
        finished_at: units::timestamp(status.finished_at),
        exit_code: exited.then_some(status.exit_code),
        reason: exited.then_some(status.reason),
        since: if exited { status.finished_at } else { status.started_at },
    };
    Ok(Some((listed, seen)))
}

/// One for each container; the pod's own columns stand in the first.
fn rows(pod: &ListedPod) -> Vec<Vec<String>> {
    let ready = format!("{}/{}", pod.state.containers_ready, pod.state.containers_wanted);
    let ip = pod.ips.first().map_or("-", String::as_str);
    let age = units::age(pod.created);
    let own = [pod.name.as_str(), &pod.namespace, &ready, &pod.state.status, ip, &age].map(str::to_owned);
    let run = pod.run.as_ref().map_or_else(String::new, |run| match (run.lives, pod.state.sandbox_ready) {
        (true, _) | (false, false) => run.id.clone(),
        // Nobody starts its containers again.
        (false, true) => format!("{} (killed)", run.id),
    });
    if pod.containers.is_empty() {
        let id = if pod.id.is_empty() { "-" } else { select::short(&pod.id) };
        let none = ["-", "-", "-", "-", id, &run].map(str::to_owned);
        return vec![own.into_iter().chain(none).collect()];
    }
    let row = |(index, container): (usize, &ListedContainer)| {
        let state = match &container.exit_code {
            Some(code) => format!("{} ({code}) {} ago", container.state, units::age(container.since)),
            None => container.state.to_owned(),
        };
        let restarts = container.attempt.to_string();
        let id = select::short(&container.id).to_owned();
        let first = if index == 0 { own.clone() } else { [const { String::new() }; 6] };
        let run = if index == 0 { run.clone() } else { String::new() };
        first.into_iter().chain([container.name.clone(), state, restarts, container.image.clone(), id, run]).collect()
    };
    pod.containers.iter().enumerate().map(row).collect()
}
