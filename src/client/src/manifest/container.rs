//! The containers of a Pod.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::env::{self, EnvVariable};
use super::image::{PullPolicy, is_image, pull_policy, with_tag};
use super::lifecycle::{self, Lifecycle};
use super::mounts::{self, VolumeMount};
use super::names::is_label;
use super::resources::{self, ContainerResources};
use super::restart::RestartPolicy;
use super::security::{self, EffectiveSecurity, PodWideSecurity};
use super::volume::Volume;

/// A container of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    /// As it was written, with `:latest` if it had neither tag nor digest.
    pub(crate) image: String,
    pub(crate) pull: PullPolicy,
    pub(crate) process: ContainerProcess,
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) mounts: Vec<VolumeMount>,
    pub(crate) resources: ContainerResources,
    pub(crate) security: EffectiveSecurity,
    pub(crate) life: Lifecycle,
}

impl Container {
    /// Among init containers: it stays beside those that come after it.
    pub(crate) fn is_sidecar(&self) -> bool {
        self.life.restart == Some(RestartPolicy::Always)
    }
}

/// What runs in a container. `$(NAME)` is not replaced yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerProcess {
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) env: Vec<EnvVariable>,
    pub(crate) stdin: bool,
    pub(crate) stdin_once: bool,
    pub(crate) tty: bool,
}

/// A port that a container listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerPort {
    /// What probes may call it; may be empty.
    pub(crate) name: String,
    pub(crate) protocol: PortProtocol,
    pub(crate) container_port: u16,
    /// Published on the node under this port.
    pub(crate) host_port: Option<u16>,
    /// Empty for all addresses of the node.
    pub(crate) host_ip: String,
}

/// The transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PortProtocol {
    Tcp,
    Udp,
    Sctp,
}

/// The containers of a list.
pub(super) fn build(
    b: &mut Builder<'_>,
    list: &str,
    given: &[k8s::Container],
    (volumes, security): (&[Volume], &PodWideSecurity),
) -> Vec<Container> {
    let mut containers = Vec::new();
    for (index, given) in given.iter().enumerate() {
        containers.push(container(b, &format!("{list}[{index}]"), given, (volumes, security)));
    }
    containers
}

fn container(
    b: &mut Builder<'_>,
    path: &str,
    given: &k8s::Container,
    (volumes, security): (&[Volume], &PodWideSecurity),
) -> Container {
    b.check_label(&format!("{path}.name"), &given.name);
    let written = given.image.as_deref().unwrap_or_default();
    if !is_image(written) {
        b.add_mistake(&format!("{path}.image"), format!("is `{written}`; it has to be the name of an image"));
    }
    let (image, latest) = with_tag(written);
    let pull = pull_policy(b, &format!("{path}.imagePullPolicy"), given.image_pull_policy.as_deref(), latest);
    let working_dir = given.working_dir.clone().unwrap_or_default();
    if !working_dir.is_empty() && !working_dir.starts_with('/') {
        b.add_mistake(&format!("{path}.workingDir"), format!("is `{working_dir}`; it has to be an absolute path"));
    }
    let env = env::build(b, path, given);
    Container {
        name: given.name.clone(),
        image,
        pull,
        process: ContainerProcess {
            command: given.command.clone().unwrap_or_default(),
            args: given.args.clone().unwrap_or_default(),
            working_dir,
            env,
            stdin: given.stdin.unwrap_or(false),
            stdin_once: given.stdin_once.unwrap_or(false),
            tty: given.tty.unwrap_or(false),
        },
        ports: ports(b, path, given.ports.as_deref().unwrap_or_default()),
        mounts: mounts::build(b, path, given, volumes),
        resources: resources::build(b, &format!("{path}.resources"), given.resources.as_ref()),
        security: security::container(b, path, given.security_context.as_ref(), security),
        life: lifecycle::lifecycle(b, path, given),
    }
}

fn ports(b: &mut Builder<'_>, path: &str, given: &[k8s::ContainerPort]) -> Vec<ContainerPort> {
    let mut ports = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for (index, given) in given.iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        let protocol = b.one_of(
            &format!("{path}.protocol"),
            given.protocol.as_deref(),
            PortProtocol::Tcp,
            &[("TCP", PortProtocol::Tcp), ("UDP", PortProtocol::Udp), ("SCTP", PortProtocol::Sctp)],
        );
        let host_ip = given.host_ip.clone().unwrap_or_default();
        if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
            b.add_mistake(&format!("{path}.hostIP"), format!("is `{host_ip}`; it has to be an IP address"));
        }
        let name = given.name.clone().unwrap_or_default();
        if !name.is_empty() {
            let is_name = name.len() <= 15 && is_label(&name) && name.bytes().any(|byte| byte.is_ascii_lowercase());
            if !is_name {
                let text = format!("is `{name}`; it has to be at most 15 of a-z, 0-9 and inner dashes, with a letter");
                b.add_mistake(&format!("{path}.name"), text);
            } else if !names.insert(name.clone()) {
                b.add_mistake(&format!("{path}.name"), format!("is `{name}`, as is another port's of this container"));
            }
        }
        let container_port = port(b, &format!("{path}.containerPort"), given.container_port);
        // Zero publishes nothing.
        let host_port = given.host_port.filter(|port| *port != 0);
        let host_port = host_port.map(|number| port(b, &format!("{path}.hostPort"), number));
        ports.push(ContainerPort { name, protocol, container_port, host_port, host_ip });
    }
    ports
}

fn port(b: &mut Builder<'_>, path: &str, number: i32) -> u16 {
    match u16::try_from(number) {
        Ok(port) if port > 0 => port,
        _ => {
            b.add_mistake(path, format!("is {number}; it has to be from 1 to 65535"));
            1
        }
    }
}
