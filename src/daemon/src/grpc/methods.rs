//! The methods of CRI by their paths: what a client calls is a label of metrics only if it is one of these.

/// In the order of the alphabet.
pub(super) const METHODS: [&str; 43] = [
    "Attach",
    "CheckpointContainer",
    "CheckpointPod",
    "ContainerStats",
    "ContainerStatus",
    "CreateContainer",
    "Exec",
    "ExecSync",
    "GetContainerEvents",
    "ImageFsInfo",
    "ImageStatus",
    "ListContainerStats",
    "ListContainers",
    "ListImages",
    "ListMetricDescriptors",
    "ListPodSandbox",
    "ListPodSandboxMetrics",
    "ListPodSandboxStats",
    "PodSandboxStats",
    "PodSandboxStatus",
    "PortForward",
    "PullImage",
    "RemoveContainer",
    "RemoveImage",
    "RemovePodSandbox",
    "ReopenContainerLog",
    "RestorePod",
    "RunPodSandbox",
    "RuntimeConfig",
    "StartContainer",
    "Status",
    "StopContainer",
    "StopPodSandbox",
    "StreamContainerStats",
    "StreamContainers",
    "StreamImages",
    "StreamPodSandboxMetrics",
    "StreamPodSandboxStats",
    "StreamPodSandboxes",
    "UpdateContainerResources",
    "UpdatePodSandboxResources",
    "UpdateRuntimeConfig",
    "Version",
];
/// Those of the image service; the others are the runtime service's.
const OF_IMAGES: [&str; 6] = ["ImageFsInfo", "ImageStatus", "ListImages", "PullImage", "RemoveImage", "StreamImages"];
/// What is called that is none.
pub(super) const OTHER: &str = "other";

/// Where a request's method stands in [`METHODS`]; behind the last one if it stands nowhere.
pub(super) fn position(path: &str) -> usize {
    let find = || {
        let (service, name) = path.strip_prefix("/runtime.v1.")?.split_once('/')?;
        METHODS.binary_search(&name).ok().filter(|_| service == service_of(name))
    };
    find().unwrap_or(METHODS.len())
}

/// The service that has a method.
pub(crate) fn service_of(method: &str) -> &'static str {
    if OF_IMAGES.contains(&method) { "ImageService" } else { "RuntimeService" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_interface() {
        let mut found = Vec::new();
        for line in include_str!("../../../../proto/cri.proto").lines() {
            if let Some(name) = line.trim_start().strip_prefix("rpc ").and_then(|rest| rest.split('(').next()) {
                found.push(name.trim());
            }
        }
        found.sort_unstable();
        assert_eq!(found, METHODS);
        let of = |path: &str| METHODS.get(position(path)).copied();
        assert_eq!(of("/runtime.v1.ImageService/PullImage"), Some("PullImage"));
        assert_eq!(of("/runtime.v1.RuntimeService/RunPodSandbox"), Some("RunPodSandbox"));
        for none in ["/runtime.v1.RuntimeService/PullImage", "/runtime.v1.ImageService/Version", "/x/Version", "", "/"]
        {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
