//! Rules: what a packet is like, then what is done with it.

use super::constants::{NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_LIST_ELEM, family};
use super::expression::{
    FrameField, Is, META_IIFNAME, META_L4PROTO, META_NFPROTO, META_OIFNAME, REG, Step, among, compare, load, mapped,
    mask, meta, step,
};
use crate::netlink::Attributes;
use crate::subnet::Subnet;
use std::net::IpAddr;

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

/// Which address of a packet.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Source,
    Destination,
}

/// The address in the IP header.
pub(super) fn address(v4: bool, side: Side) -> FrameField {
    match (v4, side) {
        (true, Side::Source) => FrameField::network(12, 4),
        (true, Side::Destination) => FrameField::network(16, 4),
        (false, Side::Source) => FrameField::network(8, 16),
        (false, Side::Destination) => FrameField::network(24, 16),
    }
}

/// The packet is of this IP version.
pub(super) fn version(v4: bool) -> [Step; 2] {
    [meta(META_NFPROTO, REG), compare(Is::Equal, vec![family(v4)])]
}

/// One rule in the making.
#[derive(Default)]
pub(super) struct Rule {
    steps: Vec<Step>,
}

impl Rule {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A rule for packets of one IP version.
    pub(super) fn version(v4: bool) -> Self {
        Self::new().with(version(v4))
    }

    /// A rule for packets that pass these steps.
    pub(super) fn when(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::new().with(steps)
    }

    pub(super) fn write(self, a: &mut Attributes) {
        for (name, data) in self.steps {
            a.nest(NFTA_LIST_ELEM, |a| {
                a.text(NFTA_EXPR_NAME, name);
                a.nest(NFTA_EXPR_DATA, data);
            });
        }
    }

    /// Goes on with these steps.
    pub(super) fn with(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// The frame came by a link whose name begins so.
    pub(super) fn comes_by_any(self, prefix: &str) -> Self {
        self.with([meta(META_IIFNAME, REG), compare(Is::Equal, prefix.as_bytes().to_vec())])
    }

    fn link_name(self, key: u32, is: Is, name: &str) -> Self {
        let mut bytes = name.as_bytes().to_vec();
        // IFNAMSIZ: the whole name is compared, with its end.
        bytes.resize(16, 0);
        self.with([meta(key, REG), compare(is, bytes)])
    }

    /// The packet came in by this link.
    pub(super) fn comes_by(self, name: &str) -> Self {
        self.link_name(META_IIFNAME, Is::Equal, name)
    }

    /// The packet goes out by this link.
    pub(super) fn leaves_by(self, name: &str) -> Self {
        self.link_name(META_OIFNAME, Is::Equal, name)
    }

    /// The packet goes out by any link but this.
    pub(super) fn leaves_by_other(self, name: &str) -> Self {
        self.link_name(META_OIFNAME, Is::Different, name)
    }

    /// The packet's address lies in the subnet, or with `within` false outside.
    pub(super) fn address(self, side: Side, subnet: Subnet, within: bool) -> Self {
        let (network, bits) = match subnet.network() {
            IpAddr::V4(v4) => {
                let bits = u32::MAX.checked_shl(32 - u32::from(subnet.prefix())).unwrap_or(0);
                (v4.octets().to_vec(), bits.to_be_bytes().to_vec())
            }
            IpAddr::V6(v6) => {
                let bits = u128::MAX.checked_shl(128 - u32::from(subnet.prefix())).unwrap_or(0);
                (v6.octets().to_vec(), bits.to_be_bytes().to_vec())
            }
        };
        let is = if within { Is::Equal } else { Is::Different };
        self.with([load(address(subnet.is_v4(), side), REG), mask(bits), compare(is, network)])
    }

    /// The packet is meant for the node itself.
    pub(super) fn for_the_node(self) -> Self {
        let kind = step("fib", |a| {
            a.be32(1, REG);
            a.be32(2, FIB_RESULT_ADDRTYPE);
            a.be32(3, FIB_F_DADDR);
        });
        self.with([kind, compare(Is::Equal, RTN_LOCAL.to_ne_bytes().to_vec())])
    }

    /// The connection's destination was changed.
    pub(super) fn redirected(self) -> Self {
        let status = step("ct", |a| {
            a.be32(2, CT_STATUS);
            a.be32(1, REG);
        });
        self.with([status, mask(CT_STATUS_DNAT.to_ne_bytes().to_vec()), compare(Is::Different, vec![0; 4])])
    }

    /// Loads protocol and destination port, behind the destination address if `v4` is given.
    fn target(self, v4: Option<bool>) -> Self {
        let (rule, next) = match v4 {
            None => (self, REG),
            Some(v4) => {
                let field = address(v4, Side::Destination);
                (self.with([load(field, REG)]), REG + field.registers())
            }
        };
        rule.with([meta(META_L4PROTO, next), load(FrameField::transport(2, 2), next + 1)])
    }

    /// Destination address, protocol and port are in the set.
    pub(super) fn target_in(self, v4: bool, set: &str) -> Self {
        self.target(Some(v4)).with([among(set)])
    }

    /// Sends the packet to the address and port that the map has for its protocol and port, and with `with_address`
    /// for its destination address too.
    pub(super) fn redirect(self, v4: bool, with_address: bool, map: &str) -> Self {
        let port = REG + address(v4, Side::Destination).registers();
        let nat = step("nat", move |a| {
            a.be32(1, NAT_DNAT);
            a.be32(2, u32::from(family(v4)));
            a.be32(3, REG);
            a.be32(5, port);
        });
        self.target(with_address.then_some(v4)).with([mapped(map), nat])
    }

    /// Gives the packet the address of the link by which it leaves.
    pub(super) fn masquerade(self) -> Self {
        self.with([step("masq", |a| a.be32(1, NAT_RANDOM_FULLY))])
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
        let verdict = step("immediate", move |a| {
            a.be32(1, REG_VERDICT);
            a.nest(2, |a| {
                a.nest(2, |a| {
                    a.be32(1, code.cast_unsigned());
                    if let Some(chain) = chain {
                        a.text(2, chain);
                    }
                });
            });
        });
        self.with([verdict])
    }
}
