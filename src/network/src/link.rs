//! Requests about links, addresses and routes.

use crate::address::{Mac, address, family, octets};
use crate::error::StepError;
use crate::neighbour::{Neighbour, neighbour_message, no_probes_message};
use crate::netlink::{
    Attributes, IFLA_LINKINFO, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NetlinkMessages,
    RTM_NEWLINK, find, u32_of,
};
use crate::routes::{Routes, link_header};
use rustix::io::Errno;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
/// `BR_BOOLOPT_NO_LL_LEARN`, value and mask.
const IFLA_BR_MULTI_BOOLOPT: u16 = 46;
const NO_LL_LEARN: u32 = 1;
const IFF_UP: u32 = 1;
const IFF_NOARP: u32 = 0x80;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 2;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;

/// What is seen of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) master: u32,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    /// The link at the other end, in whatever namespace; 0 if it has none.
    pub(crate) peer: u32,
}

/// A pair of links, one on the node and one inside a namespace.
pub(crate) struct Pair<'a> {
    /// The name on the node.
    pub(crate) host: &'a str,
    /// The bridge that gets the node's end.
    pub(crate) bridge: u32,
    /// The name inside.
    pub(crate) inside: &'a str,
    /// The hardware address inside.
    pub(crate) mac: Mac,
    /// The largest packet.
    pub(crate) mtu: u32,
    /// The namespace.
    pub(crate) netns: BorrowedFd<'a>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
}

impl Routes {
    /// Makes a bridge that is up, or leaves the one of that name as it is.
    pub(crate) fn make_bridge(&mut self, name: &str, mac: Mac, mtu: u32) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        messages.push(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &link_header(0, IFF_UP), |a| {
            a.text(IFLA_IFNAME, name);
            // Else the bridge's address changes with its ports, and pods send to the old one.
            a.bytes(IFLA_ADDRESS, &mac);
            a.u32(IFLA_MTU, mtu);
            a.nest(IFLA_LINKINFO, |a| a.text(IFLA_INFO_KIND, "bridge"));
        });
        match self.socket.request(messages) {
            Err((_, error)) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => Ok(()),
            other => other.map_err(|(_, source)| StepError::new(format!("make bridge {name}"), source)),
        }
    }

    /// Gives a bridge its address, and has it keep no memory that pods could fill:
    /// - none of the groups that somebody listens to, so what is sent to a group goes to all pods;
    /// - none of senders to link-local groups (01:80:c2:00:00:00 to 0f), for rules do not see all of these frames: by
    ///   one, a pod could have another's sent to itself.
    pub(crate) fn set_up_bridge(&mut self, link: &Link, mac: Mac) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        messages.push(RTM_NEWLINK, NLM_F_ACK, &link_header(link.index, 0), |a| {
            a.bytes(IFLA_ADDRESS, &mac);
            a.nest(IFLA_LINKINFO, |a| {
                a.text(IFLA_INFO_KIND, "bridge");
                a.nest(IFLA_INFO_DATA, |a| {
                    a.u8(IFLA_BR_MCAST_SNOOPING, 0);
                    let both = [NO_LL_LEARN.to_ne_bytes(), NO_LL_LEARN.to_ne_bytes()].concat();
                    a.bytes(IFLA_BR_MULTI_BOOLOPT, &both);
                });
            });
        });
        let failed = |(_, source)| StepError::new(format!("set up bridge {}", link.name), source);
        self.socket.request(messages).map_err(failed)
    }

    /// Takes the link away. Waits long for the kernel: never on a pod's way.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        messages.push(RTM_DELLINK, NLM_F_ACK, &link_header(0, 0), |a| a.text(IFLA_IFNAME, name));
        match self.socket.request(messages) {
            Err((_, error)) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(()),
            other => other.map_err(|(_, source)| StepError::new(format!("delete link {name}"), source)),
        }
    }

    /// Makes the pair: the node's end up and on the bridge, the other inside the namespace.
    pub(crate) fn make_pair(&mut self, pair: &Pair<'_>) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        // Frames to some link-local groups pass by the bridge and its rules to this link itself: it takes no ARP, and
        // the rules drop all IP packets that come by it.
        messages.push(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &link_header(0, IFF_UP | IFF_NOARP), |a| {
            a.text(IFLA_IFNAME, pair.host);
            a.u32(IFLA_MTU, pair.mtu);
            a.u32(IFLA_MASTER, pair.bridge);
            a.nest(IFLA_LINKINFO, |a| {
                a.text(IFLA_INFO_KIND, "veth");
                a.nest(IFLA_INFO_DATA, |a| {
                    // Made where it belongs: moving a link waits 30 ms.
                    a.nest_message(VETH_INFO_PEER, &link_header(0, 0), |a| inside(a, pair));
                });
            });
        });
        self.socket.request(messages).map_err(|(_, source)| {
            let full = source.raw_os_error() == Some(Errno::XFULL.raw_os_error());
            let hint = if full { " (a bridge takes no more links: stop pods)" } else { "" };
            StepError::new(format!("make link {}{hint}", pair.host), source)
        })
    }

    /// Puts a pod's link back onto the bridge, and switches it on.
    pub(crate) fn put_back(&mut self, link: &Link, bridge: u32) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        messages.push(RTM_NEWLINK, NLM_F_ACK, &link_header(link.index, IFF_UP), |a| a.u32(IFLA_MASTER, bridge));
        self.socket
            .request(messages)
            .map_err(|(_, source)| StepError::new(format!("put link {} back onto the bridge", link.name), source))
    }

    /// Switches links on, then gives addresses and routes, in one call. All but the gateway is behind the gateway, and
    /// the pod looks for nobody on its link.
    pub(crate) fn bring_up(&mut self, setup: &Inside<'_>) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        let mut steps = Vec::new();
        let mut step = |doing: &'static str, messages: &NetlinkMessages| steps.resize(messages.count() as usize, doing);
        messages.push(RTM_NEWLINK, NLM_F_ACK, &link_header(setup.loopback, IFF_UP), |_| {});
        step("switch on lo", &messages);
        for v4 in [true, false].into_iter().take(if setup.has_v6 { 2 } else { 1 }) {
            no_probes_message(&mut messages, setup.link, v4);
        }
        step("have the pod look for no neighbours", &messages);
        for ip in setup.addresses {
            address_message(&mut messages, setup.link, *ip, if ip.is_ipv4() { 32 } else { 128 });
        }
        step("give the pod's link its address", &messages);
        messages.push(RTM_NEWLINK, NLM_F_ACK, &link_header(setup.link, IFF_UP), |_| {});
        step("switch on the pod's link", &messages);
        setup.neighbours.iter().for_each(|neighbour| neighbour_message(&mut messages, setup.link, neighbour));
        step("enter the gateway as the pod's neighbour", &messages);
        setup.gateways.iter().for_each(|gateway| route_messages(&mut messages, setup.link, *gateway));
        step("make the pod's routes", &messages);
        self.socket.request(messages).map_err(|(index, source)| {
            StepError::new(steps.get(index as usize).copied().unwrap_or("connect the pod's link"), source)
        })
    }

    /// Gives a link an address, or leaves it if it has it.
    pub(crate) fn add_address(&mut self, link: &Link, ip: IpAddr, prefix: u8) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        address_message(&mut messages, link.index, ip, prefix);
        self.socket
            .request(messages)
            .map_err(|(_, source)| StepError::new(format!("give {} the address {ip}/{prefix}", link.name), source))
    }

    /// Switches a link on.
    pub(crate) fn switch_on(&mut self, link: &Link) -> Result<(), StepError> {
        let mut messages = NetlinkMessages::default();
        messages.push(RTM_NEWLINK, NLM_F_ACK, &link_header(link.index, IFF_UP), |_| {});
        self.socket.request(messages).map_err(|(_, source)| StepError::new(format!("switch on {}", link.name), source))
    }

    /// All links of the namespace.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>, StepError> {
        let mut links = Vec::new();
        let build = |messages: &mut NetlinkMessages| messages.push(RTM_GETLINK, NLM_F_DUMP, &link_header(0, 0), |_| {});
        self.socket
            .dump(build, |body| links.extend(parse_link(body)))
            .map_err(|source| StepError::new("list links", source))?;
        Ok(links)
    }

    /// The number of the link of this name, if there is one.
    pub(crate) fn index_of(&self, name: &str) -> Option<u32> {
        rustix::net::netdevice::name_to_index(self.socket.fd(), name).ok()
    }

    /// The addresses of the node itself.
    pub(crate) fn addresses(&mut self) -> Result<Vec<IpAddr>, StepError> {
        let mut addresses = Vec::new();
        let build = |messages: &mut NetlinkMessages| messages.push(RTM_GETADDR, NLM_F_DUMP, &[0; 8], |_| {});
        self.socket
            .dump(build, |body| {
                let list = body.get(8..).unwrap_or_default();
                addresses.extend(find(list, IFA_LOCAL).or_else(|| find(list, IFA_ADDRESS)).and_then(address));
            })
            .map_err(|source| StepError::new("list addresses", source))?;
        Ok(addresses)
    }

    /// The link that has a default route, if any.
    pub(crate) fn default_link(&mut self) -> Result<Option<u32>, StepError> {
        let mut found = None;
        let build = |messages: &mut NetlinkMessages| messages.push(RTM_GETROUTE, NLM_F_DUMP, &[0; 12], |_| {});
        self.socket
            .dump(build, |body| {
                let (to_all, main) = (body.get(1) == Some(&0), body.get(4) == Some(&RT_TABLE_MAIN));
                let list = body.get(12..).unwrap_or_default();
                if found.is_none() && to_all && main && find(list, RTA_DST).is_none() {
                    found = find(list, RTA_OIF).and_then(u32_of);
                }
            })
            .map_err(|source| StepError::new("list routes", source))?;
        Ok(found)
    }
}

/// What is set up inside a namespace.
pub(crate) struct Inside<'a> {
    pub(crate) loopback: u32,
    pub(crate) link: u32,
    pub(crate) addresses: &'a [IpAddr],
    pub(crate) gateways: &'a [IpAddr],
    /// Those on the link that the pod knows: the gateway by each of its addresses.
    pub(crate) neighbours: &'a [Neighbour],
    /// The kernel has IPv6.
    pub(crate) has_v6: bool,
}

/// The gateway is on the link, and all else is behind it.
fn route_messages(messages: &mut NetlinkMessages, link: u32, gateway: IpAddr) {
    let mut route = |prefix, scope, to: u16| {
        let header = [family(gateway), prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0];
        messages.push(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &header, |a| {
            a.bytes(to, &octets(gateway));
            a.u32(RTA_OIF, link);
        });
    };
    route(if gateway.is_ipv4() { 32 } else { 128 }, RT_SCOPE_LINK, RTA_DST);
    route(0, RT_SCOPE_UNIVERSE, RTA_GATEWAY);
}

fn inside(a: &mut Attributes, pair: &Pair<'_>) {
    a.text(IFLA_IFNAME, pair.inside);
    a.bytes(IFLA_ADDRESS, &pair.mac);
    a.u32(IFLA_MTU, pair.mtu);
    a.u32(IFLA_NET_NS_FD, pair.netns.as_raw_fd().cast_unsigned());
}

fn address_message(messages: &mut NetlinkMessages, link: u32, ip: IpAddr, prefix: u8) {
    let mut header = [family(ip), prefix, 0, 0, 0, 0, 0, 0];
    header[4..].copy_from_slice(&link.to_ne_bytes());
    messages.push(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, &header, |a| {
        a.bytes(IFA_LOCAL, &octets(ip));
        a.bytes(IFA_ADDRESS, &octets(ip));
        if !ip.is_ipv4() {
            // Nobody else has it, and looking for a second that somebody might would make the pod wait.
            a.u32(IFA_FLAGS, IFA_F_NODAD);
        }
    });
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let list = body.get(16..)?;
    let info = find(list, IFLA_LINKINFO).unwrap_or_default();
    Some(Link {
        index: u32_of(body.get(4..)?)?,
        up: u32_of(body.get(8..)?)? & IFF_UP != 0,
        name: text(find(list, IFLA_IFNAME)?),
        kind: find(info, IFLA_INFO_KIND).map(text).unwrap_or_default(),
        master: find(list, IFLA_MASTER).and_then(u32_of).unwrap_or(0),
        mtu: find(list, IFLA_MTU).and_then(u32_of).unwrap_or(0),
        peer: find(list, IFLA_LINK).and_then(u32_of).unwrap_or(0),
    })
}
