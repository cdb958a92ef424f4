//! Forgetting connections. A UDP "connection" lives on while packets flow, and its packets never see a port mapping
//! that came or went meanwhile.

use crate::address::address;
use crate::netlink::{AF_INET, AF_INET6, NLA_F_NESTED, NLM_F_ACK, NLM_F_DUMP, NetlinkMessages, Socket, find};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

const CT_GET: u16 = 0x101;
const CT_DELETE: u16 = 0x102;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
const CTA_FILTER: u16 = 25;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const FILTER_PROTO_NUM: u32 = 1 << 3;
const FILTER_PROTO_DST_PORT: u32 = 1 << 5;
const UDP: u8 = 17;

/// Which UDP connections to a port are forgotten.
pub(crate) enum UdpConnections<'a> {
    /// Those that are answered by one of these addresses: a pod that goes.
    AnsweredBy(&'a [IpAddr]),
    /// Those to one of these addresses of the node that were not redirected: a mapping that comes.
    NodesOwn(&'a BTreeSet<IpAddr>),
}

impl UdpConnections<'_> {
    fn has(&self, to: IpAddr, answered_by: IpAddr) -> bool {
        match self {
            Self::AnsweredBy(ips) => ips.contains(&answered_by),
            Self::NodesOwn(ips) => to == answered_by && (to.is_loopback() || ips.contains(&to)),
        }
    }
}

/// Forgets UDP connections of one IP version to these ports of the node. `socket` is a long-lived one: closing it may
/// wait 15 ms.
///
/// The kernel walks through the whole of its table, which takes longer than all else of an attach: so it is asked once
/// for all ports. It filters only by one IP version at a time.
pub(crate) fn forget_udp(
    socket: &mut Socket,
    ports: &BTreeSet<u16>,
    v4: bool,
    which: &UdpConnections<'_>,
) -> io::Result<()> {
    let header = [if v4 { AF_INET } else { AF_INET6 }, 0, 0, 0];
    let only = ports.first().copied().filter(|_| ports.len() == 1);
    let mut found = Vec::new();
    socket.dump(
        |messages| list(messages, header, only),
        |body| found.extend(body.get(4..).and_then(|list| chosen(list, ports, which))),
    )?;
    for identity in found {
        let mut messages = NetlinkMessages::default();
        messages.push(CT_DELETE, NLM_F_ACK, &header, |a| {
            for (kind, value) in &identity {
                // What was nested is sent back as it came.
                let nested = if *kind == CTA_TUPLE_ORIG { NLA_F_NESTED } else { 0 };
                a.bytes(kind | nested, value);
            }
        });
        match socket.request(messages) {
            // It ended by itself.
            Err((_, error)) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
            other => other.map_err(|(_, error)| error)?,
        }
    }
    Ok(())
}

/// Asks for all UDP connections, or for those to one port.
fn list(messages: &mut NetlinkMessages, header: [u8; 4], only: Option<u16>) {
    messages.push(CT_GET, NLM_F_DUMP, &header, |a| {
        a.nest(CTA_TUPLE_ORIG, |a| {
            a.nest(CTA_TUPLE_PROTO, |a| {
                a.u8(CTA_PROTO_NUM, UDP);
                if let Some(port) = only {
                    a.bytes(CTA_PROTO_DST_PORT, &port.to_be_bytes());
                }
            });
        });
        a.nest(CTA_FILTER, |a| {
            let port = if only.is_some() { FILTER_PROTO_DST_PORT } else { 0 };
            a.u32(CTA_FILTER_ORIG_FLAGS, FILTER_PROTO_NUM | port);
            a.u32(CTA_FILTER_REPLY_FLAGS, 0);
        });
    });
}

/// What identifies the connection, if it is one of those.
fn chosen(list: &[u8], ports: &BTreeSet<u16>, which: &UdpConnections<'_>) -> Option<Vec<(u16, Vec<u8>)>> {
    /// Destination and source in the address part of a tuple, of either family.
    const IP_SOURCE: [u16; 2] = [1, 3];
    const IP_DESTINATION: [u16; 2] = [2, 4];
    let end = |tuple: u16, kinds: [u16; 2]| {
        let ip = find(find(list, tuple)?, CTA_TUPLE_IP)?;
        address(kinds.iter().find_map(|kind| find(ip, *kind))?)
    };
    let to = end(CTA_TUPLE_ORIG, IP_DESTINATION)?;
    let answered_by = end(CTA_TUPLE_REPLY, IP_SOURCE)?;
    let protocol = find(find(list, CTA_TUPLE_ORIG)?, CTA_TUPLE_PROTO)?;
    let port = find(protocol, CTA_PROTO_DST_PORT)?.try_into().map(u16::from_be_bytes).ok()?;
    let meant = ports.contains(&port) && which.has(to, answered_by);
    meant.then(|| {
        let identity = [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE];
        crate::netlink::attributes(list)
            .filter(|(kind, _)| identity.contains(kind))
            .map(|(kind, value)| (kind, value.to_vec()))
            .collect()
    })
}
