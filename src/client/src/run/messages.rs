//! A Pod as CRI messages, the way a kubelet words them.

use std::collections::BTreeMap;
use std::path::Path;

use peapod_api::v1;

use super::images::ContainerImage;
use crate::labels;
use crate::manifest::{Container, ContainerPort, Pod, PortProtocol};

/// What a kubelet hides from containers that are not privileged.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// What a kubelet keeps such containers from writing.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a kubelet gives a pod that asked for no memory: it goes first when there is none left.
const OOM_SCORE_ADJ: i64 = 1000;

/// The pod.
pub(super) fn sandbox(pod: &Pod, uid: &str, dir: &Path, cgroup_parent: &str) -> v1::PodSandboxConfig {
    let mut labels = pod.labels.clone();
    labels.extend(pod_labels(pod, uid));
    let mut annotations = pod.annotations.clone();
    annotations.insert(labels::RUN_DIR.to_owned(), dir.display().to_string());
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: pod.name.clone(),
            uid: uid.to_owned(),
            namespace: pod.namespace.clone(),
            attempt: 0,
        }),
        hostname: pod.hostname.clone(),
        log_directory: dir.join("logs").display().to_string(),
        // Without one the runtime copies the node's resolv.conf.
        dns_config: None,
        port_mappings: pod.containers.iter().flat_map(|container| &container.ports).map(port).collect(),
        labels,
        annotations,
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent.to_owned(),
            security_context: Some(v1::LinuxSandboxSecurityContext {
                namespace_options: Some(namespaces(pod)),
                seccomp: Some(runtime_default()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A container of it; `attempt` counts its starts.
pub(super) fn container(
    pod: &Pod,
    uid: &str,
    container: &Container,
    attempt: u32,
    image: &ContainerImage,
    mounts: Vec<v1::Mount>,
) -> v1::ContainerConfig {
    let mut labels = pod_labels(pod, uid);
    labels.insert(labels::CONTAINER.to_owned(), container.name.clone());
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: container.name.clone(), attempt }),
        image: Some(v1::ImageSpec {
            image: image.id.clone(),
            user_specified_image: container.image.clone(),
            ..Default::default()
        }),
        command: container.command.clone(),
        args: container.args.clone(),
        working_dir: container.working_dir.clone(),
        envs: container
            .env
            .iter()
            .map(|(key, value)| v1::KeyValue { key: key.clone(), value: value.clone().into_bytes().into() })
            .collect(),
        mounts,
        labels,
        annotations: BTreeMap::from([
            (labels::RESTARTS.to_owned(), attempt.to_string()),
            (labels::GRACE.to_owned(), pod.grace_seconds.to_string()),
        ]),
        log_path: log_path(container, attempt),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(v1::LinuxContainerResources { oom_score_adj: OOM_SCORE_ADJ, ..Default::default() }),
            security_context: Some(v1::LinuxContainerSecurityContext {
                namespace_options: Some(namespaces(pod)),
                run_as_user: image.uid.map(|value| v1::Int64Value { value }),
                run_as_username: image.username.clone(),
                masked_paths: MASKED.map(str::to_owned).to_vec(),
                readonly_paths: READ_ONLY.map(str::to_owned).to_vec(),
                seccomp: Some(runtime_default()),
                ..Default::default()
            }),
        }),
        ..Default::default()
    }
}

/// Relative to the pod's log directory.
pub(super) fn log_path(container: &Container, attempt: u32) -> String {
    format!("{}/{attempt}.log", container.name)
}

fn pod_labels(pod: &Pod, uid: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::POD.to_owned(), pod.name.clone()),
        (labels::NAMESPACE.to_owned(), pod.namespace.clone()),
        (labels::UID.to_owned(), uid.to_owned()),
    ])
}

fn namespaces(pod: &Pod) -> v1::NamespaceOption {
    let network = if pod.host_network { v1::NamespaceMode::Node } else { v1::NamespaceMode::Pod };
    let pid = if pod.share_process_namespace { v1::NamespaceMode::Pod } else { v1::NamespaceMode::Container };
    v1::NamespaceOption {
        network: network.into(),
        pid: pid.into(),
        ipc: v1::NamespaceMode::Pod.into(),
        target_id: String::new(),
        userns_options: Some(v1::UserNamespace { mode: v1::NamespaceMode::Node.into(), ..Default::default() }),
    }
}

fn runtime_default() -> v1::SecurityProfile {
    v1::SecurityProfile {
        profile_type: v1::security_profile::ProfileType::RuntimeDefault.into(),
        localhost_ref: String::new(),
    }
}

fn port(port: &ContainerPort) -> v1::PortMapping {
    let protocol = match port.protocol {
        PortProtocol::Tcp => v1::Protocol::Tcp,
        PortProtocol::Udp => v1::Protocol::Udp,
        PortProtocol::Sctp => v1::Protocol::Sctp,
    };
    v1::PortMapping {
        protocol: protocol.into(),
        container_port: port.container_port.into(),
        host_port: port.host_port.unwrap_or_default().into(),
        host_ip: port.host_ip.clone(),
    }
}
