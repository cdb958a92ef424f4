//! Our two tables of one name: `inet` for what packets it drops, redirects and masquerades, as here, and `bridge` for
//! the frames that pods may send (`sources.rs`).
//!
//! ```text
//! guard (raw, before connection tracking)  past the bridge, by a pod's link itself: drop
//!                                          from the bridge, to or from 127.0.0.0/8: drop (CVE-2020-8558)
//! pre, out                                 for the node itself: jump ports
//! ports                                    address . protocol . port in at4, else protocol . port in any4: redirect
//! hints (output)                           redirects of the node's own out to the bridge: drop
//! flows, forward, hints (output)           what would fill the node's tables, see `limits.rs`
//! post                                     from 127.0.0.0/8 out to the bridge: masquerade
//!                                          pod to pod by a host port (own4 has the pods' ports): masquerade
//!                                          pod to elsewhere, but not multicast: masquerade
//! ```
//! The same for IPv6 with `at6`, `any6`, `own6`; there `::1` is left alone, the kernel would not let it out.

use super::batch::{Batch, Hook, Type};
use super::bridge_rules::Ruleset;
use super::frame::{ICMP, ICMPV6, icmp};
use super::rule::{Rule, Side};
use super::table_family::TableFamily;
use super::{limits, sources};
use crate::subnet::Subnet;

const NF_INET_PRE_ROUTING: u32 = 0;
const NF_INET_FORWARD: u32 = 2;
const NF_INET_LOCAL_OUT: u32 = 3;
const NF_INET_POST_ROUTING: u32 = 4;

/// ICMP and ICMPv6: send what goes there by another way.
const REDIRECT_V4: u8 = 5;
const REDIRECT_V6: u8 = 137;

impl Ruleset {
    /// All sets and maps of both tables.
    pub(crate) fn sets(&self) -> Vec<(TableFamily, &'static str)> {
        let v4 = self.v4.map(|_| ["at4", "any4", "own4", "pods4"]);
        let v6 = self.v6.map(|_| ["at6", "any6", "own6", "pods6"]);
        let inet = [v4, v6].into_iter().flatten().flatten().map(|set| (TableFamily::Inet, set));
        inet.chain(sources::SETS.map(|set| (TableFamily::Bridge, set))).collect()
    }

    /// A batch that takes both tables away, whether they are there or not.
    pub(crate) fn purge(bridge: &str) -> Batch {
        let mut batch = Batch::new(TableFamily::Inet, bridge);
        for family in [TableFamily::Bridge, TableFamily::Inet] {
            batch.switch_to(family);
            // Deleting one that is not there is an error.
            batch.add_table();
            batch.delete_table();
        }
        batch
    }

    /// A batch that puts the tables in place of whatever is there under their name.
    pub(crate) fn replace(&self) -> Batch {
        let mut batch = Self::purge(&self.bridge);
        batch.add_table();
        let hooks = [
            ("guard", "filter", NF_INET_PRE_ROUTING, -300),
            ("flows", "filter", NF_INET_PRE_ROUTING, -150),
            ("pre", "nat", NF_INET_PRE_ROUTING, -100),
            ("forward", "filter", NF_INET_FORWARD, 0),
            ("hints", "filter", NF_INET_LOCAL_OUT, 0),
            ("out", "nat", NF_INET_LOCAL_OUT, -100),
            ("post", "nat", NF_INET_POST_ROUTING, 100),
        ];
        batch.add_chain("ports", None);
        for (name, kind, number, priority) in hooks {
            batch.add_chain(name, Some(&Hook { kind, number, priority }));
        }
        for subnet in [self.v4, self.v6].into_iter().flatten() {
            let v4 = subnet.is_v4();
            let address = if v4 { Type::Ipv4 } else { Type::Ipv6 };
            let [at, any, own] = if v4 { ["at4", "any4", "own4"] } else { ["at6", "any6", "own6"] };
            batch.add_set(at, &[address, Type::Protocol, Type::Port], &[address, Type::Port]);
            batch.add_set(any, &[Type::Protocol, Type::Port], &[address, Type::Port]);
            batch.add_set(own, &[address, Type::Protocol, Type::Port], &[]);
            batch.add_rule("ports", Rule::version(v4).redirect(v4, true, at));
            batch.add_rule("ports", Rule::version(v4).redirect(v4, false, any));
            limits::add_outward(&mut batch, subnet);
        }
        for chain in ["pre", "out"] {
            self.add_jumps(&mut batch, chain);
        }
        self.add_guard(&mut batch);
        self.add_hints(&mut batch);
        self.add_limits(&mut batch);
        self.add_masquerade(&mut batch);
        sources::add(&mut batch, self);
        batch
    }

    fn add_jumps(&self, batch: &mut Batch, chain: &str) {
        if self.v4.is_some() {
            batch.add_rule(chain, Rule::version(true).for_the_node().jump("ports"));
        }
        if self.v6.is_some() {
            let rule = Rule::version(false).address(Side::Destination, Subnet::LOOPBACK_V6, false);
            batch.add_rule(chain, rule.for_the_node().jump("ports"));
        }
    }

    fn add_guard(&self, batch: &mut Batch) {
        batch.add_rule("guard", Rule::new().comes_by_any(&self.links).drop());
        for side in [Side::Destination, Side::Source] {
            let rule = Rule::version(true).comes_by(&self.bridge).address(side, Subnet::LOOPBACK_V4, true);
            batch.add_rule("guard", rule.drop());
        }
    }

    /// The kernel sends redirects unless both the link's switch and that of all links say no, and the latter is not
    /// ours.
    fn add_hints(&self, batch: &mut Batch) {
        for (protocol, redirect) in [(ICMP, REDIRECT_V4), (ICMPV6, REDIRECT_V6)] {
            let rule = Rule::new().leaves_by(&self.bridge).with(icmp(protocol, redirect));
            batch.add_rule("hints", rule.drop());
        }
    }

    fn add_limits(&self, batch: &mut Batch) {
        let subnets = || [self.v4, self.v6].into_iter().flatten();
        for v4 in [true, false] {
            limits::add_flows(batch, v4, &self.bridge, self.connections);
        }
        for subnet in subnets() {
            batch.add_rule("forward", limits::outward(subnet.is_v4(), &self.bridge));
        }
        for subnet in subnets() {
            batch.add_rule("forward", limits::nobody(subnet, &self.bridge));
            batch.add_rule("hints", limits::nobody(subnet, &self.bridge));
        }
        batch.add_rule("forward", limits::link_local(&self.bridge));
    }

    fn add_masquerade(&self, batch: &mut Batch) {
        if self.v4.is_some() {
            let local = Rule::version(true).address(Side::Source, Subnet::LOOPBACK_V4, true).leaves_by(&self.bridge);
            batch.add_rule("post", local.masquerade());
        }
        for subnet in [self.v4, self.v6].into_iter().flatten() {
            let v4 = subnet.is_v4();
            let (own, multicast) = if v4 { ("own4", Subnet::MULTICAST_V4) } else { ("own6", Subnet::MULTICAST_V6) };
            let from_pod = || Rule::version(v4).address(Side::Source, subnet, true);
            batch.add_rule("post", from_pod().target_in(v4, own).redirected().masquerade());
            let outward = from_pod().address(Side::Destination, subnet, false);
            batch.add_rule("post", outward.address(Side::Destination, multicast, false).masquerade());
        }
    }
}
