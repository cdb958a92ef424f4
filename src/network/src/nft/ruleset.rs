//! The one table of ours: which packets it drops, redirects and masquerades.
//!
//! ```text
//! guard (raw, before connection tracking)  from the bridge, to or from 127.0.0.0/8: drop (CVE-2020-8558)
//! pre, out                                 for the node itself: jump ports
//! ports                                    address . protocol . port in at4, else protocol . port in any4: redirect
//! post                                     from 127.0.0.0/8 out to the bridge: masquerade
//!                                          pod to pod by a host port (own4 has the pods' ports): masquerade
//!                                          pod to elsewhere, but not multicast: masquerade
//! ```
//! The same for IPv6 with `at6`, `any6`, `own6`; there `::1` is left alone, the kernel would not let it out.

use super::batch::{Batch, Hook, Type};
use super::expression::{Rule, Side};
use crate::ports::PortMapping;
use crate::subnet::Subnet;
use std::collections::BTreeSet;
use std::net::IpAddr;

const NF_INET_PRE_ROUTING: u32 = 0;
const NF_INET_LOCAL_OUT: u32 = 3;
const NF_INET_POST_ROUTING: u32 = 4;

/// The table of one bridge.
#[derive(Clone, Debug)]
pub(crate) struct Ruleset {
    pub(crate) bridge: String,
    pub(crate) v4: Option<Subnet>,
    pub(crate) v6: Option<Subnet>,
}

/// One entry of a set or map of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element {
    set: &'static str,
    key: Vec<u8>,
    data: Option<Vec<u8>>,
}

/// Protocol and port as parts of a key.
fn service(protocol: u8, port: u16) -> [u8; 8] {
    let [high, low] = port.to_be_bytes();
    [protocol, 0, 0, 0, high, low, 0, 0]
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

impl Element {
    /// What makes these ports lead to these addresses.
    pub(crate) fn of(ports: &[PortMapping], ips: &[IpAddr]) -> BTreeSet<Self> {
        let mut elements = BTreeSet::new();
        for port in ports {
            for ip in ips.iter().filter(|ip| port.serves(ip.is_ipv4())) {
                let v4 = ip.is_ipv4();
                let protocol = port.protocol.number();
                let mut own = octets(*ip);
                own.extend(service(protocol, port.container_port));
                elements.insert(Self { set: if v4 { "own4" } else { "own6" }, key: own, data: None });

                let mut data = octets(*ip);
                data.extend(port.container_port.to_be_bytes());
                data.extend([0, 0]);
                let from = service(protocol, port.host_port);
                let (set, key) = match port.only_on() {
                    None => (if v4 { "any4" } else { "any6" }, from.to_vec()),
                    Some(only) => (if v4 { "at4" } else { "at6" }, [octets(only), from.to_vec()].concat()),
                };
                elements.insert(Self { set, key, data: Some(data) });
            }
        }
        elements
    }

    /// Adds this element in the batch.
    pub(crate) fn add(&self, batch: &mut Batch) {
        batch.element(true, self.set, &self.key, self.data.as_deref());
    }

    /// Takes this element away in the batch, which fails if it is not there.
    pub(crate) fn delete(&self, batch: &mut Batch) {
        batch.element(false, self.set, &self.key, None);
    }
}

impl Ruleset {
    /// A batch that puts the table in place of whatever is there under its name.
    pub(crate) fn replace(&self) -> Batch {
        let mut batch = Batch::new(&self.bridge);
        batch.add_table();
        batch.delete_table();
        batch.add_table();
        let hooks = [
            ("guard", "filter", NF_INET_PRE_ROUTING, -300),
            ("pre", "nat", NF_INET_PRE_ROUTING, -100),
            ("out", "nat", NF_INET_LOCAL_OUT, -100),
            ("post", "nat", NF_INET_POST_ROUTING, 100),
        ];
        batch.add_chain("ports", None);
        for (name, kind, number, priority) in hooks {
            batch.add_chain(name, Some(&Hook { kind, number, priority }));
        }
        for subnet in [self.v4, self.v6].into_iter().flatten() {
            let v4 = subnet.is_v4();
            let address = if v4 { Type::Ipv4 } else { Type::Ipv6 };
            let [at, any, own] = if v4 { ["at4", "any4", "own4"] } else { ["at6", "any6", "own6"] };
            batch.add_set(at, &[address, Type::Protocol, Type::Port], &[address, Type::Port]);
            batch.add_set(any, &[Type::Protocol, Type::Port], &[address, Type::Port]);
            batch.add_set(own, &[address, Type::Protocol, Type::Port], &[]);
            batch.add_rule("ports", Rule::version(v4).redirect(v4, true, at));
            batch.add_rule("ports", Rule::version(v4).redirect(v4, false, any));
        }
        for chain in ["pre", "out"] {
            self.add_jumps(&mut batch, chain);
        }
        self.add_guard(&mut batch);
        self.add_masquerade(&mut batch);
        batch
    }

    fn add_jumps(&self, batch: &mut Batch, chain: &str) {
        if self.v4.is_some() {
            batch.add_rule(chain, Rule::version(true).for_the_node().jump("ports"));
        }
        if self.v6.is_some() {
            let rule = Rule::version(false).address(Side::Destination, Subnet::LOOPBACK_V6, false);
            batch.add_rule(chain, rule.for_the_node().jump("ports"));
        }
    }

    fn add_guard(&self, batch: &mut Batch) {
        for side in [Side::Destination, Side::Source] {
            let rule = Rule::version(true).comes_by(&self.bridge).address(side, Subnet::LOOPBACK_V4, true);
            batch.add_rule("guard", rule.drop());
        }
    }

    fn add_masquerade(&self, batch: &mut Batch) {
        if self.v4.is_some() {
            let local = Rule::version(true).address(Side::Source, Subnet::LOOPBACK_V4, true).leaves_by(&self.bridge);
            batch.add_rule("post", local.masquerade());
        }
        for subnet in [self.v4, self.v6].into_iter().flatten() {
            let v4 = subnet.is_v4();
            let (own, multicast) = if v4 { ("own4", Subnet::MULTICAST_V4) } else { ("own6", Subnet::MULTICAST_V6) };
            let from_pod = || Rule::version(v4).address(Side::Source, subnet, true);
            batch.add_rule("post", from_pod().target_in(v4, own).redirected().masquerade());
            let outward = from_pod().address(Side::Destination, subnet, false);
            batch.add_rule("post", outward.address(Side::Destination, multicast, false).masquerade());
        }
    }
}
