//! What follows from the number of a pod within the subnets: its hardware address, and the name of its link.

use crate::address::Mac;

/// The number of the gateway within the subnets.
pub(crate) const GATEWAY: u32 = 1;
/// How hardware addresses begin: locally administered.
const MAC_PREFIX: [u8; 2] = [0x02, 0x70];

/// The hardware address that goes with a number: a number that is given again has the same, so that nobody's memory of
/// it is wrong.
pub(crate) fn mac(host_index: u32) -> Mac {
    let ([first, second], [a, b, c, d]) = (MAC_PREFIX, host_index.to_be_bytes());
    [first, second, a, b, c, d]
}

/// Whether a hardware address is one that [`mac`] gives.
pub(super) fn is_pods(mac: Mac) -> bool {
    mac.starts_with(&MAC_PREFIX)
}

/// How the names of the pods' links on the node begin, from the bridge's name.
pub(crate) fn link_prefix(bridge: &str) -> String {
    // FNV-1a, folded: two bridges of one node hardly ever get the same, and if they do with the same number as well,
    // the kernel says so and another number is taken.
    let hash = bridge.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("pv{:04x}-", (hash >> 16) ^ (hash & 0xffff))
}

/// The name of the link on the node: all 15 bytes, from the bridge's name and the number.
pub(super) fn host_interface(bridge: &str, host_index: u32) -> String {
    format!("{}{host_index:08x}", link_prefix(bridge))
}

/// The number of a link of this bridge.
pub(crate) fn host_index_of(bridge: &str, link: &str) -> Option<u32> {
    u32::from_str_radix(link.strip_prefix(&link_prefix(bridge))?, 16).ok()
}
