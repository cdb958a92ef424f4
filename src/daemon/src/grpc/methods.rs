//! The methods of CRI, and those of our own service, by their paths: what a client calls is a label of metrics only if
//! it is one of these.

/// In the order of the alphabet. No two services have the same.
pub(super) const METHODS: [&str; 49] = [
    "Attach",
    "CheckImage",
    "CheckpointContainer",
    "CheckpointPod",
    "ContainerStats",
    "ContainerStatus",
    "CreateContainer",
    "Exec",
    "ExecSync",
    "Export",
    "GetContainerEvents",
    "ImageFsInfo",
    "ImageStatus",
    "Import",
    "ListContainerStats",
    "ListContainers",
    "ListImages",
    "ListMetricDescriptors",
    "ListPodSandbox",
    "ListPodSandboxMetrics",
    "ListPodSandboxStats",
    "Pin",
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
    "StoreUsage",
    "StreamContainerStats",
    "StreamContainers",
    "StreamImages",
    "StreamPodSandboxMetrics",
    "StreamPodSandboxStats",
    "StreamPodSandboxes",
    "Untag",
    "UpdateContainerResources",
    "UpdatePodSandboxResources",
    "UpdateRuntimeConfig",
    "Version",
];
/// Those of the image service.
const OF_IMAGES: [&str; 6] = ["ImageFsInfo", "ImageStatus", "ListImages", "PullImage", "RemoveImage", "StreamImages"];
/// Those of our own service; the others are the runtime service's.
const OF_OUR_OWN: [&str; 6] = ["CheckImage", "Export", "Import", "Pin", "StoreUsage", "Untag"];
/// What is called that is none.
pub(super) const OTHER: &str = "other";

/// Where a request's method stands in [`METHODS`]; behind the last one if it stands nowhere.
pub(super) fn position(path: &str) -> usize {
    let find = || {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        METHODS.binary_search(&name).ok().filter(|_| service == service_of(name))
    };
    find().unwrap_or(METHODS.len())
}

/// The service that has a method, in full.
pub(crate) fn service_of(method: &str) -> &'static str {
    match method {
        of if OF_IMAGES.contains(&of) => "runtime.v1.ImageService",
        of if OF_OUR_OWN.contains(&of) => "peapod.v1.ImageStore",
        _ => "runtime.v1.RuntimeService",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_interfaces() {
        let (cri, own) = (include_str!("../../../../proto/cri.proto"), include_str!("../../../../proto/peapod.proto"));
        let (mut found, mut package, mut service) = (Vec::new(), "", "");
        for line in cri.lines().chain(own.lines()) {
            let after = |word: &str| line.trim_start().strip_prefix(word).map(str::trim);
            if let Some(name) = after("package ") {
                package = name.trim_end_matches(';');
            } else if let Some(name) = after("service ") {
                service = name.trim_end_matches('{').trim();
            } else if let Some(name) = after("rpc ").and_then(|rest| rest.split('(').next()) {
                let path = format!("/{package}.{service}/{name}");
                assert_eq!(METHODS.get(position(&path)).copied(), Some(name), "{path}");
                found.push(name);
            }
        }
        found.sort_unstable();
        assert_eq!(found, METHODS);
        for none in [
            "/runtime.v1.RuntimeService/PullImage",
            "/runtime.v1.ImageService/Version",
            "/runtime.v1.ImageService/Import",
            "/peapod.v1.ImageStore/PullImage",
            "peapod.v1.ImageStore/Import",
            "/x/Version",
            "",
            "/",
        ] {
            assert_eq!(METHODS.get(position(none)), None, "{none}");
        }
    }
}
