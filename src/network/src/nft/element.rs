//! Entries of sets and maps: which ports lead where, and which addresses a pod's link may send from.

use super::batch::{Batch, NFTA_DATA_VALUE, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_KEY, TableFamily};
use crate::link::{Mac, octets};
use crate::netlink::{Attributes, find};
use crate::ports::PortMapping;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// How many elements go out in one call: their messages stay below a netlink socket's smallest usual buffers.
const AT_ONCE: usize = 256;

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

/// The address that Linux gives a link with this hardware address (RFC 4291, appendix A).
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
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

    /// What lets the pod behind this link of the node send from its own addresses.
    pub(crate) fn of_link(link: &str, mac: Mac, ips: &[IpAddr]) -> BTreeSet<Self> {
        let mut sender = link.as_bytes().to_vec();
        // IFNAMSIZ.
        sender.resize(16, 0);
        sender.extend(mac);
        sender.extend([0; 2]);
        let sources = ips.iter().copied().chain([IpAddr::V6(link_local(mac))]).map(|ip| {
            let set = if ip.is_ipv4() { "from4" } else { "from6" };
            Self { family: TableFamily::Bridge, set, key: [sender.clone(), octets(ip)].concat(), data: None }
        });
        let own = Self { family: TableFamily::Bridge, set: "mac", key: sender.clone(), data: None };
        sources.chain([own]).collect()
    }

    /// Batches that add these elements to the tables of this name; fine if they are there.
    pub(crate) fn add(elements: &BTreeSet<Self>, table: &str) -> Vec<Batch> {
        batches(elements, table, Batch::add_elements)
    }

    /// Batches that take these elements out of the tables of this name, whether they are there or not. Each fails if its
    /// table is not there, and is of one table.
    pub(crate) fn delete(elements: &BTreeSet<Self>, table: &str) -> Vec<Batch> {
        batches(elements, table, |batch, part| {
            // One that is missing would keep the others.
            batch.add_elements(part);
            batch.delete_elements(part);
        })
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

fn batches(elements: &BTreeSet<Element>, table: &str, change: impl Fn(&mut Batch, &[Element])) -> Vec<Batch> {
    let elements: Vec<Element> = elements.iter().cloned().collect();
    let mut batches = Vec::new();
    for of_family in elements.chunk_by(|a, b| a.family == b.family) {
        for part in of_family.chunks(AT_ONCE) {
            let mut batch = Batch::new(part.first().map_or(TableFamily::Inet, |element| element.family), table);
            part.chunk_by(|a, b| a.set == b.set).for_each(|of_set| change(&mut batch, of_set));
            batches.push(batch);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_addresses() {
        assert_eq!(link_local([0x02, 0x70, 0, 0, 0x12, 0x34]).to_string(), "fe80::70:ff:fe00:1234");
    }
}
