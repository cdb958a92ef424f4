//! What is done in the kernel for one attachment. All of it blocks.

use super::host::{Bridge, HostNetwork};
use super::naming::{GATEWAY, mac};
use super::plan::known_by;
use crate::attachment::Attachment;
use crate::conntrack::UdpConnections;
use crate::error::StepError;
use crate::link::{Inside, Link, Pair};
use crate::neighbour::{Neighbour, Port};
use crate::netns;
use crate::nft::Element;
use crate::ports::Protocol;
use crate::record::AttachmentRecord;
use crate::routes::Routes;
use crate::stages;
use peapod_trace::Span;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::mpsc;

/// The number of `lo` in every namespace.
const LOOPBACK: u32 = 1;

/// How an attach failed.
pub(crate) enum MakeError {
    /// The link that had this number last is still there.
    Lingering,
    /// The record was not committed, so nothing may be made.
    NotCommitted,
    /// The kernel refused a step.
    Step(StepError),
}

impl From<StepError> for MakeError {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

/// Makes what the record says, once `committed` tells that it is on disk: in a new namespace, or in the given one. On
/// an error something may be left, for [`undo`] to take away.
///
/// Run it on a thread of its own: it ends in the new namespace.
pub(crate) fn make(
    host: &HostNetwork,
    bridge: Bridge,
    record: &AttachmentRecord,
    committed: &mpsc::Receiver<()>,
    given: Option<&Path>,
    span: &Span,
) -> Result<(), MakeError> {
    let attachment = &record.attachment;
    host.open_sockets()?;
    host.hold_facts()?;
    let mut outside = Routes::open()?;
    let addresses = node_addresses(record, &mut outside)?;
    let namespace = netns::enter(given)?;
    let mut inside = Routes::open()?;
    // Until here nothing would outlive this process.
    committed.recv().map_err(|_| MakeError::NotCommitted)?;
    span.enter(&stages::NAMESPACE);
    netns::pin(&attachment.netns)?;
    peapod_sys::fail_point("network-pinned");
    netns::believe_nobody()?;
    if host.settings.v6.is_some() {
        for interface in ["all", "default"] {
            netns::set_sysctl(&format!("ipv6/conf/{interface}/disable_ipv6"), "0")?;
            netns::set_sysctl(&format!("ipv6/conf/{interface}/accept_dad"), "0")?;
        }
    }
    let pair = Pair {
        host: &attachment.host_interface,
        bridge: bridge.index,
        inside: &attachment.interface,
        mac: mac(record.host_index),
        mtu: attachment.mtu,
        netns: namespace.as_fd(),
    };
    span.enter(&stages::LINKS);
    outside
        .make_pair(&pair)
        .map_err(|error| if error.is(Errno::EXIST) { MakeError::Lingering } else { MakeError::Step(error) })?;
    peapod_sys::fail_point("network-linked");
    connect(host, bridge, record, (&mut outside, &mut inside), span)?;
    forget(host, record, &UdpConnections::NodesOwn(&addresses));
    Ok(())
}

/// Takes the links of a failed attempt away, of a namespace that was given and goes on: the next attempt finds it as it
/// was. Waits long for the kernel.
pub(crate) fn delete_links(record: &AttachmentRecord) -> Result<(), StepError> {
    Routes::open()?.delete(&record.attachment.host_interface)
}

/// Has a pair of links carry what the pod may send, and nothing else.
fn connect(
    host: &HostNetwork,
    bridge: Bridge,
    record: &AttachmentRecord,
    (outside, inside): (&mut Routes, &mut Routes),
    span: &Span,
) -> Result<(), StepError> {
    // The pod's first packet is one that it may send.
    span.enter(&stages::RULES);
    host.add(&elements(record))?;
    span.enter(&stages::ADDRESSES);
    let link = link_inside(inside, &record.attachment.interface)?;
    let port = Port { link: link.peer, mac: mac(record.host_index) };
    outside.admit(bridge.index, &port, &neighbours(host, record))?;
    bring_up(host, record, &link, inside)
}

/// What the tables hold for an attachment: its host ports, its addresses, and what it may send.
pub(crate) fn elements(record: &AttachmentRecord) -> BTreeSet<Element> {
    let mut elements = sources(record);
    elements.extend(Element::of_ports(&record.attachment.ports, &record.attachment.ips));
    elements
}

/// The attachment's addresses, and what it may send.
pub(crate) fn sources(record: &AttachmentRecord) -> BTreeSet<Element> {
    let Attachment { host_interface, ips, .. } = &record.attachment;
    Element::of_pod(host_interface, mac(record.host_index), ips, record.layout)
}

/// The attachment as the bridge's neighbour.
pub(crate) fn neighbours(host: &HostNetwork, record: &AttachmentRecord) -> Vec<Neighbour> {
    known_by(&host.settings, mac(record.host_index), &record.attachment.ips)
}

fn link_inside(inside: &mut Routes, name: &str) -> Result<Link, StepError> {
    let missing = || StepError::new(format!("find link {name} in the pod"), Errno::NODEV);
    inside.links()?.into_iter().find(|link| link.name == name).ok_or_else(missing)
}

fn bring_up(host: &HostNetwork, record: &AttachmentRecord, link: &Link, inside: &mut Routes) -> Result<(), StepError> {
    let Attachment { ips, gateways, .. } = &record.attachment;
    inside.bring_up(&Inside {
        loopback: LOOPBACK,
        link: link.index,
        addresses: ips,
        gateways,
        neighbours: &known_by(&host.settings, mac(GATEWAY), gateways),
        has_v6: Path::new("/proc/sys/net/ipv6").exists(),
    })
}

/// How taking an attachment away went.
pub(crate) struct Undone {
    pub(crate) rules: Result<(), StepError>,
    pub(crate) known: Result<(), StepError>,
    pub(crate) pin: Result<(), StepError>,
}

/// Takes everything of the record away that is there. Does all it can.
pub(crate) fn undo(host: &HostNetwork, record: &AttachmentRecord) -> Undone {
    let attachment = &record.attachment;
    let rules = host.delete(&record.bridge, &elements(record));
    let known = host.delete_neighbours(&record.bridge, &neighbours(host, record));
    forget(host, record, &UdpConnections::AnsweredBy(&attachment.ips));
    // The links go with the namespace: deleting them would wait 30 ms. Who goes on with it calls `delete_links`.
    let pin = netns::unpin(&attachment.netns);
    Undone { rules, known, pin }
}

/// The UDP ports of the node that lead to this address.
fn udp_ports(record: &AttachmentRecord, v4: bool) -> BTreeSet<u16> {
    let Attachment { ports, ips, .. } = &record.attachment;
    let has_address = ips.iter().any(|ip| ip.is_ipv4() == v4);
    let udp = ports.iter().filter(|port| has_address && port.protocol == Protocol::Udp && port.serves(v4));
    udp.map(|port| port.host_port).collect()
}

/// The addresses of the node, if they matter for this record.
fn node_addresses(record: &AttachmentRecord, outside: &mut Routes) -> Result<BTreeSet<IpAddr>, StepError> {
    if [true, false].iter().all(|v4| udp_ports(record, *v4).is_empty()) {
        return Ok(BTreeSet::new());
    }
    Ok(outside.addresses()?.into_iter().collect())
}

/// A connection that is not forgotten goes its old way until it rests for half a minute: said, but no reason to fail.
fn forget(host: &HostNetwork, record: &AttachmentRecord, which: &UdpConnections<'_>) {
    for v4 in [true, false] {
        let ports = udp_ports(record, v4);
        if ports.is_empty() {
            continue;
        }
        if let Err(error) = host.forget_udp(&ports, v4, which) {
            let id = &record.attachment.id;
            tracing::warn!(network_id = %id, %error, "old UDP connections to its host ports go on as they were");
        }
    }
}
