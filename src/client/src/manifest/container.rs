//! The containers of a Pod.

use std::net::IpAddr;

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::expand::expand;
use super::names::is_variable;
use super::volume::{Volume, VolumeMount};

/// A container of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    /// As it was written, with `:latest` if it had neither tag nor digest.
    pub(crate) image: String,
    pub(crate) pull: PullPolicy,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) working_dir: String,
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) mounts: Vec<VolumeMount>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

/// A port that a container listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerPort {
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

impl Builder<'_> {
    pub(super) fn containers(&mut self, path: &str, given: &[k8s::Container], volumes: &[Volume]) -> Vec<Container> {
        given
            .iter()
            .enumerate()
            .map(|(index, container)| self.container(&format!("{path}[{index}]"), container, volumes))
            .collect()
    }

    fn container(&mut self, path: &str, given: &k8s::Container, volumes: &[Volume]) -> Container {
        self.check_label(&format!("{path}.name"), &given.name);
        let written = given.image.as_deref().unwrap_or_default();
        if written.is_empty() || written.trim() != written {
            self.add_mistake(&format!("{path}.image"), format!("is `{written}`; it has to be the name of an image"));
        }
        let (image, latest) = with_tag(written);
        let default = if latest { PullPolicy::Always } else { PullPolicy::IfNotPresent };
        let policy = format!("{path}.imagePullPolicy");
        let pull = self.one_of(
            &policy,
            given.image_pull_policy.as_deref(),
            default,
            &[("Always", PullPolicy::Always), ("IfNotPresent", PullPolicy::IfNotPresent), ("Never", PullPolicy::Never)],
        );
        let env = self.env(path, given.env.as_deref().unwrap_or_default());
        let expanded = |texts: &Option<Vec<String>>| -> Vec<String> {
            texts.iter().flatten().map(|text| expand(text, &env)).collect()
        };
        Container {
            name: given.name.clone(),
            image,
            pull,
            command: expanded(&given.command),
            args: expanded(&given.args),
            working_dir: given.working_dir.clone().unwrap_or_default(),
            ports: self.ports(path, given.ports.as_deref().unwrap_or_default()),
            mounts: self.mounts(path, given.volume_mounts.as_deref().unwrap_or_default(), volumes),
            env,
        }
    }

    fn env(&mut self, path: &str, given: &[k8s::EnvVar]) -> Vec<(String, String)> {
        let mut env = Vec::new();
        for (index, variable) in given.iter().enumerate() {
            if !is_variable(&variable.name) {
                let path = format!("{path}.env[{index}].name");
                self.add_mistake(&path, format!("is `{}`; it has to be printable and without `=`", variable.name));
            }
            let value = expand(variable.value.as_deref().unwrap_or_default(), &env);
            env.push((variable.name.clone(), value));
        }
        env
    }

    fn ports(&mut self, path: &str, given: &[k8s::ContainerPort]) -> Vec<ContainerPort> {
        let mut ports = Vec::new();
        for (index, port) in given.iter().enumerate() {
            let path = format!("{path}.ports[{index}]");
            let protocol = self.one_of(
                &format!("{path}.protocol"),
                port.protocol.as_deref(),
                PortProtocol::Tcp,
                &[("TCP", PortProtocol::Tcp), ("UDP", PortProtocol::Udp), ("SCTP", PortProtocol::Sctp)],
            );
            let host_ip = port.host_ip.clone().unwrap_or_default();
            if !host_ip.is_empty() && host_ip.parse::<IpAddr>().is_err() {
                self.add_mistake(&format!("{path}.hostIP"), format!("is `{host_ip}`; it has to be an IP address"));
            }
            let container_port = self.port(&format!("{path}.containerPort"), port.container_port);
            // Zero publishes nothing.
            let host_port = port.host_port.filter(|port| *port != 0);
            let host_port = host_port.map(|port| self.port(&format!("{path}.hostPort"), port));
            ports.push(ContainerPort { protocol, container_port, host_port, host_ip });
        }
        ports
    }

    fn port(&mut self, path: &str, number: i32) -> u16 {
        match u16::try_from(number) {
            Ok(port) if port > 0 => port,
            _ => {
                self.add_mistake(path, format!("is {number}; it has to be from 1 to 65535"));
                1
            }
        }
    }

    fn mounts(&mut self, path: &str, given: &[k8s::VolumeMount], volumes: &[Volume]) -> Vec<VolumeMount> {
        let mut mounts: Vec<VolumeMount> = Vec::new();
        for (index, mount) in given.iter().enumerate() {
            let path = format!("{path}.volumeMounts[{index}]");
            if !volumes.iter().any(|volume| volume.name == mount.name) {
                self.add_mistake(
                    &format!("{path}.name"),
                    format!("is `{}`, which is none of spec.volumes", mount.name),
                );
            }
            let place = format!("{path}.mountPath");
            if !mount.mount_path.starts_with('/') {
                self.add_mistake(&place, format!("is `{}`; it has to be absolute", mount.mount_path));
            } else if mounts.iter().any(|other| other.path == mount.mount_path) {
                self.add_mistake(&place, format!("is `{}`, as is another mount's of this container", mount.mount_path));
            }
            let read_only = mount.read_only.unwrap_or(false);
            mounts.push(VolumeMount { volume: mount.name.clone(), path: mount.mount_path.clone(), read_only });
        }
        mounts
    }
}

/// An image's name with a tag or digest, and whether the tag is `latest`.
fn with_tag(image: &str) -> (String, bool) {
    let last = image.rsplit('/').next().unwrap_or(image);
    if image.contains('@') {
        (image.to_owned(), false)
    } else if let Some((_, tag)) = last.rsplit_once(':') {
        (image.to_owned(), tag == "latest")
    } else {
        (format!("{image}:latest"), true)
    }
}
