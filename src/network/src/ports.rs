//! Ports of the node that lead to a port of a pod, and when two of them are in each other's way.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
}

/// Protocol, port and address of the node: by this order all mappings of a port are neighbours, first that of all
/// addresses, then those of IPv4, then those of IPv6, each family's unspecified address first.
type Key = (Protocol, u16, Option<IpAddr>);

const LAST_V4: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);
const LAST_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff));

/// Mappings of which no two are in each other's way. Looking one up takes the same few steps however many there are.
#[derive(Debug, Default)]
pub(crate) struct PortSet(BTreeMap<Key, PortMapping>);

impl PortSet {
    /// The set of these mappings, or two that are in each other's way, the earlier one first.
    pub(crate) fn of(ports: &[PortMapping]) -> Result<Self, (PortMapping, PortMapping)> {
        let mut set = Self::default();
        for port in ports {
            if let Some(earlier) = set.colliding(port.protocol, port.host_port, port.host_ip) {
                return Err((*earlier, *port));
            }
            set.0.insert((port.protocol, port.host_port, port.host_ip), *port);
        }
        Ok(set)
    }

    /// A mapping for which a packet to this port could be meant. Without an address: a packet to any.
    pub(crate) fn colliding(&self, protocol: Protocol, port: u16, ip: Option<IpAddr>) -> Option<&PortMapping> {
        let at = |ip| self.0.get(&(protocol, port, ip));
        let among = |first, last| self.0.range((protocol, port, first)..=(protocol, port, Some(last))).next();
        let Some(ip) = ip else { return among(None, LAST_V6).map(|(_, found)| found) };
        let (all, last) = match ip {
            IpAddr::V4(_) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), LAST_V4),
            IpAddr::V6(_) => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), LAST_V6),
        };
        let same_family = || match ip == all {
            true => among(Some(all), last).map(|(_, found)| found),
            false => at(Some(all)).or_else(|| at(Some(ip))),
        };
        at(None).or_else(same_family)
    }

    /// The first of the set's mappings that is in the way of one of these, with what it is in the way of.
    pub(crate) fn meets<'a>(
        &self,
        others: impl IntoIterator<Item = (&'a str, &'a [PortMapping])>,
    ) -> Option<(PortMapping, &'a str)> {
        if self.0.is_empty() {
            return None;
        }
        others.into_iter().find_map(|(id, ports)| {
            let met = ports.iter().find_map(|had| self.colliding(had.protocol, had.host_port, had.host_ip));
            met.map(|port| (*port, id))
        })
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
            for (a, b) in [(a, b), (b, a)] {
                let collide = |protocol| PortSet::of(&[port(a, Protocol::Tcp), port(b, protocol)]);
                assert_eq!(collide(Protocol::Tcp).is_err(), expected, "{a} {b}");
                collide(Protocol::Udp).unwrap();
                let had = [port(b, Protocol::Tcp)];
                let met = PortSet::of(&[port(a, Protocol::Tcp)]).unwrap().meets([("other", &had[..])]);
                assert_eq!(met.is_some(), expected, "{a} {b}");
            }
        }
    }

    #[test]
    fn as_many_as_there_are() {
        let ports: Vec<_> = (0..u16::MAX)
            .flat_map(|host_port| {
                [Protocol::Tcp, Protocol::Udp].map(|protocol| PortMapping {
                    protocol,
                    container_port: 1,
                    host_port: host_port + 1,
                    host_ip: None,
                })
            })
            .collect();
        let set = PortSet::of(&ports).unwrap();
        let last = ports[ports.len() - 1];
        assert_eq!(set.meets([("none", &[][..]), ("last", &[last][..])]), Some((last, "last")));
        let twice = [&ports[..], &[PortMapping { container_port: 2, ..last }]].concat();
        assert_eq!(PortSet::of(&twice).unwrap_err().0, last);
    }
}
