//! Stops and removes pods: every step is tried, whatever went wrong before it.

use futures_util::future::join_all;
use peapod_api::v1;

use crate::connect::{CHANGE, CallError, CriClient, QUICK, call};
use crate::labels;

/// Kubernetes' own grace, in seconds.
pub(crate) const GRACE: u32 = 30;

/// Stops all containers of a pod at the same time, then the pod; returns what went wrong.
pub(crate) async fn stop(connection: &CriClient, pod: &str, grace: u32) -> Vec<CallError> {
    let mut errors = Vec::new();
    match containers(connection, pod).await {
        Ok(containers) => {
            let running =
                containers.iter().filter(|container| container.state() != v1::ContainerState::ContainerExited);
            let stops = join_all(running.map(|container| stop_container(connection, &container.id, grace))).await;
            errors.extend(stops.into_iter().filter_map(Result::err));
        }
        Err(error) => errors.push(error),
    }
    let request = v1::StopPodSandboxRequest { pod_sandbox_id: pod.to_owned() };
    let stopped = call("StopPodSandbox", CHANGE, connection.runtime.clone().stop_pod_sandbox(request)).await;
    errors.extend(stopped.err().filter(|error| !error.is_not_found()));
    errors
}

/// Removes a pod's containers and the pod; returns what went wrong.
pub(crate) async fn remove(connection: &CriClient, pod: &str) -> Vec<CallError> {
    let mut errors = Vec::new();
    match containers(connection, pod).await {
        Ok(containers) => {
            for container in containers {
                let request = v1::RemoveContainerRequest { container_id: container.id };
                let removed =
                    call("RemoveContainer", CHANGE, connection.runtime.clone().remove_container(request)).await;
                errors.extend(removed.err().filter(|error| !error.is_not_found()));
            }
        }
        Err(error) => errors.push(error),
    }
    let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod.to_owned() };
    let removed = call("RemovePodSandbox", CHANGE, connection.runtime.clone().remove_pod_sandbox(request)).await;
    errors.extend(removed.err().filter(|error| !error.is_not_found()));
    errors
}

/// The containers of a pod, whatever their state.
pub(crate) async fn containers(connection: &CriClient, pod: &str) -> Result<Vec<v1::Container>, CallError> {
    let filter = v1::ContainerFilter { pod_sandbox_id: pod.to_owned(), ..Default::default() };
    let request = v1::ListContainersRequest { filter: Some(filter) };
    let list = call("ListContainers", QUICK, connection.runtime.clone().list_containers(request)).await?;
    Ok(list.containers)
}

/// What the pod's manifest said, which its containers remember.
pub(crate) async fn own_grace(connection: &CriClient, pod: &str) -> Result<u32, CallError> {
    let there = containers(connection, pod).await?;
    let said = there.iter().filter_map(|container| container.annotations.get(labels::GRACE)?.parse().ok());
    Ok(said.max().unwrap_or(GRACE))
}

async fn stop_container(connection: &CriClient, id: &str, grace: u32) -> Result<(), CallError> {
    let request = v1::StopContainerRequest { container_id: id.to_owned(), timeout: grace.into() };
    let deadline = CHANGE + std::time::Duration::from_secs(grace.into());
    match call("StopContainer", deadline, connection.runtime.clone().stop_container(request)).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
