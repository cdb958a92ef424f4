//! The table that believes no pod: which frames one may send. A pod with the capability NET_RAW, which is among those that
//! containers get by default, sends whatever it likes; here is the first place where that is seen.
//!
//! ```text
//! ports        a frame that comes into the bridge by a pod's link: goto port
//! port         IPv4 and IPv6 from the link's own hardware address and IP address: goto v4, v6; an ARP packet that tells
//!              nothing but these: accept; from :: (looking for a second that has the address): goto unspecified.
//!              All else is dropped, so also tagged frames (VLAN), in which any of this could be
//! v4           drop: DHCP answers, redirects, router advertisements, queries of multicast routers. Fragments but the first
//!              show no ports and types, and are nothing without the first
//! v6           the same, and neighbour discovery: goto solicit, advert. A first fragment that ends before the protocol's
//!              header, where all this could be, is dropped (RFC 7113)
//! unspecified  a search for a second that has the pod's own address, and multicast reports: accept
//! solicit      tells the pod's own hardware address or none, and has no extension headers: accept
//! advert       the same, and it is about the pod's own address: accept
//! ```
//! Each set is keyed by the link's name first: a frame costs the same however many pods there are.

use super::batch::{Batch, Hook, TableFamily, Type};
use super::expression::{Field, ICMP, ICMPV6, IGMP, Rule, TCP, UDP};

/// The sets, which are one for hardware addresses and one for each IP version.
pub(super) const SETS: [&str; 3] = ["mac", "from4", "from6"];

const NF_BR_PRE_ROUTING: u32 = 0;
/// Before all else that looks at bridged frames.
const PRIORITY: i32 = -300;

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// Ethernet and IPv4, addresses of six and four bytes.
const ARP_FORM: [u8; 6] = [0, 1, 8, 0, 6, 4];

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
const TARGET: Field = Field::transport(8, 16);
/// Kind and length, in eight bytes, of its first option; then what this tells.
const OPTION: Field = Field::transport(24, 2);
const OPTION_MAC: Field = Field::transport(26, 6);
/// The sender's hardware address in a solicitation, the target's in an advertisement.
const SOURCE_MAC: [u8; 2] = [1, 1];
const TARGET_MAC: [u8; 2] = [2, 1];
/// Lengths of a neighbour message without options, and with one hardware address.
const WITHOUT_OPTION: [u8; 2] = [0, 24];
const WITH_OPTION: [u8; 2] = [0, 32];

/// Adds the table.
pub(super) fn add(batch: &mut Batch, links: &str) {
    batch.switch_to(TableFamily::Bridge);
    batch.add_table();
    batch.add_set("mac", &[Type::Link, Type::Mac], &[]);
    batch.add_set("from4", &[Type::Link, Type::Mac, Type::Ipv4], &[]);
    batch.add_set("from6", &[Type::Link, Type::Mac, Type::Ipv6], &[]);
    for chain in ["port", "v4", "v6", "unspecified", "solicit", "advert"] {
        batch.add_chain(chain, None);
    }
    batch.add_chain("ports", Some(&Hook { kind: "filter", number: NF_BR_PRE_ROUTING, priority: PRIORITY }));
    batch.add_rule("ports", Rule::new().comes_by_any(links).go_to("port"));
    add_port(batch);
    add_v4(batch);
    add_v6(batch);
    add_neighbours(batch);
}

fn of_type(ether_type: [u8; 2]) -> Rule {
    Rule::new().equals(Field::ETHER_TYPE, &ether_type)
}

fn add_port(batch: &mut Batch) {
    let from = |ether_type, source, set| of_type(ether_type).link_with(&[Field::ETHER_SOURCE, source], set);
    batch.add_rule("port", from(IPV4, Field::V4_SOURCE, "from4").go_to("v4"));
    batch.add_rule("port", from(IPV6, Field::V6_SOURCE, "from6").go_to("v6"));
    let arp = of_type(ARP).equals(Field::ARP_FORM, &ARP_FORM).link_with(&[Field::ARP_SENDER_MAC], "mac");
    batch.add_rule("port", arp.link_with(&[Field::ETHER_SOURCE, Field::ARP_SENDER_IP], "from4").accept());
    let unspecified = of_type(IPV6).equals(Field::V6_SOURCE, &[0; 16]).link_with(&[Field::ETHER_SOURCE], "mac");
    batch.add_rule("port", unspecified.go_to("unspecified"));
    batch.add_rule("port", Rule::new().drop());
}

fn add_v4(batch: &mut Batch) {
    batch.add_rule("v4", Rule::new().protocol(TCP).accept());
    batch.add_rule("v4", Rule::new().goes_to_port(UDP, DHCP_CLIENT_V4).drop());
    for (protocol, kind) in [(ICMP, REDIRECT_V4), (ICMP, ROUTER_V4), (IGMP, IGMP_QUERY), (IGMP, IGMP_ROUTER)] {
        batch.add_rule("v4", Rule::new().icmp(protocol, kind).drop());
    }
    batch.add_rule("v4", Rule::new().any_protocol().accept());
    batch.add_rule("v4", Rule::new().drop());
}

fn add_v6(batch: &mut Batch) {
    let icmp = |kind| Rule::new().icmp(ICMPV6, kind);
    batch.add_rule("v6", Rule::new().protocol(TCP).accept());
    batch.add_rule("v6", Rule::new().goes_to_port(UDP, DHCP_CLIENT_V6).drop());
    batch.add_rule("v6", icmp(SOLICIT).go_to("solicit"));
    batch.add_rule("v6", icmp(ADVERT).go_to("advert"));
    batch.add_rule("v6", icmp(MLD_QUERY).drop());
    for (first, last) in [DISCOVERY, INVERSE_DISCOVERY, MULTICAST_ROUTERS] {
        batch.add_rule("v6", Rule::new().icmp_among(ICMPV6, first, last).drop());
    }
    batch.add_rule("v6", Rule::new().shows_transport().accept());
    batch.add_rule("v6", Rule::new().later_fragment_v6().accept());
    batch.add_rule("v6", Rule::new().drop());
}

fn add_neighbours(batch: &mut Batch) {
    let plain = || Rule::new().equals(Field::V6_NEXT, &[ICMPV6]);
    let about_itself = |rule: Rule| rule.link_with(&[Field::ETHER_SOURCE, TARGET], "from6");
    let telling = |kind: [u8; 2]| {
        let option = Rule::new().equals(Field::V6_LENGTH, &WITH_OPTION).equals(OPTION, &kind);
        option.link_with(&[OPTION_MAC], "mac")
    };
    batch.add_rule("unspecified", about_itself(plain().icmp(ICMPV6, SOLICIT)).accept());
    for kind in MLD_REPORTS {
        batch.add_rule("unspecified", Rule::new().icmp(ICMPV6, kind).accept());
    }
    batch.add_rule("unspecified", Rule::new().drop());
    for chain in ["solicit", "advert"] {
        batch.add_rule(chain, Rule::new().differs(Field::V6_NEXT, &[ICMPV6]).drop());
    }
    batch.add_rule("solicit", Rule::new().equals(Field::V6_LENGTH, &WITHOUT_OPTION).accept());
    batch.add_rule("solicit", telling(SOURCE_MAC).accept());
    batch.add_rule("solicit", Rule::new().drop());
    batch.add_rule("advert", about_itself(Rule::new().equals(Field::V6_LENGTH, &WITHOUT_OPTION)).accept());
    batch.add_rule("advert", about_itself(telling(TARGET_MAC)).accept());
    batch.add_rule("advert", Rule::new().drop());
}
