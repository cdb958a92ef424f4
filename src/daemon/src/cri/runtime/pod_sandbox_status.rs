//! PodSandboxStatus: all that is known about one pod, with its containers, at one moment. Reads memory only.

use std::collections::BTreeMap;

use peapod_api::v1::{PodSandboxStatusRequest, PodSandboxStatusResponse};
use peapod_pod::PodView;
use serde_json::json;

use crate::cri::Node;
use crate::cri::convert::{container_status, not_empty, pod_sandbox_status};
use crate::cri::node::find_pod;
use crate::cri::stats::now;
use crate::cri::status::Answer;

pub(super) fn handle(node: &Node, request: PodSandboxStatusRequest) -> Answer<PodSandboxStatusResponse> {
    let id = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    let snapshot = node.pods.snapshot();
    let entry = find_pod(&snapshot, &id)?;
    Ok(PodSandboxStatusResponse {
        status: Some(pod_sandbox_status(&entry.pod)),
        info: if request.verbose { info(&entry.pod) } else { BTreeMap::new() },
        containers_statuses: entry.containers.values().map(|container| container_status(container)).collect(),
        timestamp: now(),
    })
}

fn info(pod: &PodView) -> BTreeMap<String, String> {
    let info = json!({
        "shimPid": pod.shim_pid,
        "networkNamespace": pod.netns,
        "cgroupParent": pod.cgroup_parent,
        "runtimeHandler": pod.runtime_handler,
        "config": &*pod.spec,
    });
    BTreeMap::from([("info".to_owned(), info.to_string())])
}
