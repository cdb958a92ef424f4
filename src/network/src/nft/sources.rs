//! The table that believes no pod: which frames one may send. A pod with the capability NET_RAW, which is among those
//! that containers get by default, sends whatever it likes; here is the first place where that is seen.
//!
//! ```text
//! ports        a frame that comes into the bridge by a pod's link: goto port
//! port         IPv4 and IPv6 from the link's own hardware address and IP address: goto v4, v6; an ARP packet that
//!              tells nothing but these: goto resolve; from :: (looking for a second that has the address): goto
//!              unspecified. All else is dropped, so also tagged frames (VLAN), in which any of this could be
//! resolve      an answer, a question for the gateway, and any question of a pod that shares its link with the others:
//!              accept
//! v4           drop: DHCP answers, redirects, router advertisements, queries of multicast routers. Fragments but the
//!              first show no ports and types, and are nothing without the first. All else: goto routed
//! v6           the same, and neighbour discovery: goto solicit if resolve would accept it, advert. A first fragment
//!              that ends before the protocol's header, where all this could be, is dropped (RFC 7113)
//! routed       to the bridge, a group, or a link-local address: accept; to another pod: made to go to the bridge,
//!              which routes it, so the node sees both directions of a connection however a pod reaches the others
//! unspecified  a search for a second that has the pod's own address, and multicast reports: accept
//! solicit      tells the pod's own hardware address or none, and has no extension headers: accept
//! advert       the same, and it is about the pod's own address: accept
//! ```
//! Each set is keyed by the link's name first: a frame costs the same however many pods there are.
//!
//! A pod that could ask all others who they are would have each remember it: an entry in the kernel's table for each of
//! them.

use super::batch::{Batch, Hook, Type};
use super::bridge_rules::Ruleset;
use super::expression::FrameField;
use super::frame::{
    self, ICMP, ICMPV6, IGMP, TCP, UDP, any_protocol, differs, equals, icmp, icmp_among, later_fragment_v6, link_with,
    protocol, send_to_bridge, shows_transport, to_bridge_or_group, to_port,
};
use super::rule::{Rule, Side};
use super::table_family::TableFamily;
use crate::address::{link_local, octets};
use crate::subnet::Subnet;
use std::net::IpAddr;

/// The sets: hardware addresses, addresses of each IP version, links that pods share with each other.
pub(super) const SETS: [&str; 4] = ["mac", "from4", "from6", "shared"];

const NF_BR_PRE_ROUTING: u32 = 0;
/// Before all else that looks at bridged frames.
const PRIORITY: i32 = -300;

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Ethernet and IPv4, addresses of six and four bytes.
const ARP_FORM: [u8; 6] = [0, 1, 8, 0, 6, 4];

const ARP_REPLY: [u8; 2] = [0, 2];

const DHCP_CLIENT_V4: u16 = 68;
const DHCP_CLIENT_V6: u16 = 546;
const REDIRECT_V4: u8 = 5;
const ROUTER_V4: u8 = 9;
const IGMP_QUERY: u8 = 0x11;
const IGMP_ROUTER: u8 = 0x30;
const MLD_QUERY: u8 = 130;
const MLD_REPORTS: [u8; 2] = [131, 143];
const SOLICIT: u8 = 135;
const ADVERT: u8 = 136;
/// Of these, solicitations and advertisements of neighbours have gone elsewhere before: routers and redirects.
const DISCOVERY: (u8, u8) = (133, 137);
const INVERSE_DISCOVERY: (u8, u8) = (141, 142);
const MULTICAST_ROUTERS: (u8, u8) = (151, 153);

/// The address that a neighbour message is about.
const TARGET: FrameField = FrameField::transport(8, 16);
/// Kind and length, in eight bytes, of its first option; then what this tells.
const OPTION: FrameField = FrameField::transport(24, 2);
const OPTION_MAC: FrameField = FrameField::transport(26, 6);
/// The sender's hardware address in a solicitation, the target's in an advertisement.
const SOURCE_MAC: [u8; 2] = [1, 1];
const TARGET_MAC: [u8; 2] = [2, 1];
/// Lengths of a neighbour message without options, and with one hardware address.
const WITHOUT_OPTION: [u8; 2] = [0, 24];
const WITH_OPTION: [u8; 2] = [0, 32];

/// Adds the table.
pub(super) fn add(batch: &mut Batch, ruleset: &Ruleset) {
    batch.switch_to(TableFamily::Bridge);
    batch.add_table();
    batch.add_set("mac", &[Type::Link, Type::Mac], &[]);
    batch.add_set("from4", &[Type::Link, Type::Mac, Type::Ipv4], &[]);
    batch.add_set("from6", &[Type::Link, Type::Mac, Type::Ipv6], &[]);
    batch.add_set("shared", &[Type::Link], &[]);
    for chain in ["port", "resolve", "v4", "v6", "routed", "unspecified", "solicit", "advert"] {
        batch.add_chain(chain, None);
    }
    batch.add_chain("ports", Some(&Hook { kind: "filter", number: NF_BR_PRE_ROUTING, priority: PRIORITY }));
    batch.add_rule("ports", Rule::new().comes_by_any(&ruleset.links).go_to("port"));
    add_port(batch);
    add_resolve(batch, ruleset);
    add_v4(batch);
    add_v6(batch, ruleset);
    add_routed(batch, ruleset);
    add_neighbours(batch);
}

fn of_type(ether_type: [u8; 2]) -> Rule {
    Rule::when(equals(frame::ETHER_TYPE, &ether_type))
}

fn add_port(batch: &mut Batch) {
    let from = |ether_type, source, set| of_type(ether_type).with(link_with(&[frame::ETHER_SOURCE, source], set));
    batch.add_rule("port", from(IPV4, frame::V4_SOURCE, "from4").go_to("v4"));
    batch.add_rule("port", from(IPV6, frame::V6_SOURCE, "from6").go_to("v6"));
    let arp = of_type(ARP).with(equals(frame::ARP_FORM, &ARP_FORM)).with(link_with(&[frame::ARP_SENDER_MAC], "mac"));
    batch.add_rule("port", arp.with(link_with(&[frame::ETHER_SOURCE, frame::ARP_SENDER_IP], "from4")).go_to("resolve"));
    let unspecified =
        of_type(IPV6).with(equals(frame::V6_SOURCE, &[0; 16])).with(link_with(&[frame::ETHER_SOURCE], "mac"));
    batch.add_rule("port", unspecified.go_to("unspecified"));
    batch.add_rule("port", Rule::new().drop());
}

fn add_resolve(batch: &mut Batch, ruleset: &Ruleset) {
    batch.add_rule("resolve", Rule::when(equals(frame::ARP_OPERATION, &ARP_REPLY)).accept());
    if let Some(subnet) = ruleset.v4 {
        let gateway = octets(subnet.gateway());
        batch.add_rule("resolve", Rule::when(equals(frame::ARP_TARGET_IP, &gateway)).accept());
    }
    batch.add_rule("resolve", Rule::when(link_with(&[], "shared")).accept());
    batch.add_rule("resolve", Rule::new().drop());
}

fn add_routed(batch: &mut Batch, ruleset: &Ruleset) {
    batch.add_rule("routed", Rule::when(to_bridge_or_group()).accept());
    let link_local = of_type(IPV6).address(Side::Destination, Subnet::LINK_LOCAL_V6, true);
    batch.add_rule("routed", link_local.accept());
    batch.add_rule("routed", Rule::when(send_to_bridge(ruleset.mac)).accept());
}

fn add_v4(batch: &mut Batch) {
    batch.add_rule("v4", Rule::when(protocol(TCP)).go_to("routed"));
    batch.add_rule("v4", Rule::when(to_port(UDP, DHCP_CLIENT_V4)).drop());
    for (protocol, kind) in [(ICMP, REDIRECT_V4), (ICMP, ROUTER_V4), (IGMP, IGMP_QUERY), (IGMP, IGMP_ROUTER)] {
        batch.add_rule("v4", Rule::when(icmp(protocol, kind)).drop());
    }
    batch.add_rule("v4", Rule::when(any_protocol()).go_to("routed"));
    batch.add_rule("v4", Rule::new().drop());
}

fn add_v6(batch: &mut Batch, ruleset: &Ruleset) {
    let message = |kind| Rule::when(icmp(ICMPV6, kind));
    batch.add_rule("v6", Rule::when(protocol(TCP)).go_to("routed"));
    batch.add_rule("v6", Rule::when(to_port(UDP, DHCP_CLIENT_V6)).drop());
    let gateways = ruleset.v6.map(|subnet| subnet.gateway()).into_iter();
    for gateway in gateways.chain([IpAddr::V6(link_local(ruleset.mac))]) {
        batch.add_rule("v6", message(SOLICIT).with(equals(TARGET, &octets(gateway))).go_to("solicit"));
    }
    batch.add_rule("v6", message(SOLICIT).with(link_with(&[], "shared")).go_to("solicit"));
    batch.add_rule("v6", message(ADVERT).go_to("advert"));
    batch.add_rule("v6", message(MLD_QUERY).drop());
    for (first, last) in [DISCOVERY, INVERSE_DISCOVERY, MULTICAST_ROUTERS] {
        batch.add_rule("v6", Rule::when(icmp_among(ICMPV6, first, last)).drop());
    }
    batch.add_rule("v6", Rule::when(shows_transport(1)).go_to("routed"));
    batch.add_rule("v6", Rule::when(later_fragment_v6()).go_to("routed"));
    batch.add_rule("v6", Rule::new().drop());
}

fn add_neighbours(batch: &mut Batch) {
    let plain = || Rule::when(equals(frame::V6_NEXT, &[ICMPV6]));
    let about_itself = |rule: Rule| rule.with(link_with(&[frame::ETHER_SOURCE, TARGET], "from6"));
    let telling = |kind: [u8; 2]| {
        let option = Rule::when(equals(frame::V6_LENGTH, &WITH_OPTION)).with(equals(OPTION, &kind));
        option.with(link_with(&[OPTION_MAC], "mac"))
    };
    batch.add_rule("unspecified", about_itself(plain().with(icmp(ICMPV6, SOLICIT))).accept());
    for kind in MLD_REPORTS {
        batch.add_rule("unspecified", Rule::when(icmp(ICMPV6, kind)).accept());
    }
    batch.add_rule("unspecified", Rule::new().drop());
    for chain in ["solicit", "advert"] {
        batch.add_rule(chain, Rule::when(differs(frame::V6_NEXT, &[ICMPV6])).drop());
    }
    batch.add_rule("solicit", Rule::when(equals(frame::V6_LENGTH, &WITHOUT_OPTION)).accept());
    batch.add_rule("solicit", telling(SOURCE_MAC).accept());
    batch.add_rule("solicit", Rule::new().drop());
    batch.add_rule("advert", about_itself(Rule::when(equals(frame::V6_LENGTH, &WITHOUT_OPTION))).accept());
    batch.add_rule("advert", about_itself(telling(TARGET_MAC)).accept());
    batch.add_rule("advert", Rule::new().drop());
}
