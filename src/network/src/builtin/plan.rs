//! Decisions without I/O: whether a request is acceptable, and what exactly is going to be made.

use super::host::Bridge;
use super::naming::{GATEWAY, host_interface, mac};
use crate::address::{Mac, link_local};
use crate::attachment::{AttachRequest, Attachment};
use crate::config::Settings;
use crate::error::AttachError;
use crate::neighbour::Neighbour;
use crate::nft::Element;
use crate::ports::PortMapping;
use crate::record::{AttachmentRecord, SubnetLayout, pin_name};
use crate::request;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// The link inside a pod.
const INTERFACE: &str = "eth0";

/// How many numbers there are, counted from 1.
pub(crate) fn host_indexes(settings: &Settings) -> u32 {
    [settings.v4, settings.v6].into_iter().flatten().map(|subnet| subnet.hosts()).min().unwrap_or(0)
}

/// Checks the request by itself; leaves out what maps nothing.
pub(crate) fn check(settings: &Settings, request: AttachRequest) -> Result<AttachRequest, AttachError> {
    let request = request::check(request)?;
    for port in &request.ports {
        check_port(settings, port)?;
    }
    Ok(request)
}

fn check_port(settings: &Settings, port: &PortMapping) -> Result<(), AttachError> {
    let Some(ip) = port.host_ip else { return Ok(()) };
    if ip == IpAddr::V6(Ipv6Addr::LOCALHOST) {
        let what = "the kernel does not redirect from ::1; use 127.0.0.1, or another address of the node";
        return Err(AttachError::InvalidPort { port: *port, what });
    }
    let served = if ip.is_ipv4() { settings.v4 } else { settings.v6 };
    if served.is_none() {
        return Err(AttachError::NoFamily { port: *port, address: ip });
    }
    Ok(())
}

/// The record of what is going to be made for the request with this number.
pub(super) fn record(
    settings: &Settings,
    bridge: Bridge,
    request: &AttachRequest,
    host_index: u32,
) -> AttachmentRecord {
    let octets = mac(host_index).map(|octet| format!("{octet:02x}"));
    let attachment = Attachment {
        id: request.id.clone(),
        netns: settings.netns_dir.join(pin_name(&request.id)),
        ips: addresses(settings, host_index),
        gateways: addresses(settings, GATEWAY),
        interface: INTERFACE.to_owned(),
        mac: octets.join(":"),
        mtu: bridge.mtu,
        host_interface: host_interface(&settings.bridge, host_index),
        ports: request.ports.clone(),
    };
    AttachmentRecord { attachment, bridge: settings.bridge.clone(), host_index, layout: SubnetLayout::Routed }
}

fn addresses(settings: &Settings, host_index: u32) -> Vec<IpAddr> {
    [settings.v4, settings.v6].into_iter().flatten().map(|subnet| subnet.host(host_index)).collect()
}

/// What the tables hold for the pod of this number, of which nothing else is known: its layout may be the older one.
pub(crate) fn sources(settings: &Settings, host_index: u32) -> BTreeSet<Element> {
    let link = host_interface(&settings.bridge, host_index);
    Element::of_pod(&link, mac(host_index), &addresses(settings, host_index), SubnetLayout::Shared)
}

/// The pod of this number as the bridge's neighbour.
pub(crate) fn neighbours(settings: &Settings, host_index: u32) -> Vec<Neighbour> {
    known_by(settings, mac(host_index), &addresses(settings, host_index))
}

/// One hardware address and the IP addresses that it has on the bridge.
pub(crate) fn known_by(settings: &Settings, mac: Mac, ips: &[IpAddr]) -> Vec<Neighbour> {
    let link_local = settings.v6.map(|_| IpAddr::V6(link_local(mac)));
    ips.iter().copied().chain(link_local).map(|ip| Neighbour { ip, mac }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::pool::Pool;
    use crate::builtin::table::AttachmentTable;
    use crate::cni::CniConfig;
    use crate::config::Config;
    use crate::ports::Protocol;
    use std::collections::HashMap;

    fn settings(subnets: &[&str]) -> Settings {
        let subnets = subnets.iter().map(|text| text.parse().unwrap()).collect();
        let config = Config {
            bridge: "peapod0".to_owned(),
            subnets,
            netns_dir: "/run/netns".into(),
            mtu: None,
            cni: CniConfig::default(),
        };
        config.settings().unwrap()
    }

    fn request(id: &str, ports: &[(u16, u16, &str)]) -> AttachRequest {
        let ports = ports
            .iter()
            .map(|(host_port, container_port, ip)| PortMapping {
                protocol: Protocol::Tcp,
                container_port: *container_port,
                host_port: *host_port,
                host_ip: (!ip.is_empty()).then(|| ip.parse().unwrap()),
            })
            .collect();
        AttachRequest { id: id.to_owned(), ports, ..AttachRequest::default() }
    }

    #[test]
    fn refuses_what_cannot_work() {
        let v4 = settings(&["10.93.0.0/16"]);
        for id in ["", ".x", "..", "a/b", "a b", &"x".repeat(129)] {
            assert!(matches!(check(&v4, request(id, &[])), Err(AttachError::InvalidId { .. })), "{id}");
        }
        let wrong = |ports: &[(u16, u16, &str)]| check(&v4, request("a", ports)).unwrap_err().to_string();
        assert!(wrong(&[(80, 0, "")]).contains("container port 0"));
        assert!(wrong(&[(80, 1, "::1")]).contains("::1"));
        assert!(wrong(&[(80, 1, "fd00::1")]).contains("no address of that family"));
        assert!(wrong(&[(80, 1, ""), (80, 2, "")]).contains("different ports"));
        assert!(wrong(&[(80, 1, ""), (80, 1, "")]).contains("twice"));
        assert_eq!(check(&v4, request("a", &[(0, 0, ""), (0, 7, "::1")])).unwrap().ports, []);
        check(&settings(&["fd93::/64"]), request("a", &[(80, 1, "fd00::1")])).unwrap();
    }

    #[test]
    fn plans_whole_attachments() {
        let settings = settings(&["fd93::/64", "10.93.0.0/29"]);
        let pool = Pool::new(host_indexes(&settings), BTreeSet::new(), 0);
        let mut table = AttachmentTable::new(HashMap::new(), pool);
        let bridge = Bridge { index: 3, mtu: 1400 };
        let reserve = |table: &mut AttachmentTable, request: &AttachRequest| {
            table.reserve(&settings, bridge, request, &BTreeSet::new()).map(|entry| entry.unwrap().attachment)
        };
        let first = reserve(&mut table, &request("a", &[(80, 8080, "")])).unwrap();
        assert_eq!(first.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.93.0.2", "fd93::2"]);
        assert_eq!(first.gateways.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.93.0.1", "fd93::1"]);
        assert_eq!((first.mac.as_str(), first.mtu), ("02:70:00:00:00:02", 1400));
        assert_eq!(first.netns.to_str(), Some("/run/netns/peapod-a"));
        assert_eq!(first.host_interface.len(), 15);
        let taken = reserve(&mut table, &request("b", &[(80, 1, "10.0.0.1")])).unwrap_err();
        assert_eq!(taken.to_string(), "host port 10.0.0.1:80/TCP is taken by pod a: stop that, or map another port");
        for id in ["b", "c", "d", "e"] {
            reserve(&mut table, &request(id, &[])).unwrap();
        }
        let full = reserve(&mut table, &request("f", &[])).unwrap_err().to_string();
        assert!(full.starts_with("no address is free in 10.93.0.0/29 and fd93::/64 (5 in use)"), "{full}");
        table.delete("a");
        assert_eq!(reserve(&mut table, &request("f", &[(80, 1, "")])).unwrap().ips[0].to_string(), "10.93.0.2");
    }
}
