//! A pod sandbox as its client asked for it, checked: whatever exists as a [`PodSpec`] can be set up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::container::{Resources, SeccompProfile, SelinuxOptions};
pub use crate::pid_mode::PidMode;
use crate::user_namespace::UserNamespace;

/// Everything that a client said about a pod. Two equal specs are the same request: that is how a retry is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSpec {
    /// Who the pod is; unique among the pods that exist.
    pub metadata: PodMetadata,
    /// Empty: the pod keeps the node's name (host network), else at most 63 bytes.
    pub hostname: String,
    /// Absolute; the parent of every container's `log_path`.
    pub log_directory: Option<PathBuf>,
    /// `None` copies the node's resolv.conf; a value without content makes an empty one.
    pub dns: Option<DnsConfig>,
    /// Only mappings that publish something: a request's host port 0 is dropped.
    pub port_mappings: Vec<PortMapping>,
    /// Returned byte for byte.
    pub labels: BTreeMap<String, String>,
    /// Returned byte for byte.
    pub annotations: BTreeMap<String, String>,
    /// How much traffic the pod may have. Records of releases before this field have none of it.
    #[serde(default)]
    pub bandwidth: PodBandwidth,
    /// A configured name; empty means the default.
    pub runtime_handler: String,
    /// As the client wrote it; `None` means the configured parent.
    pub cgroup_parent: Option<String>,
    /// Dotted names, for the pod's own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Which namespaces the pod has to itself.
    pub namespaces: Namespaces,
    /// Who the pod's own process runs as.
    pub security: PodSecurity,
    /// What the pod costs beside its containers; kept, not applied (the client owns the pod's cgroup).
    pub overhead: Option<Resources>,
    /// The sum of its containers; kept, not applied.
    pub resources: Option<Resources>,
}

/// What a client tells of the cgroup of a pod, which is its own to change. What is absent it says nothing of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodResources {
    /// As in [`PodSpec`].
    pub overhead: Option<Resources>,
    /// As in [`PodSpec`].
    pub resources: Option<Resources>,
}

/// Name of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodMetadata {
    /// Never empty.
    pub name: String,
    /// Never empty.
    pub namespace: String,
    /// Never empty.
    pub uid: String,
    /// How many sandboxes this pod had before.
    pub attempt: u32,
}

/// The lines of a resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// The `search` line.
    pub searches: Vec<String>,
    /// The `options` line.
    pub options: Vec<String>,
}

/// The most traffic of a pod, in bits per second; `None` sets no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodBandwidth {
    /// Into the pod.
    pub ingress: Option<u64>,
    /// Out of it.
    pub egress: Option<u64>,
}

/// A port of the node that leads into the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Transport.
    pub protocol: Protocol,
    /// 1 to 65535.
    pub container_port: u16,
    /// 1 to 65535.
    pub host_port: u16,
    /// `None`: every address of the node.
    pub host_ip: Option<IpAddr>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A namespace that is either the pod's or the node's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// One for the whole pod.
    #[default]
    Pod,
    /// The node's.
    Node,
}

/// The namespaces of a pod. UTS follows the network: a pod in the node's network has the node's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Network, and with it UTS.
    pub network: Scope,
    /// Processes.
    pub pid: PidMode,
    /// System V IPC, POSIX queues, /dev/shm.
    pub ipc: Scope,
    /// Users; `None`: the node's. All namespaces of the pod's own belong to it. Records of releases before this field
    /// have none.
    #[serde(default)]
    pub users: Option<UserNamespace>,
}

/// What a pod's own process may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSecurity {
    /// A container of the pod may be privileged.
    pub privileged: bool,
    /// User of pod init.
    pub run_as_user: Option<u32>,
    /// Group of pod init; only with a user.
    pub run_as_group: Option<u32>,
    /// Further groups of pod init.
    pub supplemental_groups: Vec<u32>,
    /// Kept for status.
    pub readonly_rootfs: bool,
    /// Kept for status; pod init has a filter of its own that is tighter.
    pub seccomp: Option<SeccompProfile>,
    /// Kept for containers that name none.
    pub selinux: Option<SelinuxOptions>,
}
