//! A Pod as peapod carries it out: every default filled in, every name checked.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1 as k8s;

use super::Mistake;
use super::builder::Builder;
use super::container::Container;
use super::names::is_subdomain;
use super::tree::YamlNode;
use super::volume::{self, Volume};

/// A Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Empty with `host_network`.
    pub(crate) hostname: String,
    pub(crate) host_network: bool,
    pub(crate) share_process_namespace: bool,
    pub(crate) restart: RestartPolicy,
    pub(crate) grace_seconds: u32,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) init_containers: Vec<Container>,
    pub(crate) containers: Vec<Container>,
}

/// Which exits of a container are followed by a new start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

/// Builds the Pod, or says every mistake.
pub(super) fn build(document: &YamlNode) -> Result<Pod, Vec<Mistake>> {
    let pod: k8s::Pod = serde_json::from_value(document.to_json())
        .map_err(|error| vec![Mistake { path: "Pod".to_owned(), line: document.line, text: error.to_string() }])?;
    let mut builder = Builder::new(document);
    let pod = builder.pod(pod);
    builder.into_result(pod)
}

impl Builder<'_> {
    fn pod(&mut self, pod: k8s::Pod) -> Pod {
        let spec = pod.spec.unwrap_or_default();
        let name = pod.metadata.name.unwrap_or_default();
        if !is_subdomain(&name) {
            self.add_mistake("metadata.name", format!("is `{name}`; it has to be of a-z, 0-9, inner dashes and dots"));
        }
        let namespace = pod.metadata.namespace.filter(|text| !text.is_empty()).unwrap_or_else(|| "default".to_owned());
        self.check_label("metadata.namespace", &namespace);
        let host_network = spec.host_network.unwrap_or(false);
        let restart = self.one_of(
            "spec.restartPolicy",
            spec.restart_policy.as_deref(),
            RestartPolicy::Always,
            &[
                ("Always", RestartPolicy::Always),
                ("OnFailure", RestartPolicy::OnFailure),
                ("Never", RestartPolicy::Never),
            ],
        );
        let grace_seconds = self.grace(spec.termination_grace_period_seconds);
        let volumes = self.volumes(&spec.volumes.unwrap_or_default());
        let init = spec.init_containers.unwrap_or_default();
        let init_containers = self.containers("spec.initContainers", &init, &volumes);
        let containers = self.containers("spec.containers", &spec.containers, &volumes);
        if containers.is_empty() {
            self.add_mistake("spec.containers", "is empty: a Pod has at least one container");
        }
        self.unique_containers(&init_containers, &containers);
        self.host_ports(&containers, host_network);
        Pod {
            hostname: self.hostname(spec.hostname, &name, host_network),
            name,
            namespace,
            labels: pod.metadata.labels.unwrap_or_default(),
            annotations: pod.metadata.annotations.unwrap_or_default(),
            host_network,
            share_process_namespace: spec.share_process_namespace.unwrap_or(false),
            restart,
            grace_seconds,
            volumes,
            init_containers,
            containers,
        }
    }

    fn grace(&mut self, seconds: Option<i64>) -> u32 {
        let seconds = seconds.unwrap_or(30);
        u32::try_from(seconds).unwrap_or_else(|_| {
            self.add_mistake(
                "spec.terminationGracePeriodSeconds",
                format!("is {seconds}; it has to be 0 or more seconds"),
            );
            30
        })
    }

    fn hostname(&mut self, given: Option<String>, pod: &str, host_network: bool) -> String {
        let given = given.filter(|text| !text.is_empty());
        if let Some(text) = &given {
            self.check_label("spec.hostname", text);
        }
        if host_network {
            return String::new();
        }
        // A host's name has room for 63 bytes, and can't end in a dash or a dot.
        let mut name = given.unwrap_or_else(|| pod.to_owned());
        name.truncate(63);
        name.trim_end_matches(['-', '.']).to_owned()
    }

    fn volumes(&mut self, volumes: &[k8s::Volume]) -> Vec<Volume> {
        let mut built: Vec<Volume> = Vec::new();
        for (index, given) in volumes.iter().enumerate() {
            let path = format!("spec.volumes[{index}]");
            self.check_label(&format!("{path}.name"), &given.name);
            if built.iter().any(|volume| volume.name == given.name) {
                self.add_mistake(&format!("{path}.name"), format!("is `{}`, as is another volume's", given.name));
            }
            match volume::build(given) {
                Ok(volume) => built.push(volume),
                Err((field, text)) => self.add_mistake(&format!("{path}.{field}"), text),
            }
        }
        built
    }

    fn unique_containers(&mut self, init: &[Container], containers: &[Container]) {
        let paths = [("spec.initContainers", init), ("spec.containers", containers)];
        let mut seen = BTreeSet::new();
        for (list, containers) in paths {
            for (index, container) in containers.iter().enumerate() {
                if !seen.insert(container.name.as_str()) {
                    let path = format!("{list}[{index}].name");
                    self.add_mistake(&path, format!("is `{}`, as is another container's", container.name));
                }
            }
        }
    }

    fn host_ports(&mut self, containers: &[Container], host_network: bool) {
        let mut seen = BTreeSet::new();
        for (c, container) in containers.iter().enumerate() {
            for (p, port) in container.ports.iter().enumerate() {
                let Some(host_port) = port.host_port else { continue };
                let path = format!("spec.containers[{c}].ports[{p}].hostPort");
                if host_network && host_port != port.container_port {
                    self.add_mistake(&path, "has to equal containerPort, as the pod is in the node's own network");
                }
                if !seen.insert((port.protocol, host_port, port.host_ip.as_str())) {
                    self.add_mistake(&path, format!("is {host_port}, as is another port's of this pod"));
                }
            }
        }
    }
}
