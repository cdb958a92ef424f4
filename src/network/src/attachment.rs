//! What is asked of the network, and what it gives.

use crate::ports::PortMapping;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// A wish for a network namespace with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// Who asks: 1 to 128 of the characters a-z A-Z 0-9 _ - . with no dot at the beginning. The namespace's name is
    /// derived from it.
    pub id: String,
    /// Ports of the node that lead here. Those with host port 0 are left out.
    pub ports: Vec<PortMapping>,
}

/// A network namespace that is connected to the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Who asked for it.
    pub id: String,
    /// The file that holds the namespace.
    pub netns: PathBuf,
    /// Its addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// The gateways, in the order of the addresses.
    pub gateways: Vec<IpAddr>,
    /// The link inside the namespace.
    pub interface: String,
    /// That link's hardware address, `02:70:…`.
    pub mac: String,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The link on the node.
    pub host_interface: String,
    /// Ports of the node that lead here.
    pub ports: Vec<PortMapping>,
}
