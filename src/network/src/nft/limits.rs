//! What pods may make of the tables that the node's kernel has once for all: connections, and neighbours of the node's
//! links.
//!
//! ```text
//! flows (prerouting)  a connection begins, from the bridge: goto flows4, flows6
//! flows4, flows6      it shows ports: goto ports4, ports6; the list that destination and sender have in common is
//!                     full: drop
//! ports4, ports6      the list that destination, ports and sender have in common is full: drop
//! forward             from the bridge to elsewhere, and nobody has answered yet: goto outward4, outward6
//!                     to an address of the subnet that no pod has: reject
//!                     from the bridge to a link-local address: drop
//! hints (output)      to an address of the subnet that no pod has: reject
//! outward4, outward6  sender . next hop was seen lately: accept; the sender's share of next hops in this time is used
//!                     up: drop; the next hop is noted: accept; no more can be noted: drop
//! ```
//! An address's connections are kept in several lists, by what they are known by, because the kernel looks through a
//! whole list for each that begins.
//!
//! So the node looks for nobody on the bridge at all, and on its other links for few at a time for one pod.

use super::batch::{Batch, DynamicSet, Type};
use super::constants::{NFTA_EXPR_DATA, NFTA_EXPR_NAME};
use super::expression::{FrameField, Is, REG, Step, among, compare, load, mask, not_among, step};
use super::frame::shows_transport;
use super::rule::{self, Rule, Side, version};
use crate::bounds::{BRIDGE_PORTS, NEXT_HOPS, NEXT_HOPS_AT_ONCE, NEXT_HOPS_KEPT, NEXT_HOPS_PER_SECOND};
use crate::netlink::Attributes;
use crate::subnet::Subnet;

const CT_STATE: u32 = 0;
const CT_STATE_ESTABLISHED: u32 = 1 << 1;
const CT_STATE_NEW: u32 = 1 << 3;
const RT_NEXTHOP4: u32 = 1;
const RT_NEXTHOP6: u32 = 2;
const DYNSET_OP_ADD: u32 = 0;
const DYNSET_OP_UPDATE: u32 = 1;
const LIMIT_PACKETS: u32 = 0;
/// Matches what is over the limit, not what is within.
const LIMIT_F_INV: u32 = 1;
const CONNLIMIT_F_INV: u32 = 1;
const HASH_JENKINS: u32 = 0;
/// How many bytes two ports take.
const PORTS: u32 = 4;
/// How many lists of connections an address has.
const LISTS: u32 = 64;
const REJECT_ICMPX_UNREACH: u32 = 2;
const ICMPX_HOST_UNREACH: u8 = 2;

/// The sets of addresses that pods have.
pub(super) fn pods(v4: bool) -> &'static str {
    if v4 { "pods4" } else { "pods6" }
}

/// The limits of one IP version.
struct LimitNames {
    address: Type,
    connections: &'static str,
    flows: &'static str,
    ports: &'static str,
    next_hops: &'static str,
    rates: &'static str,
    chain: &'static str,
}

const V4: LimitNames = LimitNames {
    address: Type::Ipv4,
    connections: "connections4",
    flows: "flows4",
    ports: "ports4",
    next_hops: "hops4",
    rates: "rates4",
    chain: "outward4",
};
const V6: LimitNames = LimitNames {
    address: Type::Ipv6,
    connections: "connections6",
    flows: "flows6",
    ports: "ports6",
    next_hops: "hops6",
    rates: "rates6",
    chain: "outward6",
};

fn names(v4: bool) -> LimitNames {
    if v4 { V4 } else { V6 }
}

/// Adds a limit of the connections that pods begin, in one IP version: also without a subnet of IPv6 pods have
/// link-local addresses.
pub(super) fn add_flows(batch: &mut Batch, v4: bool, bridge: &str, most: u32) {
    let LimitNames { address, connections, flows, ports, .. } = names(v4);
    let set = DynamicSet { size: addresses().saturating_mul(LISTS), timeout: None };
    batch.add_dynamic_set(connections, &[address, Type::Mark], &set);
    batch.add_chain(flows, None);
    batch.add_chain(ports, None);
    let counted = |has_ports: bool| {
        let key = Rule::version(v4).with(source(v4)).with(list_number(v4, has_ports));
        key.with([note(DYNSET_OP_ADD, connections, Some(more_than(most / LISTS)))]).drop()
    };
    batch.add_rule(flows, Rule::when(shows_transport(PORTS)).go_to(ports));
    batch.add_rule(flows, counted(false));
    batch.add_rule(ports, counted(true));
    let begins = Rule::new().comes_by(bridge).with(state_among(CT_STATE_NEW));
    batch.add_rule("flows", begins.with(version(v4)).go_to(flows));
}

/// Loads the number of one of an address's lists behind it, from what a connection is known by.
fn list_number(v4: bool, has_ports: bool) -> Vec<Step> {
    let words = if v4 { 1 } else { 4 };
    let (number, from) = (REG + words, REG + words + 1);
    let to = load(rule::address(v4, Side::Destination), from);
    let ports = [0, 1].map(|port| load(FrameField::transport(2 * port, 2), from + words + port));
    let length = 4 * (words + if has_ports { 2 } else { 0 });
    let hash = step("hash", move |a| {
        for (kind, value) in [(1, from), (2, number), (3, length), (4, LISTS), (7, HASH_JENKINS)] {
            a.be32(kind, value);
        }
    });
    [to].into_iter().chain(ports.into_iter().filter(|_| has_ports)).chain([hash]).collect()
}

/// How many addresses of one IP version pods have: of IPv6 two each.
fn addresses() -> u32 {
    u32::try_from(2 * BRIDGE_PORTS).unwrap_or(u32::MAX)
}

/// Adds the sets and chains of one subnet's IP version that others lead to.
pub(super) fn add_outward(batch: &mut Batch, subnet: Subnet) {
    let v4 = subnet.is_v4();
    let LimitNames { address, next_hops, rates, chain, .. } = names(v4);
    batch.add_set(pods(v4), &[address], &[]);
    batch.add_dynamic_set(rates, &[address], &DynamicSet { size: addresses(), timeout: Some(NEXT_HOPS_KEPT) });
    batch.add_dynamic_set(next_hops, &[address; 2], &DynamicSet { size: NEXT_HOPS, timeout: Some(NEXT_HOPS_KEPT) });
    batch.add_chain(chain, None);
    let hop = || Rule::version(v4).with(source(v4)).with([next_hop(v4)]);
    batch.add_rule(chain, hop().with([among(next_hops)]).accept());
    batch.add_rule(
        chain,
        Rule::version(v4).with(source(v4)).with([note(DYNSET_OP_UPDATE, rates, Some(too_fast()))]).drop(),
    );
    batch.add_rule(chain, hop().with([note(DYNSET_OP_ADD, next_hops, None)]).accept());
    batch.add_rule(chain, Rule::new().drop());
}

/// A rule for packets from the bridge to elsewhere that nobody has answered.
pub(super) fn outward(v4: bool, bridge: &str) -> Rule {
    let outward = Rule::new().comes_by(bridge).leaves_by_other(bridge).with(state_is_not(CT_STATE_ESTABLISHED));
    outward.with(version(v4)).go_to(names(v4).chain)
}

/// A rule for packets to addresses of the subnet that no pod has.
pub(super) fn nobody(subnet: Subnet, bridge: &str) -> Rule {
    let v4 = subnet.is_v4();
    let to = Rule::version(v4).leaves_by(bridge).address(Side::Destination, subnet, true);
    to.with([load(rule::address(v4, Side::Destination), REG), not_among(pods(v4)), reject()])
}

/// A rule for packets from the bridge to link-local addresses, which no router passes on.
pub(super) fn link_local(bridge: &str) -> Rule {
    let from = Rule::version(false).comes_by(bridge);
    from.address(Side::Destination, Subnet::LINK_LOCAL_V6, true).drop()
}

fn state() -> Step {
    step("ct", |a| {
        a.be32(2, CT_STATE);
        a.be32(1, REG);
    })
}

fn state_among(bits: u32) -> [Step; 3] {
    [state(), mask(bits.to_ne_bytes().to_vec()), compare(Is::Different, vec![0; 4])]
}

fn state_is_not(bit: u32) -> [Step; 2] {
    [state(), compare(Is::Different, bit.to_ne_bytes().to_vec())]
}

/// Loads the packet's source address.
fn source(v4: bool) -> [Step; 1] {
    [load(rule::address(v4, Side::Source), REG)]
}

/// Loads the address of the next hop behind the source address: that of a gateway, or else of the destination.
fn next_hop(v4: bool) -> Step {
    let (register, key) = if v4 { (1, RT_NEXTHOP4) } else { (4, RT_NEXTHOP6) };
    step("rt", move |a| {
        a.be32(1, REG + register);
        a.be32(2, key);
    })
}

type Expression = (&'static str, Box<dyn FnOnce(&mut Attributes)>);

/// Puts what is loaded into the set, with a state of its own there. Goes on if the state says so; ends the rule if the
/// set is full.
fn note(operation: u32, set: &'static str, state: Option<Expression>) -> Step {
    step("dynset", move |a| {
        a.text(1, set);
        a.be32(3, operation);
        a.be32(4, REG);
        if let Some((name, data)) = state {
            a.nest(7, |a| {
                a.text(NFTA_EXPR_NAME, name);
                a.nest(NFTA_EXPR_DATA, data);
            });
        }
    })
}

fn too_fast() -> Expression {
    let write = |a: &mut Attributes| {
        a.be64(1, NEXT_HOPS_PER_SECOND);
        a.be64(2, 1);
        a.be32(3, NEXT_HOPS_AT_ONCE);
        a.be32(4, LIMIT_PACKETS);
        a.be32(5, LIMIT_F_INV);
    };
    ("limit", Box::new(write))
}

fn more_than(connections: u32) -> Expression {
    let write = move |a: &mut Attributes| {
        a.be32(1, connections);
        a.be32(2, CONNLIMIT_F_INV);
    };
    ("connlimit", Box::new(write))
}

/// Tells the sender that there is no such host.
fn reject() -> Step {
    step("reject", |a| {
        a.be32(1, REJECT_ICMPX_UNREACH);
        a.u8(2, ICMPX_HOST_UNREACH);
    })
}
