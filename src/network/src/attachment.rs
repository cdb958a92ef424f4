//! What is asked of the network, and what it gives.

use crate::ports::PortMapping;
use crate::subnet::Subnet;
use peapod_trace::Span;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// A wish for a network namespace with an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// Who asks: 1 to 128 of the characters a-z A-Z 0-9 _ - . with no dot at the beginning. The namespace's name is
    /// derived from it.
    pub id: String,
    /// Ports of the node that lead here. Those with host port 0 are left out.
    pub ports: Vec<PortMapping>,
    /// Arguments for plugins beside their configuration, such as `K8S_POD_NAME`.
    pub args: Vec<(String, String)>,
    /// For plugins that set up names.
    pub dns: Option<Dns>,
    /// For plugins that limit traffic.
    pub bandwidth: Bandwidth,
    /// For plugins that give addresses: from which ranges.
    pub ip_ranges: Vec<Subnet>,
    /// For plugins that let the hardware address be chosen.
    pub mac: Option<String>,
    /// A network namespace that is there and has nothing but `lo`: to be connected in place of a new one.
    pub namespace: Option<PathBuf>,
    /// What is told the stages.
    pub span: Span,
}

/// The lines of a resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options of the resolver.
    pub options: Vec<String>,
}

/// The most that may flow, in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Into the namespace.
    pub ingress: Option<u64>,
    /// Out of it.
    pub egress: Option<u64>,
}

/// A network namespace that is connected to the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Who asked for it.
    pub id: String,
    /// The file that holds the namespace.
    pub netns: PathBuf,
    /// Its addresses: IPv4 first, or in the order that plugins gave them.
    pub ips: Vec<IpAddr>,
    /// The gateways, in the order of the addresses.
    pub gateways: Vec<IpAddr>,
    /// The link inside the namespace.
    pub interface: String,
    /// That link's hardware address.
    pub mac: String,
    /// The largest packet in bytes; 0 if plugins did not say.
    pub mtu: u32,
    /// The link on the node; empty if plugins made it.
    pub host_interface: String,
    /// Ports of the node that lead here.
    pub ports: Vec<PortMapping>,
}
