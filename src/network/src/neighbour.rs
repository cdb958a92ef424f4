//! Requests about neighbours: which hardware address an IP address has, and behind which port of the bridge that is.
//!
//! The kernel has one table of neighbours for each IP version and all namespaces together, with room for about a
//! thousand that were looked for. So nobody looks for pods or their gateway: both are entered as permanent, which takes
//! none of that room, and pods look for nobody at all.

use crate::address::{Mac, address, family, octets};
use crate::error::StepError;
use crate::netlink::{
    AF_BRIDGE, AF_INET, AF_INET6, IFLA_LINKINFO, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NetlinkMessages,
    RTM_NEWLINK, find, u32_of,
};
use crate::routes::{Routes, link_header};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(crate) const RTM_NEWNEIGH: u16 = 28;
pub(crate) const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const RTM_SETNEIGHTBL: u16 = 67;

const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
const NTF_MASTER: u8 = 4;
/// `struct ndmsg`.
const HEADER: usize = 12;

const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_APP_PROBES: u16 = 9;
const NDTPA_MCAST_PROBES: u16 = 11;

/// How many requests go out in one call: their answers fit into the socket's buffer.
const AT_ONCE: usize = 256;

/// An IP address and the hardware address that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Neighbour {
    pub(crate) ip: IpAddr,
    pub(crate) mac: Mac,
}

/// A link of the node that is a pod's port of the bridge, and the hardware address behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) link: u32,
    pub(crate) mac: Mac,
}

/// `struct ndmsg`: family, link, state, flags.
fn header(family: u8, link: u32, state: u16, flags: u8) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = family;
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..10].copy_from_slice(&state.to_ne_bytes());
    header[10] = flags;
    header
}

/// Enters a permanent neighbour of a link.
pub(crate) fn neighbour_message(messages: &mut NetlinkMessages, link: u32, Neighbour { ip, mac }: &Neighbour) {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    messages.push(RTM_NEWNEIGH, flags, &header(family(*ip), link, NUD_PERMANENT, 0), |a| {
        a.bytes(NDA_DST, &octets(*ip));
        a.bytes(NDA_LLADDR, mac);
    });
}

/// Has a link look for no neighbours of one IP version: a packet to one that is not entered is dropped.
pub(crate) fn no_probes_message(messages: &mut NetlinkMessages, link: u32, v4: bool) {
    let (family, table) = if v4 { (AF_INET, "arp_cache") } else { (AF_INET6, "ndisc_cache") };
    messages.push(RTM_SETNEIGHTBL, NLM_F_ACK, &[family, 0, 0, 0], |a| {
        a.text(NDTA_NAME, table);
        a.nest(NDTA_PARMS, |a| {
            a.u32(NDTPA_IFINDEX, link);
            a.u32(NDTPA_MCAST_PROBES, 0);
            a.u32(NDTPA_APP_PROBES, 0);
        });
    });
}

/// Has the bridge know by itself what is behind a port, learn nothing from the pod, and bother it with no frames for
/// others. A pod reaches itself through its own host port: hairpin mode.
fn port_messages(messages: &mut NetlinkMessages, Port { link, mac }: &Port) {
    messages.push(RTM_NEWLINK, NLM_F_ACK, &link_header(*link, 0), |a| {
        a.nest(IFLA_LINKINFO, |a| {
            a.text(IFLA_INFO_SLAVE_KIND, "bridge");
            a.nest(IFLA_INFO_SLAVE_DATA, |a| {
                a.u8(IFLA_BRPORT_MODE, 1);
                a.u8(IFLA_BRPORT_LEARNING, 0);
                a.u8(IFLA_BRPORT_UNICAST_FLOOD, 0);
            });
        });
    });
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    messages.push(RTM_NEWNEIGH, flags, &header(AF_BRIDGE, *link, NUD_NOARP, NTF_MASTER), |a| a.bytes(NDA_LLADDR, mac));
}

impl Routes {
    /// Admits a pod to the bridge: its port, and its addresses as the bridge's neighbours.
    pub(crate) fn admit(&mut self, bridge: u32, port: &Port, neighbours: &[Neighbour]) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        port_messages(&mut messages, port);
        neighbours.iter().for_each(|neighbour| neighbour_message(&mut messages, bridge, neighbour));
        let failed = |(_, source)| StepError::new("admit the pod's link to the bridge", source);
        self.socket.request(messages).map_err(failed)
    }

    /// Sets a port up again.
    pub(crate) fn set_port(&mut self, port: &Port) -> Result<(), StepError> {
        self.admit(0, port, &[])
    }

    /// Enters permanent neighbours of a link.
    pub(crate) fn add_neighbours(&mut self, link: u32, neighbours: &[Neighbour]) -> Result<(), StepError> {
        for part in neighbours.chunks(AT_ONCE) {
            let mut messages = NetlinkMessages::default();
            part.iter().for_each(|neighbour| neighbour_message(&mut messages, link, neighbour));
            let failed = |(_, source)| StepError::new("enter pods as neighbours of the bridge", source);
            self.socket.request(messages).map_err(failed)?;
        }
        Ok(())
    }

    /// Takes neighbours of a link away; fine if they, or the link, are not there.
    pub(crate) fn delete_neighbours(&mut self, link: u32, neighbours: &[Neighbour]) -> Result<(), StepError> {
        let failed = |source| StepError::new("take pods away as neighbours of the bridge", source);
        let gone = [Errno::NOENT, Errno::NODEV];
        for part in neighbours.chunks(AT_ONCE) {
            let mut messages = NetlinkMessages::default();
            for Neighbour { ip, .. } in part {
                let header = header(family(*ip), link, 0, 0);
                messages.push(RTM_DELNEIGH, NLM_F_ACK, &header, |a| a.bytes(NDA_DST, &octets(*ip)));
            }
            let answers = self.socket.exchange(messages).map_err(failed)?;
            if let Some(errno) = answers.iter().find_map(|(_, errno)| errno.filter(|errno| !gone.contains(errno))) {
                return Err(failed(errno.into()));
            }
        }
        Ok(())
    }

    /// The permanent neighbours of a link.
    pub(crate) fn neighbours(&mut self, link: u32) -> Result<BTreeSet<Neighbour>, StepError> {
        let mut neighbours = BTreeSet::new();
        self.each_neighbour(0, |body| {
            let list = body.get(HEADER..).unwrap_or_default();
            let entered = link_of(body) == Some(link) && has_state(body, NUD_PERMANENT);
            let seen = || Some(Neighbour { ip: find(list, NDA_DST).and_then(address)?, mac: mac_in(list)? });
            neighbours.extend(entered.then(seen).flatten());
        })?;
        Ok(neighbours)
    }

    /// The ports of all bridges whose hardware addresses are entered, not learned.
    pub(crate) fn ports(&mut self) -> Result<BTreeSet<Port>, StepError> {
        let mut ports = BTreeSet::new();
        self.each_neighbour(AF_BRIDGE, |body| {
            let list = body.get(HEADER..).unwrap_or_default();
            let seen = || Some(Port { link: link_of(body)?, mac: mac_in(list)? });
            ports.extend(has_state(body, NUD_NOARP).then(seen).flatten());
        })?;
        Ok(ports)
    }

    fn each_neighbour(&mut self, family: u8, each: impl FnMut(&[u8])) -> Result<(), StepError> {
        let build =
            |messages: &mut NetlinkMessages| messages.push(RTM_GETNEIGH, NLM_F_DUMP, &header(family, 0, 0, 0), |_| {});
        self.socket.dump(build, each).map_err(|source| StepError::new("list neighbours", source))
    }
}

fn link_of(body: &[u8]) -> Option<u32> {
    u32_of(body.get(4..)?)
}

fn has_state(body: &[u8], state: u16) -> bool {
    body.get(8..10).and_then(|bytes| bytes.try_into().ok()).is_some_and(|bytes| u16::from_ne_bytes(bytes) & state != 0)
}

fn mac_in(list: &[u8]) -> Option<Mac> {
    find(list, NDA_LLADDR)?.try_into().ok()
}
