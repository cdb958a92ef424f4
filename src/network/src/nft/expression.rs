//! Rules, written as a chain of small steps which load something into a register, compare it, or act.

use super::batch::NFTA_DATA_VALUE;
use crate::netlink::Attributes;
use crate::subnet::Subnet;
use std::net::IpAddr;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;

/// Numbers of protocols in IP headers.
pub(super) const ICMP: u8 = 1;
pub(super) const IGMP: u8 = 2;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const PAYLOAD_LINK: u32 = 0;
const PAYLOAD_NETWORK: u32 = 1;
const PAYLOAD_TRANSPORT: u32 = 2;
const CMP_EQ: u32 = 0;
const CMP_NEQ: u32 = 1;
const CMP_LTE: u32 = 3;
const CMP_GTE: u32 = 5;
const FIB_RESULT_ADDRTYPE: u32 = 3;
const FIB_F_DADDR: u32 = 2;
const RTN_LOCAL: u32 = 2;
const CT_STATUS: u32 = 2;
/// `IPS_DST_NAT`: the connection's destination was changed.
const CT_STATUS_DNAT: u32 = 1 << 5;
const NAT_DNAT: u32 = 1;
const NAT_RANDOM_FULLY: u32 = 1 << 4;
const VERDICT_DROP: i32 = 0;
const VERDICT_ACCEPT: i32 = 1;
const VERDICT_JUMP: i32 = -3;
const VERDICT_GOTO: i32 = -4;

/// The verdict's register.
const REG_VERDICT: u32 = 0;
/// The first register of four bytes; the next ones follow.
const REG: u32 = 8;

/// Which address of a packet.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Source,
    Destination,
}

/// A part of a frame: of which header, from which byte on, how many.
#[derive(Clone, Copy)]
pub(super) struct Field {
    base: u32,
    offset: u32,
    length: u32,
}

impl Field {
    pub(super) const ETHER_SOURCE: Self = Self::of(PAYLOAD_LINK, 6, 6);
    pub(super) const ETHER_TYPE: Self = Self::of(PAYLOAD_LINK, 12, 2);
    /// Kinds and lengths of the addresses that an ARP packet speaks about.
    pub(super) const ARP_FORM: Self = Self::of(PAYLOAD_NETWORK, 0, 6);
    pub(super) const ARP_SENDER_MAC: Self = Self::of(PAYLOAD_NETWORK, 8, 6);
    pub(super) const ARP_SENDER_IP: Self = Self::of(PAYLOAD_NETWORK, 14, 4);
    pub(super) const V4_SOURCE: Self = Self::of(PAYLOAD_NETWORK, 12, 4);
    /// The length of what follows the IPv6 header.
    pub(super) const V6_LENGTH: Self = Self::of(PAYLOAD_NETWORK, 4, 2);
    pub(super) const V6_NEXT: Self = Self::of(PAYLOAD_NETWORK, 6, 1);
    pub(super) const V6_SOURCE: Self = Self::of(PAYLOAD_NETWORK, 8, 16);

    const fn of(base: u32, offset: u32, length: u32) -> Self {
        Self { base, offset, length }
    }

    /// Bytes behind the IP header and its extensions; not there in any but the first fragment of a packet.
    pub(super) const fn transport(offset: u32, length: u32) -> Self {
        Self::of(PAYLOAD_TRANSPORT, offset, length)
    }
}

type Write = Box<dyn FnOnce(&mut Attributes)>;

/// One rule in the making.
#[derive(Default)]
pub(super) struct Rule {
    steps: Vec<(&'static str, Write)>,
}

fn value(a: &mut Attributes, kind: u16, bytes: &[u8]) {
    a.nest(kind, |a| a.bytes(NFTA_DATA_VALUE, bytes));
}

/// Offset and length of an address in the IP header.
fn place(v4: bool, side: Side) -> (u32, u32) {
    match (v4, side) {
        (true, Side::Source) => (12, 4),
        (true, Side::Destination) => (16, 4),
        (false, Side::Source) => (8, 16),
        (false, Side::Destination) => (24, 16),
    }
}

impl Rule {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A rule for packets of one IP version.
    pub(super) fn version(v4: bool) -> Self {
        Self::new().meta(META_NFPROTO, REG).compare(CMP_EQ, vec![if v4 { 2 } else { 10 }])
    }

    pub(super) fn write(self, a: &mut Attributes) {
        for (name, data) in self.steps {
            a.nest(NFTA_LIST_ELEM, |a| {
                a.text(NFTA_EXPR_NAME, name);
                a.nest(NFTA_EXPR_DATA, data);
            });
        }
    }

    fn step(mut self, name: &'static str, write: impl FnOnce(&mut Attributes) + 'static) -> Self {
        self.steps.push((name, Box::new(write)));
        self
    }

    fn meta(self, key: u32, register: u32) -> Self {
        self.step("meta", move |a| {
            a.be32(2, key);
            a.be32(1, register);
        })
    }

    fn payload(self, base: u32, (offset, length): (u32, u32), register: u32) -> Self {
        self.step("payload", move |a| {
            a.be32(1, register);
            a.be32(2, base);
            a.be32(3, offset);
            a.be32(4, length);
        })
    }

    fn compare(self, operation: u32, bytes: Vec<u8>) -> Self {
        self.step("cmp", move |a| {
            a.be32(1, REG);
            a.be32(2, operation);
            value(a, 3, &bytes);
        })
    }

    fn mask(self, bytes: Vec<u8>) -> Self {
        self.step("bitwise", move |a| {
            a.be32(1, REG);
            a.be32(2, REG);
            a.be32(3, u32::try_from(bytes.len()).unwrap_or(0));
            value(a, 4, &bytes);
            value(a, 5, &vec![0; bytes.len()]);
        })
    }

    /// The field has this value.
    pub(super) fn equals(self, field: Field, bytes: &[u8]) -> Self {
        self.load(field, REG).compare(CMP_EQ, bytes.to_vec())
    }

    /// The field has another value.
    pub(super) fn differs(self, field: Field, bytes: &[u8]) -> Self {
        self.load(field, REG).compare(CMP_NEQ, bytes.to_vec())
    }

    fn load(self, field: Field, register: u32) -> Self {
        self.payload(field.base, (field.offset, field.length), register)
    }

    /// The packet's protocol can be seen, and is this one. It cannot if headers are cut off or malformed.
    pub(super) fn protocol(self, protocol: u8) -> Self {
        self.meta(META_L4PROTO, REG).compare(CMP_EQ, vec![protocol])
    }

    /// The packet's protocol can be seen: it is any but the reserved number.
    pub(super) fn any_protocol(self) -> Self {
        self.meta(META_L4PROTO, REG).compare(CMP_NEQ, vec![0xff])
    }

    /// What follows the IP header and its extensions has begun: it is neither in an earlier fragment nor cut off.
    pub(super) fn shows_transport(self) -> Self {
        self.load(Field::transport(0, 1), REG).compare(CMP_GTE, vec![0])
    }

    /// The packet is a later fragment of an IPv6 packet.
    pub(super) fn later_fragment_v6(self) -> Self {
        const FRAGMENT: u8 = 44;
        let offset = self.step("exthdr", |a| {
            a.be32(1, REG);
            a.u8(2, FRAGMENT);
            a.be32(3, 2);
            a.be32(4, 2);
        });
        // Below it are flags.
        offset.mask(vec![0xff, 0xf8]).compare(CMP_NEQ, vec![0, 0])
    }

    /// The packet goes to this port.
    pub(super) fn goes_to_port(self, protocol: u8, port: u16) -> Self {
        self.protocol(protocol).equals(Field::transport(2, 2), &port.to_be_bytes())
    }

    /// The packet is a message of this type.
    pub(super) fn icmp(self, protocol: u8, kind: u8) -> Self {
        self.protocol(protocol).equals(Field::transport(0, 1), &[kind])
    }

    /// The packet is a message of a type between these two.
    pub(super) fn icmp_among(self, protocol: u8, first: u8, last: u8) -> Self {
        let rule = self.protocol(protocol).load(Field::transport(0, 1), REG);
        rule.compare(CMP_GTE, vec![first]).compare(CMP_LTE, vec![last])
    }

    /// The link by which the frame came and these fields, together, are in the set.
    pub(super) fn link_with(self, fields: &[Field], set: &str) -> Self {
        let mut rule = self.meta(META_IIFNAME, REG);
        let mut register = REG + 4;
        for field in fields {
            rule = rule.load(*field, register);
            register += field.length.div_ceil(4);
        }
        rule.lookup(set, false)
    }

    /// The frame came by a link whose name begins so.
    pub(super) fn comes_by_any(self, prefix: &str) -> Self {
        self.meta(META_IIFNAME, REG).compare(CMP_EQ, prefix.as_bytes().to_vec())
    }

    fn link_name(self, key: u32, name: &str) -> Self {
        let mut bytes = name.as_bytes().to_vec();
        // IFNAMSIZ: the whole name is compared, with its end.
        bytes.resize(16, 0);
        self.meta(key, REG).compare(CMP_EQ, bytes)
    }

    /// The packet came in by this link.
    pub(super) fn comes_by(self, name: &str) -> Self {
        self.link_name(META_IIFNAME, name)
    }

    /// The packet goes out by this link.
    pub(super) fn leaves_by(self, name: &str) -> Self {
        self.link_name(META_OIFNAME, name)
    }

    /// The packet's address lies in the subnet, or with `within` false outside.
    pub(super) fn address(self, side: Side, subnet: Subnet, within: bool) -> Self {
        let (network, mask) = match subnet.network() {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix())).unwrap_or(0);
                (v4.octets().to_vec(), mask.to_be_bytes().to_vec())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(subnet.prefix())).unwrap_or(0);
                (v6.octets().to_vec(), mask.to_be_bytes().to_vec())
            }
        };
        self.payload(PAYLOAD_NETWORK, place(subnet.is_v4(), side), REG)
            .mask(mask)
            .compare(if within { CMP_EQ } else { CMP_NEQ }, network)
    }

    /// The packet is meant for the node itself.
    pub(super) fn for_the_node(self) -> Self {
        self.step("fib", |a| {
            a.be32(1, REG);
            a.be32(2, FIB_RESULT_ADDRTYPE);
            a.be32(3, FIB_F_DADDR);
        })
        .compare(CMP_EQ, RTN_LOCAL.to_ne_bytes().to_vec())
    }

    /// The connection's destination was changed.
    pub(super) fn redirected(self) -> Self {
        self.step("ct", |a| {
            a.be32(2, CT_STATUS);
            a.be32(1, REG);
        })
        .mask(CT_STATUS_DNAT.to_ne_bytes().to_vec())
        .compare(CMP_NEQ, vec![0; 4])
    }

    /// Loads protocol and destination port, behind the destination address if `v4` is given.
    fn target(self, v4: Option<bool>) -> Self {
        let (rule, next) = match v4 {
            None => (self, REG),
            Some(v4) => {
                let place = place(v4, Side::Destination);
                (self.payload(PAYLOAD_NETWORK, place, REG), REG + place.1 / 4)
            }
        };
        rule.meta(META_L4PROTO, next).payload(PAYLOAD_TRANSPORT, (2, 2), next + 1)
    }

    fn lookup(self, set: &str, map: bool) -> Self {
        let set = set.to_owned();
        self.step("lookup", move |a| {
            a.text(1, &set);
            a.be32(2, REG);
            if map {
                a.be32(3, REG);
            }
        })
    }

    /// Destination address, protocol and port are in the set.
    pub(super) fn target_in(self, v4: bool, set: &str) -> Self {
        self.target(Some(v4)).lookup(set, false)
    }

    /// Sends the packet to the address and port that the map has for its protocol and port, and with `with_address`
    /// for its destination address too.
    pub(super) fn redirect(self, v4: bool, with_address: bool, map: &str) -> Self {
        let port = REG + place(v4, Side::Destination).1 / 4;
        self.target(with_address.then_some(v4)).lookup(map, true).step("nat", move |a| {
            a.be32(1, NAT_DNAT);
            a.be32(2, if v4 { 2 } else { 10 });
            a.be32(3, REG);
            a.be32(5, port);
        })
    }

    /// Gives the packet the address of the link by which it leaves.
    pub(super) fn masquerade(self) -> Self {
        self.step("masq", |a| a.be32(1, NAT_RANDOM_FULLY))
    }

    pub(super) fn drop(self) -> Self {
        self.verdict(VERDICT_DROP, None)
    }

    pub(super) fn accept(self) -> Self {
        self.verdict(VERDICT_ACCEPT, None)
    }

    /// Leaves the chain for good.
    pub(super) fn go_to(self, chain: &'static str) -> Self {
        self.verdict(VERDICT_GOTO, Some(chain))
    }

    pub(super) fn jump(self, chain: &'static str) -> Self {
        self.verdict(VERDICT_JUMP, Some(chain))
    }

    fn verdict(self, code: i32, chain: Option<&'static str>) -> Self {
        self.step("immediate", move |a| {
            a.be32(1, REG_VERDICT);
            a.nest(2, |a| {
                a.nest(2, |a| {
                    a.be32(1, code.cast_unsigned());
                    if let Some(chain) = chain {
                        a.text(2, chain);
                    }
                });
            });
        })
    }
}
