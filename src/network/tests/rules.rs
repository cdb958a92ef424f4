//! The rules and what they do to connections, and how long an attach takes; in nodes as those of `real.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod node;

use node::{Node, in_node, ports, request, shown};
use std::time::Instant;

/// A field of a neighbour message together with other things: nft shows such rules, but has no way to write them.
const RAW: [&str; 2] = [r#""base":"th","len":128,"offset":64}}]"#, r#""base":"th","len":48,"offset":208}}]"#];
const RAW_RULES: [&str; 4] = [
    "@nh,48,8 0x3a icmpv6 type nd-neighbor-solicit iifname . ether saddr . @th,64,128 @from6 accept",
    "@nh,32,16 0x20 @th,192,16 0x101 iifname . @th,208,48 @mac accept",
    "@nh,32,16 0x18 iifname . ether saddr . @th,64,128 @from6 accept",
    "@nh,32,16 0x20 @th,192,16 0x201 iifname . @th,208,48 @mac iifname . ether saddr . @th,64,128 @from6 accept",
];

#[test]
#[ignore = "needs root"]
fn rules_are_what_nft_would_make() {
    in_node("rules_are_what_nft_would_make", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let mapped = ports(&[
            ("tcp", 8080, 80, ""),
            ("tcp", 8081, 81, "192.0.2.1"),
            ("tcp", 8082, 82, "2001:db8::1"),
            ("udp", 53, 5353, ""),
            ("sctp", 9, 90, ""),
        ]);
        let before = shown(&node.bridge);
        let link = node.network.attach(request("a", &mapped)).await.unwrap().host_interface.clone();
        let text = include_str!("rules.nft").replace("LINK", &link).replace("PREFIX", link.split_once('-').unwrap().0);
        std::fs::write("/run/rules.nft", text).unwrap();
        node::run(&["nft", "-f", "/run/rules.nft"]);
        let is_raw = |line: &String| RAW.iter().any(|raw| line.contains(raw));
        let (raw, ours): (Vec<_>, Vec<_>) = shown(&node.bridge).into_iter().partition(is_raw);
        assert_eq!(raw.len(), RAW_RULES.len());
        let text = node::run(&["nft", "list", "table", "bridge", &node.bridge]);
        for rule in RAW_RULES {
            assert!(text.lines().any(|line| line.trim() == rule), "{rule} is not in {text}");
        }
        let oracle = shown("oracle");
        for (ours, oracle) in ours.iter().zip(&oracle) {
            assert_eq!(ours, oracle);
        }
        assert_eq!(ours.len(), oracle.len());
        node.network.detach("a").await.unwrap();
        assert_eq!(shown(&node.bridge), before);
    });
}

#[test]
#[ignore = "needs root"]
fn old_udp_connections_are_forgotten() {
    in_node("old_udp_connections_are_forgotten", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let mapped = ports(&[("udp", 5300, 53, "")]);
        for to in ["192.0.2.1", "2001:db8::1"] {
            // One client that never stops asking, from one port.
            let mut asking = node::Asking::start(node::NEIGHBOUR, to, 5300);
            assert_eq!(asking.ask(), "nobody");
            let first = node.network.attach(request("first", &mapped)).await.unwrap();
            let server = node.serve(&first, 53);
            assert!(asking.is_heard(), "{to}");
            drop(server);
            node.network.detach("first").await.unwrap();
            let second = node.network.attach(request("second", &mapped)).await.unwrap();
            let _server = node.serve(&second, 53);
            assert!(asking.is_heard(), "{to}");
            node.network.detach("second").await.unwrap();
        }
    });
}

/// Prints how long it takes; asserts nothing about it.
#[test]
#[ignore = "needs root"]
fn times() {
    in_node("times", async || {
        for subnets in [&["10.93.0.0/16"][..], &["10.93.0.0/16", "fd93::/64"]] {
            let node = Node::open_as(if subnets.len() == 1 { "peatest0" } else { "peatest1" }, subnets).await;
            let mapped = ports(&[("tcp", 8080, 80, ""), ("udp", 8080, 80, "")]);
            for list in [&[][..], &mapped[..1], &mapped] {
                let (mut attach, mut detach) = (Vec::new(), Vec::new());
                for round in 0..100 {
                    let id = format!("p{round}");
                    let start = Instant::now();
                    node.network.attach(request(&id, list)).await.unwrap();
                    attach.push(start.elapsed());
                    let start = Instant::now();
                    node.network.detach(&id).await.unwrap();
                    detach.push(start.elapsed());
                }
                attach.sort();
                detach.sort();
                let (families, ports) = (subnets.len(), list.len());
                eprintln!(
                    "{families} families, {ports} ports: attach p50 {:?} p99 {:?}, detach p50 {:?} p99 {:?}",
                    attach[50], attach[98], detach[50], detach[98]
                );
            }
            node.network.purge().await.unwrap();
        }
    });
}
