//! A Pod as CRI messages, the way a kubelet words them.

use std::collections::BTreeMap;
use std::path::Path;

use peapod_api::v1;

use super::facts::ThisNode;
use super::images::ContainerImage;
use super::resources::WholeLimits;
use super::security::{IdentityError, UserRange};
use super::{resources, security};
use crate::labels;
use crate::manifest::{Container, ContainerPort, Pod, PortProtocol, expand};

/// What a sandbox is made from, beside its Pod.
pub(super) struct SandboxParts<'a> {
    pub(super) uid: &'a str,
    pub(super) dir: &'a Path,
    pub(super) cgroup_parent: &'a str,
    /// The id of the `peapod run`.
    pub(super) run: &'a str,
    /// Without one the runtime copies the node's resolv.conf.
    pub(super) dns: Option<v1::DnsConfig>,
    pub(super) users: Option<UserRange>,
    pub(super) whole_limits: WholeLimits,
}

/// What a container is made from, beside its Pod.
pub(super) struct ContainerParts<'a> {
    pub(super) uid: &'a str,
    /// Counts its starts.
    pub(super) attempt: u32,
    pub(super) image: &'a ContainerImage,
    pub(super) node: &'a ThisNode,
    pub(super) env: Vec<(String, String)>,
    pub(super) mounts: Vec<v1::Mount>,
    pub(super) users: Option<UserRange>,
    pub(super) whole_limits: WholeLimits,
}

/// The pod.
pub(super) fn sandbox(pod: &Pod, parts: SandboxParts<'_>) -> v1::PodSandboxConfig {
    let mut labels = pod.metadata.labels.clone();
    labels.extend(pod_labels(pod, parts.uid));
    let mut annotations = pod.metadata.annotations.clone();
    // A manifest that was read out of a cluster may have these, which say something else here.
    for other in [labels::KUBELET, labels::RUN_FILE, labels::WORKLOAD] {
        annotations.remove(other);
    }
    annotations.insert(labels::RUN_DIR.to_owned(), parts.dir.display().to_string());
    annotations.insert(labels::RUN_ID.to_owned(), parts.run.to_owned());
    if let Some(file) = &pod.metadata.file {
        annotations.insert(labels::RUN_FILE.to_owned(), file.clone());
    }
    annotations.extend(pod.metadata.owner.clone().map(|owner| (labels::WORKLOAD.to_owned(), owner)));
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: pod.name.clone(),
            uid: parts.uid.to_owned(),
            namespace: pod.namespace.clone(),
            attempt: 0,
        }),
        hostname: pod.network.hostname.clone(),
        log_directory: parts.dir.join("logs").display().to_string(),
        dns_config: parts.dns,
        port_mappings: lasting(pod).flat_map(|container| &container.ports).map(port).collect(),
        labels,
        annotations,
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: parts.cgroup_parent.to_owned(),
            security_context: Some(security::sandbox(pod, parts.users)),
            sysctls: pod.security.sysctls.clone(),
            resources: resources::of_pod(pod, parts.whole_limits),
            overhead: resources::overhead(pod),
        }),
        ..Default::default()
    }
}

/// Those that run beside each other.
fn lasting(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.init_containers.iter().filter(|container| container.is_sidecar()).chain(&pod.containers)
}

/// A container of it.
pub(super) fn container(
    pod: &Pod,
    container: &Container,
    parts: ContainerParts<'_>,
) -> Result<v1::ContainerConfig, IdentityError> {
    let mut labels = pod_labels(pod, parts.uid);
    labels.insert(labels::CONTAINER.to_owned(), container.name.clone());
    let expanded = |texts: &[String]| texts.iter().map(|text| expand(text, &parts.env)).collect();
    let process = &container.process;
    Ok(v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: container.name.clone(), attempt: parts.attempt }),
        image: Some(v1::ImageSpec {
            image: parts.image.id.clone(),
            user_specified_image: container.image.clone(),
            ..Default::default()
        }),
        command: expanded(&process.command),
        args: expanded(&process.args),
        working_dir: process.working_dir.clone(),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(resources::of_container(pod, container, parts.node, parts.whole_limits)),
            security_context: Some(security::container(pod, container, parts.image, parts.users)?),
        }),
        envs: parts
            .env
            .into_iter()
            .map(|(key, value)| v1::KeyValue { key, value: value.into_bytes().into() })
            .collect(),
        mounts: parts.mounts,
        labels,
        annotations: devices(pod)
            .chain([
                (labels::RESTARTS.to_owned(), parts.attempt.to_string()),
                (labels::GRACE.to_owned(), pod.grace_seconds.to_string()),
            ])
            .collect(),
        log_path: log_path(container, parts.attempt),
        stdin: process.stdin,
        stdin_once: process.stdin_once,
        tty: process.tty,
        ..Default::default()
    })
}

/// Annotations of the pod that name devices, for its containers. Under a kubelet device plugins answer with such, and
/// nothing that a pod's author writes does; who runs a pod here may do as they can.
fn devices(pod: &Pod) -> impl Iterator<Item = (String, String)> {
    let all = pod.metadata.annotations.iter().filter(|(key, _)| key.starts_with(labels::CDI));
    all.map(|(key, value)| (key.clone(), value.clone()))
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
