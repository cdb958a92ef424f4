//! What is done at the kernel's door for one attachment. All of it blocks.

use crate::attachment::Attachment;
use crate::conntrack::Which;
use crate::error::StepError;
use crate::link::{Inside, Pair, Routes};
use crate::netns;
use crate::nft::Element;
use crate::node::{Bridge, Node, mac};
use crate::ports::Protocol;
use crate::record::Record;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::mpsc;

/// How an attach failed.
pub(crate) enum Trouble {
    /// The link that had this number last is still there.
    Resting,
    /// The record was not committed, so nothing may be made.
    NotCommitted,
    /// The kernel refused a step.
    Step(StepError),
}

impl From<StepError> for Trouble {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

/// Makes what the record says, once `committed` tells that it is on disk. On an error something may be left, for
/// [`undo`] to take away.
///
/// Run it on a thread of its own: it ends in the new namespace.
pub(crate) fn make(
    node: &Node,
    bridge: Bridge,
    record: &Record,
    committed: &mpsc::Receiver<()>,
) -> Result<(), Trouble> {
    let attachment = &record.attachment;
    node.open_sockets()?;
    node.hold_facts()?;
    let mut outside = Routes::open()?;
    let addresses = node_addresses(record, &mut outside)?;
    let namespace = netns::enter_new()?;
    let mut inside = Routes::open()?;
    // Until here nothing would outlive this process.
    committed.recv().map_err(|_| Trouble::NotCommitted)?;
    netns::pin(&attachment.netns)?;
    peapod_sys::fail_point("network-pinned");
    netns::believe_nobody()?;
    if node.settings.v6.is_some() {
        for interface in ["all", "default"] {
            netns::set_sysctl(&format!("ipv6/conf/{interface}/disable_ipv6"), "0")?;
            netns::set_sysctl(&format!("ipv6/conf/{interface}/accept_dad"), "0")?;
        }
    }
    let pair = Pair {
        host: &attachment.host_interface,
        bridge: bridge.index,
        inside: &attachment.interface,
        mac: mac(record.slot),
        mtu: attachment.mtu,
        netns: namespace.as_fd(),
    };
    outside.make_pair(&pair).map_err(
        |error| {
            if error.is(Errno::EXIST) { Trouble::Resting } else { Trouble::Step(error) }
        },
    )?;
    peapod_sys::fail_point("network-linked");
    // The pod's first packet is one that it may send.
    node.add(&elements(record))?;
    bring_up(node, record, &mut inside)?;
    forget(node, record, &Which::NodesOwn(&addresses));
    Ok(())
}

/// What the tables hold for an attachment: its host ports, and what it may send.
pub(crate) fn elements(record: &Record) -> BTreeSet<Element> {
    let mut elements = sources(record);
    elements.extend(Element::of_ports(&record.attachment.ports, &record.attachment.ips));
    elements
}

/// What the attachment may send.
pub(crate) fn sources(record: &Record) -> BTreeSet<Element> {
    Element::of_link(&record.attachment.host_interface, mac(record.slot), &record.attachment.ips)
}

fn bring_up(node: &Node, record: &Record, inside: &mut Routes) -> Result<(), StepError> {
    let attachment = &record.attachment;
    let links = inside.links()?;
    let index = |name: &str| {
        let missing = || StepError::new(format!("find link {name} in the pod"), Errno::NODEV);
        links.iter().find(|link| link.name == name).map(|link| link.index).ok_or_else(missing)
    };
    let prefix = |ip: &IpAddr| {
        let subnet = if ip.is_ipv4() { node.settings.v4 } else { node.settings.v6 };
        subnet.map_or(0, |subnet| subnet.prefix())
    };
    let addresses: Vec<_> =
        attachment.ips.iter().zip(&attachment.gateways).map(|(ip, gateway)| (*ip, prefix(ip), *gateway)).collect();
    inside.bring_up(&Inside { loopback: index("lo")?, link: index(&attachment.interface)?, addresses: &addresses })
}

/// How taking an attachment away went.
pub(crate) struct Undone {
    pub(crate) rules: Result<(), StepError>,
    pub(crate) pin: Result<(), StepError>,
}

/// Takes everything of the record away that is there. Does all it can.
pub(crate) fn undo(node: &Node, record: &Record) -> Undone {
    let attachment = &record.attachment;
    let rules = node.delete(&record.bridge, &elements(record));
    forget(node, record, &Which::AnsweredBy(&attachment.ips));
    // The links go with the namespace: deleting them would wait 30 ms.
    let pin = netns::unpin(&attachment.netns);
    Undone { rules, pin }
}

/// The UDP ports of the node that lead to this address.
fn udp_ports(record: &Record, v4: bool) -> BTreeSet<u16> {
    let Attachment { ports, ips, .. } = &record.attachment;
    let has_address = ips.iter().any(|ip| ip.is_ipv4() == v4);
    let udp = ports.iter().filter(|port| has_address && port.protocol == Protocol::Udp && port.serves(v4));
    udp.map(|port| port.host_port).collect()
}

/// The addresses of the node, if they matter for this record.
fn node_addresses(record: &Record, outside: &mut Routes) -> Result<BTreeSet<IpAddr>, StepError> {
    if [true, false].iter().all(|v4| udp_ports(record, *v4).is_empty()) {
        return Ok(BTreeSet::new());
    }
    Ok(outside.addresses()?.into_iter().collect())
}

/// A connection that is not forgotten goes its old way until it rests for half a minute: said, but no reason to fail.
fn forget(node: &Node, record: &Record, which: &Which<'_>) {
    for v4 in [true, false] {
        let ports = udp_ports(record, v4);
        if ports.is_empty() {
            continue;
        }
        if let Err(error) = node.forget_udp(&ports, v4, which) {
            let id = &record.attachment.id;
            tracing::warn!(network_id = %id, %error, "old UDP connections to its host ports go on as they were");
        }
    }
}
