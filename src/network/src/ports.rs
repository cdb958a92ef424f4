//! Ports of the node that lead to a port of a pod, and when two of them are in each other's way.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP. Its traffic flows only where the kernel has it.
    Sctp,
}

impl Protocol {
    /// Its number in the IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// A port of the node that leads to a port of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// The protocol.
    pub protocol: Protocol,
    /// The port inside the pod.
    pub container_port: u16,
    /// The port of the node; 0 maps nothing.
    pub host_port: u16,
    /// On which address of the node. Absent: all, of both families; `0.0.0.0` and `::`: all of that family.
    pub host_ip: Option<IpAddr>,
}

impl PortMapping {
    /// The one address this mapping is for; none means all.
    pub(crate) fn only_on(&self) -> Option<IpAddr> {
        self.host_ip.filter(|ip| !ip.is_unspecified())
    }

    /// Whether the mapping is for addresses of this family.
    pub(crate) fn serves(&self, v4: bool) -> bool {
        self.host_ip.is_none_or(|ip| ip.is_ipv4() == v4)
    }

    /// Whether one packet could be meant for both.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.host_port == other.host_port
            && match (self.host_ip, other.host_ip) {
                (None, _) | (_, None) => true,
                (Some(a), Some(b)) => {
                    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
                }
            }
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}/{}", self.host_port, self.protocol),
            Some(ip) => write!(f, "{ip}:{}/{}", self.host_port, self.protocol),
            None => write!(f, "{}/{}", self.host_port, self.protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collisions() {
        let port = |host_ip: &str, protocol| PortMapping {
            protocol,
            container_port: 80,
            host_port: 8080,
            host_ip: (!host_ip.is_empty()).then(|| host_ip.parse().unwrap()),
        };
        let cases = [
            ("", "", true),
            ("", "10.0.0.1", true),
            ("", "::", true),
            ("0.0.0.0", "10.0.0.1", true),
            ("0.0.0.0", "::", false),
            ("::", "fd00::1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("10.0.0.1", "127.0.0.1", false),
        ];
        for (a, b, expected) in cases {
            assert_eq!(port(a, Protocol::Tcp).collides(&port(b, Protocol::Tcp)), expected, "{a} {b}");
            assert_eq!(port(b, Protocol::Tcp).collides(&port(a, Protocol::Tcp)), expected, "{b} {a}");
            assert!(!port(b, Protocol::Tcp).collides(&port(a, Protocol::Udp)));
        }
    }
}
