//! Entries of sets and maps: which ports lead where, which addresses pods have, and which one their links may send
//! from.

use super::constants::{NFTA_DATA_VALUE, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_KEY};
use super::table_family::TableFamily;
use crate::address::{Mac, link_local, octets};
use crate::netlink::{Attributes, find};
use crate::ports::PortMapping;
use crate::record::SubnetLayout;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One entry of a set or map. Sorted, those of one set are neighbours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element {
    pub(super) family: TableFamily,
    pub(super) set: &'static str,
    pub(super) key: Vec<u8>,
    pub(super) data: Option<Vec<u8>>,
}

/// Protocol and port as parts of a key.
fn service(protocol: u8, port: u16) -> [u8; 8] {
    let [high, low] = port.to_be_bytes();
    [protocol, 0, 0, 0, high, low, 0, 0]
}

impl Element {
    /// What makes these ports lead to these addresses.
    pub(crate) fn of_ports(ports: &[PortMapping], ips: &[IpAddr]) -> BTreeSet<Self> {
        let mut elements = BTreeSet::new();
        let family = TableFamily::Inet;
        for port in ports {
            for ip in ips.iter().filter(|ip| port.serves(ip.is_ipv4())) {
                let v4 = ip.is_ipv4();
                let protocol = port.protocol.number();
                let mut own = octets(*ip);
                own.extend(service(protocol, port.container_port));
                elements.insert(Self { family, set: if v4 { "own4" } else { "own6" }, key: own, data: None });

                let mut data = octets(*ip);
                data.extend(port.container_port.to_be_bytes());
                data.extend([0, 0]);
                let from = service(protocol, port.host_port);
                let (set, key) = match port.only_on() {
                    None => (if v4 { "any4" } else { "any6" }, from.to_vec()),
                    Some(only) => (if v4 { "at4" } else { "at6" }, [octets(only), from.to_vec()].concat()),
                };
                elements.insert(Self { family, set, key, data: Some(data) });
            }
        }
        elements
    }

    /// What the pod behind this link of the node may send, and that it has these addresses.
    pub(crate) fn of_pod(link: &str, mac: Mac, ips: &[IpAddr], layout: SubnetLayout) -> BTreeSet<Self> {
        let element = |family, set, key| Self { family, set, key, data: None };
        let mut name = link.as_bytes().to_vec();
        // IFNAMSIZ.
        name.resize(16, 0);
        let sender = [&name[..], &mac, &[0; 2]].concat();
        let sources = ips.iter().copied().chain([IpAddr::V6(link_local(mac))]).map(|ip| {
            let set = if ip.is_ipv4() { "from4" } else { "from6" };
            element(TableFamily::Bridge, set, [sender.clone(), octets(ip)].concat())
        });
        let own = ips.iter().map(|ip| {
            let set = if ip.is_ipv4() { "pods4" } else { "pods6" };
            element(TableFamily::Inet, set, octets(*ip))
        });
        let mut elements: BTreeSet<Self> = sources.chain(own).collect();
        elements.insert(element(TableFamily::Bridge, "mac", sender));
        if layout == SubnetLayout::Shared {
            elements.insert(element(TableFamily::Bridge, "shared", name));
        }
        elements
    }

    pub(super) fn write(&self, a: &mut Attributes) {
        a.nest(NFTA_SET_ELEM_KEY, |a| a.bytes(NFTA_DATA_VALUE, &self.key));
        if let Some(data) = &self.data {
            a.nest(NFTA_SET_ELEM_DATA, |a| a.bytes(NFTA_DATA_VALUE, data));
        }
    }

    /// An element as the kernel shows it.
    pub(super) fn read(family: TableFamily, set: &'static str, bytes: &[u8]) -> Option<Self> {
        let value = |kind| find(find(bytes, kind)?, NFTA_DATA_VALUE).map(<[u8]>::to_vec);
        Some(Self { family, set, key: value(NFTA_SET_ELEM_KEY)?, data: value(NFTA_SET_ELEM_DATA) })
    }
}
