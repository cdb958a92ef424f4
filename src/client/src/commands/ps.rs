//! `peapod ps`.

use std::collections::BTreeMap;

use peapod_api::v1;
use serde::Serialize;

use crate::cli::{OutputFormat, PsArgs};
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::table::table;
use crate::{labels, runs, select, targets, units};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedPod {
    id: String,
    name: String,
    namespace: String,
    uid: String,
    ready: bool,
    created_at: Option<String>,
    ips: Vec<String>,
    labels: BTreeMap<String, String>,
    containers: Vec<ListedContainer>,
    /// The `peapod run` that made it.
    run: Option<ListedRun>,
    #[serde(skip)]
    created: i64,
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
    let request = v1::ListPodSandboxRequest { filter: None };
    let list = call("ListPodSandbox", QUICK, connection.runtime.clone().list_pod_sandbox(request)).await?;
    let request = v1::ListContainersRequest { filter: None };
    let containers = call("ListContainers", QUICK, connection.runtime.clone().list_containers(request)).await?;
    let mut sandboxes = list.items;
    sandboxes.sort_by_key(|sandbox| (sandbox.created_at, sandbox.id.clone()));
    let mut pods = Vec::new();
    for sandbox in sandboxes {
        let ready = sandbox.state() == v1::PodSandboxState::SandboxReady;
        if !ready && !args.all {
            continue;
        }
        let mut own: Vec<_> = containers.containers.iter().filter(|c| c.pod_sandbox_id == sandbox.id).collect();
        own.sort_by_key(|container| (container.created_at, &container.id));
        pods.extend(pod(connection, sandbox, ready, &own, args.all).await?);
    }
    if args.output == OutputFormat::Json {
        return super::json(&pods);
    }
    let rows: Vec<Vec<String>> = pods.iter().flat_map(rows).collect();
    let head = ["POD", "NAMESPACE", "READY", "IP", "AGE", "CONTAINER", "STATE", "RESTARTS", "IMAGE", "ID", "RUN"];
    // Where a kubelet makes the pods, no run does.
    let columns = if pods.iter().any(|pod| pod.run.is_some()) { head.len() } else { head.len() - 1 };
    Ok(table(&head[..columns], &rows))
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
        detached: known.as_ref().is_some_and(|run| run.detached),
        lives: known.is_some_and(|run| run.lives),
    })
}

/// Nothing if the pod was removed meanwhile.
async fn pod(
    connection: &CriClient,
    sandbox: v1::PodSandbox,
    ready: bool,
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
    let mut containers = Vec::new();
    for own in own {
        let runs = own.state() == v1::ContainerState::ContainerRunning;
        if runs || all {
            containers.extend(container(connection, own).await?);
        }
    }
    let run = run_of(&sandbox);
    let metadata = sandbox.metadata.unwrap_or_default();
    Ok(Some(ListedPod {
        id: sandbox.id,
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        ready,
        created_at: units::timestamp(sandbox.created_at),
        ips,
        labels: sandbox.labels,
        containers,
        run,
        created: sandbox.created_at,
    }))
}

/// Nothing if the container was removed meanwhile.
async fn container(connection: &CriClient, own: &v1::Container) -> Result<Option<ListedContainer>, CallError> {
    let request = v1::ContainerStatusRequest { container_id: own.id.clone(), verbose: false };
    let status = match call("ContainerStatus", QUICK, connection.runtime.clone().container_status(request)).await {
        Ok(answer) => answer.status.unwrap_or_default(),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let exited = status.state() == v1::ContainerState::ContainerExited;
    let spec = own.image.clone().unwrap_or_default();
    let (name, image) = (select::container_name(own).to_owned(), [spec.user_specified_image, spec.image]);
    Ok(Some(ListedContainer {
        id: own.id.clone(),
        name,
        attempt: own.metadata.as_ref().map(|metadata| metadata.attempt).unwrap_or_default(),
        image: image.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
        state: match status.state() {
            v1::ContainerState::ContainerCreated => "Created",
            v1::ContainerState::ContainerRunning => "Running",
            v1::ContainerState::ContainerExited => "Exited",
            v1::ContainerState::ContainerUnknown => "Unknown",
        },
        started_at: units::timestamp(status.started_at),
        finished_at: units::timestamp(status.finished_at),
        exit_code: exited.then_some(status.exit_code),
        reason: exited.then_some(status.reason),
        since: if exited { status.finished_at } else { status.started_at },
    }))
}

/// One for each container; the pod's own columns stand in the first.
fn rows(pod: &ListedPod) -> Vec<Vec<String>> {
    let ready = if pod.ready { "yes" } else { "no" };
    let ip = pod.ips.first().map_or("-", String::as_str);
    let age = units::age(pod.created);
    let own = [pod.name.as_str(), &pod.namespace, ready, ip, &age].map(str::to_owned);
    let run = pod.run.as_ref().map_or_else(String::new, |run| match (run.lives, pod.ready) {
        (true, _) | (false, false) => run.id.clone(),
        // Nobody starts its containers again.
        (false, true) => format!("{} (killed)", run.id),
    });
    if pod.containers.is_empty() {
        let none = ["-", "-", "-", "-", select::short(&pod.id), &run].map(str::to_owned);
        return vec![own.into_iter().chain(none).collect()];
    }
    let row = |(index, container): (usize, &ListedContainer)| {
        let state = match &container.exit_code {
            Some(code) => format!("{} ({code}) {} ago", container.state, units::age(container.since)),
            None => container.state.to_owned(),
        };
        let restarts = container.attempt.to_string();
        let id = select::short(&container.id).to_owned();
        let first = if index == 0 { own.clone() } else { [const { String::new() }; 5] };
        let run = if index == 0 { run.clone() } else { String::new() };
        first.into_iter().chain([container.name.clone(), state, restarts, container.image.clone(), id, run]).collect()
    };
    pod.containers.iter().enumerate().map(row).collect()
}
