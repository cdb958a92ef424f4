//! What can be seen of a frame: addresses, protocols, messages.

use super::expression::{
    FrameField, Is, META_IIFNAME, META_L4PROTO, META_PKTTYPE, REG, Step, among, compare, immediate, load, mask, meta,
    set_field, set_meta, step,
};

/// Numbers of protocols in IP headers.
pub(super) const ICMP: u8 = 1;
pub(super) const IGMP: u8 = 2;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

/// The frame is for this host; for another one.
const PACKET_HOST: u8 = 0;
const PACKET_OTHERHOST: u8 = 3;

const ETHER_DESTINATION: FrameField = FrameField::link(0, 6);
pub(super) const ETHER_SOURCE: FrameField = FrameField::link(6, 6);
pub(super) const ETHER_TYPE: FrameField = FrameField::link(12, 2);
/// Kinds and lengths of the addresses that an ARP packet speaks about.
pub(super) const ARP_FORM: FrameField = FrameField::network(0, 6);
pub(super) const ARP_OPERATION: FrameField = FrameField::network(6, 2);
pub(super) const ARP_SENDER_MAC: FrameField = FrameField::network(8, 6);
pub(super) const ARP_SENDER_IP: FrameField = FrameField::network(14, 4);
pub(super) const ARP_TARGET_IP: FrameField = FrameField::network(24, 4);
pub(super) const V4_SOURCE: FrameField = FrameField::network(12, 4);
/// The length of what follows the IPv6 header.
pub(super) const V6_LENGTH: FrameField = FrameField::network(4, 2);
pub(super) const V6_NEXT: FrameField = FrameField::network(6, 1);
pub(super) const V6_SOURCE: FrameField = FrameField::network(8, 16);

/// The field has this value.
pub(super) fn equals(field: FrameField, bytes: &[u8]) -> [Step; 2] {
    [load(field, REG), compare(Is::Equal, bytes.to_vec())]
}

/// The field has another value.
pub(super) fn differs(field: FrameField, bytes: &[u8]) -> [Step; 2] {
    [load(field, REG), compare(Is::Different, bytes.to_vec())]
}

/// The packet's protocol can be seen, and is this one. It cannot if headers are cut off or malformed.
pub(super) fn protocol(protocol: u8) -> [Step; 2] {
    [meta(META_L4PROTO, REG), compare(Is::Equal, vec![protocol])]
}

/// The packet's protocol can be seen: it is any but the reserved number.
pub(super) fn any_protocol() -> [Step; 2] {
    [meta(META_L4PROTO, REG), compare(Is::Different, vec![0xff])]
}

/// So many bytes follow the IP header and its extensions: they are neither in an earlier fragment nor cut off.
pub(super) fn shows_transport(length: u32) -> [Step; 2] {
    [load(FrameField::transport(0, length), REG), compare(Is::AtLeast, vec![0; length as usize])]
}

/// The packet is a later fragment of an IPv6 packet.
pub(super) fn later_fragment_v6() -> [Step; 3] {
    const FRAGMENT: u8 = 44;
    let offset = step("exthdr", |a| {
        a.be32(1, REG);
        a.u8(2, FRAGMENT);
        a.be32(3, 2);
        a.be32(4, 2);
    });
    // Below it are flags.
    [offset, mask(vec![0xff, 0xf8]), compare(Is::Different, vec![0, 0])]
}

/// The packet goes to this port.
pub(super) fn to_port(number: u8, port: u16) -> Vec<Step> {
    protocol(number).into_iter().chain(equals(FrameField::transport(2, 2), &port.to_be_bytes())).collect()
}

/// The packet is a message of this type.
pub(super) fn icmp(number: u8, kind: u8) -> Vec<Step> {
    protocol(number).into_iter().chain(equals(FrameField::transport(0, 1), &[kind])).collect()
}

/// The packet is a message of a type between these two.
pub(super) fn icmp_among(number: u8, first: u8, last: u8) -> Vec<Step> {
    let kind = load(FrameField::transport(0, 1), REG);
    let between = [kind, compare(Is::AtLeast, vec![first]), compare(Is::AtMost, vec![last])];
    protocol(number).into_iter().chain(between).collect()
}

/// The link by which the frame came and these fields, together, are in the set.
pub(super) fn link_with(fields: &[FrameField], set: &str) -> Vec<Step> {
    let mut steps = vec![meta(META_IIFNAME, REG)];
    let mut register = REG + 4;
    for field in fields {
        steps.push(load(*field, register));
        register += field.registers();
    }
    steps.push(among(set));
    steps
}

/// The frame is for the bridge, for a group, or for all.
pub(super) fn to_bridge_or_group() -> [Step; 2] {
    [meta(META_PKTTYPE, REG), compare(Is::Different, vec![PACKET_OTHERHOST])]
}

/// Makes the frame one for this hardware address, the bridge's: it is routed, whomever it was for.
pub(super) fn send_to_bridge(mac: [u8; 6]) -> [Step; 4] {
    let to = [immediate(mac.to_vec()), set_field(ETHER_DESTINATION, REG)];
    let [load_mac, set_mac] = to;
    [load_mac, set_mac, immediate(vec![PACKET_HOST]), set_meta(META_PKTTYPE, REG)]
}
