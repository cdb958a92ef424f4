//! A Pod as peapod carries it out: every default filled in, every name checked.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as k8s;

use super::FileContent;
use super::builder::{Builder, Built};
use super::container::{self, Container};
use super::env::EnvSource;
use super::lifecycle;
use super::names::is_subdomain;
use super::network::{self, GivenNetwork};
use super::pod_resources;
use super::pull_secrets::{self, PullSecret};
use super::quantity::Quantity;
use super::resources::{self, ContainerResources};
use super::restart::RestartPolicy;
use super::security::{self, PodWideSecurity};
use super::volume::{self, Volume, VolumeSource};

/// A Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) metadata: GivenMetadata,
    pub(crate) network: GivenNetwork,
    pub(crate) security: PodWideSecurity,
    pub(crate) placement: PodPlacement,
    pub(crate) restart: RestartPolicy,
    pub(crate) grace_seconds: u32,
    /// Then the pod has failed.
    pub(crate) active_deadline: Option<u32>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) init_containers: Vec<Container>,
    pub(crate) containers: Vec<Container>,
}

/// What a pod carries with it, and tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenMetadata {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) service_account: String,
    /// What the manifest calls the node, if it does.
    pub(crate) node: Option<String>,
    /// The manifest that it is of, by its absolute path, if it has one.
    pub(crate) file: Option<String>,
    /// Kind and name of what it is made for, if that is no Pod.
    pub(crate) owner: Option<String>,
    /// Of a Pod by itself, a hash of its spec as it was written, the same in every version of peapod.
    pub(crate) wording: String,
}

/// What the runtime is asked for as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodPlacement {
    /// The runtime handler; empty for the default one.
    pub(crate) handler: String,
    pub(crate) pull_secrets: Vec<PullSecret>,
    /// For all containers together.
    pub(crate) resources: ContainerResources,
    /// What the pod takes beside its containers.
    pub(crate) overhead: BTreeMap<String, Quantity>,
}

impl Pod {
    /// Init containers, then the others.
    pub(crate) fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.init_containers.iter().chain(&self.containers)
    }
}

/// Builds the Pod with what the user should know, or says every mistake.
pub(super) fn build(mut builder: Builder<'_>) -> Built<Pod> {
    let given = builder.read("Pod")?;
    let pod = build_pod(&mut builder, given);
    builder.into_result(pod)
}

fn build_pod(b: &mut Builder<'_>, pod: k8s::Pod) -> Pod {
    let spec = pod.spec.unwrap_or_default();
    let name = pod.metadata.name.unwrap_or_default();
    if !is_subdomain(&name) {
        let text = format!("is `{name}`; it has to be a name of at most 253 of a-z, 0-9, inner dashes and dots");
        b.add_mistake("metadata.name", text);
    }
    let namespace = pod.metadata.namespace.filter(|text| !text.is_empty()).unwrap_or_else(|| "default".to_owned());
    b.check_label("metadata.namespace", &namespace);
    b.set_namespace(&namespace);
    let restart = b.one_of(
        "spec.restartPolicy",
        spec.restart_policy.as_deref(),
        RestartPolicy::Always,
        &[("Always", RestartPolicy::Always), ("OnFailure", RestartPolicy::OnFailure), ("Never", RestartPolicy::Never)],
    );
    let grace_seconds = grace(b, spec.termination_grace_period_seconds);
    if let Some(os) = spec.os.as_ref().filter(|os| os.name != "linux") {
        b.add_mistake("spec.os.name", format!("is `{}`; this is linux", os.name));
    }
    let security = security::pod(b, &spec);
    let network = network::build(b, &spec, &name, &namespace);
    let volumes = volume::build(b, spec.volumes.as_deref().unwrap_or_default());
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let mut init_containers = container::build(b, "spec.initContainers", init, (&volumes, &security));
    let mut containers = container::build(b, "spec.containers", &spec.containers, (&volumes, &security));
    let annotations = pod.metadata.annotations.unwrap_or_default();
    for container in init_containers.iter_mut().chain(&mut containers) {
        security::annotated(b, &annotations, (&container.name, &mut container.security));
    }
    if containers.is_empty() {
        b.add_mistake("spec.containers", "is empty: a Pod has at least one container");
    }
    unique_containers(b, &init_containers, &containers);
    lifecycle::check_init(b, init_containers.iter().map(|container| &container.life));
    host_ports(b, &init_containers, &containers, network.host);
    let service_account = spec.service_account_name.or(spec.service_account).filter(|text| !text.is_empty());
    let pod = Pod {
        name,
        namespace,
        metadata: GivenMetadata {
            labels: pod.metadata.labels.unwrap_or_default(),
            annotations,
            service_account: service_account.unwrap_or_else(|| "default".to_owned()),
            node: spec.node_name.filter(|text| !text.is_empty()),
            file: None,
            wording: String::new(),
            owner: None,
        },
        network,
        security,
        placement: PodPlacement {
            handler: spec.runtime_class_name.unwrap_or_default(),
            pull_secrets: pull_secrets::build(b, spec.image_pull_secrets.as_deref().unwrap_or_default()),
            resources: pod_resources::build(b, spec.resources.as_ref(), (&init_containers, &containers)),
            overhead: resources::amounts(b, "spec.overhead", spec.overhead.as_ref()),
        },
        restart,
        grace_seconds,
        active_deadline: active_deadline(b, spec.active_deadline_seconds),
        volumes,
        init_containers,
        containers,
    };
    references(b, &pod);
    pod
}

fn grace(b: &mut Builder<'_>, seconds: Option<i64>) -> u32 {
    let seconds = seconds.unwrap_or(30);
    u32::try_from(seconds).unwrap_or_else(|_| {
        let text = format!("is {seconds}; it has to be 0 to {} seconds", u32::MAX);
        b.add_mistake("spec.terminationGracePeriodSeconds", text);
        30
    })
}

fn active_deadline(b: &mut Builder<'_>, seconds: Option<i64>) -> Option<u32> {
    let seconds = seconds?;
    let deadline = u32::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    if deadline.is_none() {
        let text = format!("is {seconds}; it has to be 1 to {} seconds", u32::MAX);
        b.add_mistake("spec.activeDeadlineSeconds", text);
    }
    deadline
}

fn unique_containers(b: &mut Builder<'_>, init: &[Container], containers: &[Container]) {
    let mut seen = BTreeSet::new();
    for (list, containers) in [("spec.initContainers", init), ("spec.containers", containers)] {
        for (index, container) in containers.iter().enumerate() {
            if !seen.insert(container.name.as_str()) {
                let path = format!("{list}[{index}].name");
                b.add_mistake(&path, format!("is `{}`, as is another container's", container.name));
            }
        }
    }
}

fn host_ports(b: &mut Builder<'_>, init: &[Container], containers: &[Container], host_network: bool) {
    let mut seen = BTreeSet::new();
    let init = init.iter().enumerate().map(|(c, container)| ("initContainers", c, container));
    let all = init.chain(containers.iter().enumerate().map(|(c, container)| ("containers", c, container)));
    for (list, c, container) in all {
        for (p, port) in container.ports.iter().enumerate() {
            let Some(host_port) = port.host_port else { continue };
            let path = format!("spec.{list}[{c}].ports[{p}].hostPort");
            if list == "initContainers" && !container.is_sidecar() {
                b.add_mistake(&path, "is set of a container that ends before the pod's others begin: remove it");
            }
            if host_network && host_port != port.container_port {
                b.add_mistake(&path, "has to equal containerPort, as the pod is in the node's own network");
            }
            if !seen.insert((port.protocol, host_port, port.host_ip.as_str())) {
                b.add_mistake(&path, format!("is {host_port}, as is another port's of this pod"));
            }
        }
    }
}

/// What one part of the pod says of another one.
fn references(b: &mut Builder<'_>, pod: &Pod) {
    let has = |name: &Option<String>| {
        name.as_ref().is_none_or(|name| pod.all_containers().any(|container| container.name == *name))
    };
    for (list, containers) in [("spec.initContainers", &pod.init_containers), ("spec.containers", &pod.containers)] {
        for (index, container) in containers.iter().enumerate() {
            for variable in &container.process.env {
                let (name, problem) = (&variable.name, format!("{list}[{index}].env"));
                match &variable.source {
                    EnvSource::Amount(amount) if !has(&amount.container) => {
                        b.add_mistake(&problem, format!("has `{name}`, whose containerName is none of this pod"));
                    }
                    EnvSource::File { volume, .. } if !is_empty_dir(pod, volume) => {
                        b.add_mistake(&problem, format!("has `{name}`, whose fileKeyRef.volumeName is no emptyDir"));
                    }
                    _ => {}
                }
            }
        }
    }
    for (index, volume) in pod.volumes.iter().enumerate() {
        let VolumeSource::Files(set) = &volume.source else { continue };
        for file in &set.files {
            if let FileContent::Amount(amount) = &file.content
                && !has(&amount.container)
            {
                let text = format!("has `{}`, whose containerName is none of this pod", file.path);
                b.add_mistake(&format!("spec.volumes[{index}]"), text);
            }
        }
    }
}

fn is_empty_dir(pod: &Pod, name: &str) -> bool {
    let source = pod.volumes.iter().find(|volume| volume.name == name).map(|volume| &volume.source);
    matches!(source, Some(VolumeSource::EmptyDir { .. } | VolumeSource::MemoryDir { .. }))
}
