//! Finds the pod or container that a user means.

use peapod_api::v1;

use crate::connect::{CallError, CriClient, QUICK, call};
use crate::{labels, teardown};

/// Why nothing, or too much, was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelectError {
    #[error("there is no pod `{wanted}`; `peapod ps -a` lists all")]
    NoPod { wanted: String },
    #[error("`{wanted}` can be any of {}: write one of these", names.join(", "))]
    ManyPods { wanted: String, names: Vec<String> },
    #[error("pod {pod} has no container `{wanted}`; it has {}", names.join(", "))]
    NoContainer { pod: String, wanted: String, names: Vec<String> },
    #[error("pod {pod} has no containers")]
    NoContainers { pod: String },
    #[error("no container of pod {pod} is running")]
    NoneRuns { pod: String },
    #[error(transparent)]
    Call(#[from] CallError),
}

/// All pods, whatever their state.
pub(crate) async fn pods(connection: &CriClient) -> Result<Vec<v1::PodSandbox>, CallError> {
    let request = v1::ListPodSandboxRequest { filter: None };
    Ok(call("ListPodSandbox", QUICK, connection.runtime.clone().list_pod_sandbox(request)).await?.items)
}

/// A pod by name, `namespace/name` or the start of its id. Of several with one name the ready one is meant.
pub(crate) async fn pod(connection: &CriClient, wanted: &str) -> Result<v1::PodSandbox, SelectError> {
    choose(pods(connection).await?, wanted)
}

/// The same of those that there are.
pub(crate) fn choose(pods: Vec<v1::PodSandbox>, wanted: &str) -> Result<v1::PodSandbox, SelectError> {
    let (named, mut by_id): (Vec<_>, Vec<_>) =
        pods.into_iter().filter(|pod| is_meant(pod, wanted)).partition(|pod| is_named(pod, wanted));
    let (mut ready, mut gone): (Vec<_>, Vec<_>) =
        named.into_iter().partition(|pod| pod.state() == v1::PodSandboxState::SandboxReady);
    // The newest first.
    gone.sort_by_key(|pod| std::cmp::Reverse(pod.created_at));
    let several_gone = gone.iter().any(|pod| namespace(pod) != namespace(&gone[0]));
    match (ready.len(), gone.is_empty(), by_id.len()) {
        (1, ..) => Ok(ready.swap_remove(0)),
        (0, false, _) if !several_gone => Ok(gone.swap_remove(0)),
        (0, true, 1) => Ok(by_id.swap_remove(0)),
        (0, true, 0) => Err(SelectError::NoPod { wanted: wanted.to_owned() }),
        _ => {
            let found: Vec<_> = ready.iter().chain(&gone).chain(&by_id).collect();
            // Of a name, the newest of each namespace is meant by that; else only ids tell them apart.
            let mut names: Vec<String> = found.iter().map(|pod| pod_name(pod)).collect();
            names.sort();
            names.dedup();
            if names.len() < found.len() && (ready.len() > 1 || by_id.len() > 1) {
                names = found.iter().map(|pod| format!("{} ({})", short(&pod.id), pod_name(pod))).collect();
            }
            Err(SelectError::ManyPods { wanted: wanted.to_owned(), names })
        }
    }
}

/// Containers of a pod in the order of their starts, the last of each name; those that are wanted, or all.
pub(crate) async fn containers(
    connection: &CriClient,
    pod: &v1::PodSandbox,
    wanted: &[String],
) -> Result<Vec<v1::Container>, SelectError> {
    let mut all = teardown::containers(connection, &pod.id).await?;
    all.sort_by_key(|container| (container.created_at, container.id.clone()));
    let mut last: Vec<v1::Container> = Vec::new();
    for container in all {
        match last.iter_mut().find(|other| container_name(other) == container_name(&container)) {
            Some(other) => *other = container,
            None => last.push(container),
        }
    }
    let (pod, names) = (pod_name(pod), last.iter().map(|c| container_name(c).to_owned()).collect::<Vec<_>>());
    if last.is_empty() {
        return Err(SelectError::NoContainers { pod });
    }
    if let Some(wanted) = wanted.iter().find(|wanted| !names.contains(wanted)) {
        return Err(SelectError::NoContainer { pod, wanted: wanted.clone(), names });
    }
    last.retain(|container| wanted.is_empty() || wanted.iter().any(|wanted| wanted == container_name(container)));
    Ok(last)
}

/// The container to run a command in: the one that is named, or the first that runs.
pub(crate) async fn running(
    connection: &CriClient,
    pod: &v1::PodSandbox,
    wanted: Option<&String>,
) -> Result<v1::Container, SelectError> {
    let found = containers(connection, pod, wanted.map(std::slice::from_ref).unwrap_or_default()).await?;
    let runs = |container: &v1::Container| container.state() == v1::ContainerState::ContainerRunning;
    // A named one is tried whatever its state: the runtime says best what is wrong with it.
    let mut fit = found.into_iter().filter(|container| wanted.is_some() || runs(container));
    fit.next().ok_or_else(|| SelectError::NoneRuns { pod: pod_name(pod) })
}

/// The container to take part in: as [`running`], of a pod as [`pod`]; or one by the start of its own id.
pub(crate) async fn target(
    connection: &CriClient,
    wanted: &str,
    container: Option<&String>,
) -> Result<v1::Container, SelectError> {
    let none = match pod(connection, wanted).await {
        Ok(pod) => return running(connection, &pod, container).await,
        Err(none @ SelectError::NoPod { .. }) if container.is_none() => none,
        Err(error) => return Err(error),
    };
    let request = v1::ListContainersRequest { filter: None };
    let list = call("ListContainers", QUICK, connection.runtime.clone().list_containers(request)).await?;
    let mut found: Vec<_> = list.containers.into_iter().filter(|container| is_start(wanted, &container.id)).collect();
    match found.len() {
        0 => Err(none),
        1 => Ok(found.swap_remove(0)),
        _ => {
            let names = found.iter().map(|container| short(&container.id).to_owned()).collect();
            Err(SelectError::ManyPods { wanted: wanted.to_owned(), names })
        }
    }
}

/// `namespace/name`.
pub(crate) fn pod_name(pod: &v1::PodSandbox) -> String {
    let metadata = pod.metadata.clone().unwrap_or_default();
    format!("{}/{}", metadata.namespace, metadata.name)
}

/// The name in the pod.
pub(crate) fn container_name(container: &v1::Container) -> &str {
    let label = container.labels.get(labels::CONTAINER).map(String::as_str);
    label.or_else(|| container.metadata.as_ref().map(|metadata| metadata.name.as_str())).unwrap_or_default()
}

/// As much of an id as is shown.
pub(crate) fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..13).unwrap_or(id)
}

/// Whether a name or the beginning of an id means this pod.
pub(crate) fn is_meant(pod: &v1::PodSandbox, wanted: &str) -> bool {
    is_named(pod, wanted) || has_id(pod, wanted)
}

/// Its name alone in the namespace that everybody is in by default.
pub(crate) fn pod_label(pod: &v1::PodSandbox) -> String {
    let name = pod_name(pod);
    name.strip_prefix("default/").map(str::to_owned).unwrap_or(name)
}

fn namespace(pod: &v1::PodSandbox) -> &str {
    pod.metadata.as_ref().map(|metadata| metadata.namespace.as_str()).unwrap_or_default()
}

pub(crate) fn is_named(pod: &v1::PodSandbox, wanted: &str) -> bool {
    pod.metadata.as_ref().is_some_and(|metadata| match wanted.split_once('/') {
        Some((namespace, name)) => metadata.namespace == namespace && metadata.name == name,
        None => metadata.name == wanted,
    })
}

fn has_id(pod: &v1::PodSandbox, wanted: &str) -> bool {
    is_start(wanted, &pod.id)
}

fn is_start(wanted: &str, id: &str) -> bool {
    wanted.len() >= 4 && id.starts_with(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(id: &str, namespace: &str, name: &str, created_at: i64, ready: bool) -> v1::PodSandbox {
        let state = if ready { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready };
        let metadata = v1::PodSandboxMetadata { namespace: namespace.into(), name: name.into(), ..Default::default() };
        v1::PodSandbox {
            id: id.into(),
            metadata: Some(metadata),
            created_at,
            state: state.into(),
            ..Default::default()
        }
    }

    #[test]
    fn pods_are_found_by_what_is_unique() {
        let pods = [
            sandbox("aaaa1", "default", "web", 1, false),
            sandbox("aaaa2", "default", "web", 2, true),
            sandbox("bbbb1", "other", "job", 1, false),
            sandbox("bbbb2", "other", "job", 2, false),
            sandbox("cccc1", "default", "two", 1, true),
            sandbox("cccc2", "other", "two", 1, true),
        ];
        for (wanted, expected) in [
            ("web", Ok("aaaa2")),
            ("default/web", Ok("aaaa2")),
            ("aaaa1", Ok("aaaa1")),
            ("job", Ok("bbbb2")),
            ("other/two", Ok("cccc2")),
            ("two", Err("`two` can be any of default/two, other/two: write one of these")),
            ("aaaa", Err("can be any of aaaa1 (default/web), aaaa2 (default/web)")),
            ("other/web", Err("there is no pod `other/web`; `peapod ps -a`")),
            ("aaa", Err("there is no pod")),
        ] {
            match (choose(pods.to_vec(), wanted), expected) {
                (Ok(pod), Ok(id)) => assert_eq!(pod.id, id, "{wanted}"),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{wanted}: {error}"),
                (found, _) => panic!("{wanted}: {found:?}"),
            }
        }
    }
}
