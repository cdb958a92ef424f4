//! PodSandboxStatus: all that is known about one pod, with its containers, at one moment. Reads memory only; the
//! verbose form also looks for a process of the pod.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use peapod_api::v1::{PodSandboxStatusRequest, PodSandboxStatusResponse};
use peapod_pod::{ContainerState, PodEntry, PodView};
use serde_json::{Value, json};

use crate::cri::blocking::blocking;
use crate::cri::convert::{container_status, not_empty, pod_sandbox_status};
use crate::cri::services::find_pod;
use crate::cri::status::Answer;
use crate::cri::{Services, operations};

pub(super) async fn handle(services: &Services, request: PodSandboxStatusRequest) -> Answer<PodSandboxStatusResponse> {
    let id = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    let (timestamp, snapshot) = services.pods.look();
    let entry = find_pod(&snapshot, &id)?;
    Ok(PodSandboxStatusResponse {
        status: Some(pod_sandbox_status(&entry.pod)),
        info: if request.verbose { info(services, entry).await? } else { BTreeMap::new() },
        containers_statuses: entry.containers.values().map(|container| container_status(container)).collect(),
        timestamp,
    })
}

/// What scripts read of other runtimes has the same names here: `pid`, `runtimeHandler`, `runtimeSpec`, `config`.
async fn info(services: &Services, entry: &PodEntry) -> Answer<BTreeMap<String, String>> {
    let pod = &entry.pod;
    let search = ProcessSearch::of(entry);
    let pid = blocking("/proc", move || search.find()).await?;
    let info = json!({
        "pid": pid,
        "shimPid": pod.shim_pid,
        "networkNamespace": pod.netns,
        "cgroupParent": pod.cgroup_parent,
        "runtimeHandler": pod.runtime_handler,
        "config": &*pod.spec,
        "runtimeSpec": runtime_spec(pod),
    });
    let operations = operations::about(&services.tracer, |subject| subject.pod_id() == pod.id.as_str());
    Ok(operations::beside([("info", info)], operations))
}

/// For a process in the pod's namespaces, as nsenter(1) wants one: a container's, else pod init. The shim's would be in
/// the node's.
struct ProcessSearch {
    running: Vec<u32>,
    shim: u32,
    network: Option<PathBuf>,
}

impl ProcessSearch {
    fn of(PodEntry { pod, containers, .. }: &PodEntry) -> Self {
        let running = containers.values().filter_map(|container| match container.state {
            ContainerState::Running { pid, .. } => Some(pid),
            _ => None,
        });
        Self { running: running.collect(), shim: pod.shim_pid, network: pod.netns.clone() }
    }

    /// 0 if there is none. Blocks: the pod may have any number of processes, and the kernel may be busy with them.
    fn find(&self) -> u32 {
        let network = self.network.as_deref().and_then(identity);
        let mut candidates = self.running.iter().copied().chain(children(self.shim));
        candidates.find(|pid| identity(Path::new(&format!("/proc/{pid}/ns/net"))) == network).unwrap_or(0)
    }
}

/// What a namespace is, by any path to it.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Pod init and the containers' first processes; none without a shim.
fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// A pod has no configuration of an OCI runtime, as it has no container of its own: this is what of one is true of it.
fn runtime_spec(pod: &PodView) -> Value {
    let namespaces: Vec<_> = pod.namespaces.iter().map(|(kind, path)| json!({ "type": kind, "path": path })).collect();
    json!({
        "ociVersion": "1.0.2",
        "hostname": pod.spec.hostname,
        "annotations": pod.spec.annotations,
        "linux": {
            "cgroupsPath": pod.cgroup_parent,
            "namespaces": namespaces,
            "sysctl": pod.spec.sysctls,
        },
    })
}
