//! What pods may send: frames that claim to come from somebody else reach neither another pod nor the node; what pods
//! need does. In nodes as those of `real.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

#[path = "node/frames.rs"]
mod frames;
#[allow(dead_code, reason = "each file of tests uses a part")]
mod node;

use frames::*;
use node::{Node, client, in_node, request, run, shown};
use peapod_network::Attachment;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

const ICMPV6: u8 = 58;
const UDP: u8 = 17;

/// Frames by name, each made with the mark that it is to carry.
type Frames<'a> = Vec<(&'static str, Box<dyn Fn(u8) -> Vec<u8> + 'a>)>;

/// A pod, its addresses, and those that it would like to have.
struct Attacker {
    own: Mac,
    own4: Ipv4Addr,
    own6: Ipv6Addr,
    own_local: Ipv6Addr,
    other: Mac,
    other4: Ipv4Addr,
    other6: Ipv6Addr,
    gateway4: Ipv4Addr,
    gateway6: Ipv6Addr,
}

impl Attacker {
    fn of(own: &Attachment, other: &Attachment) -> Self {
        Self {
            own: mac(&own.mac),
            own4: v4(own.ips[0]),
            own6: v6(own.ips[1]),
            own_local: "fe80::70:ff:fe00:3".parse().unwrap(),
            other: mac(&other.mac),
            other4: v4(other.ips[0]),
            other6: v6(other.ips[1]),
            gateway4: v4(own.gateways[0]),
            gateway6: v6(own.gateways[1]),
        }
    }

    fn arp(&self, number: u8, from: Mac, sender: (Mac, Ipv4Addr)) -> Vec<u8> {
        ether(BROADCAST, from, 0x806, &arp(number, 2, sender, sender.1))
    }

    fn asks(&self, number: u8, about: Ipv4Addr) -> Vec<u8> {
        ether(BROADCAST, self.own, 0x806, &arp(number, 1, (self.own, self.own4), about))
    }

    fn ip4(&self, number: u8, from: Mac, ip: Ipv4Addr) -> Vec<u8> {
        ether(BROADCAST, from, 0x800, &ipv4(ip, Ipv4Addr::BROADCAST, UDP, 0, &udp(number, 1000, 1000)))
    }

    fn by4(&self, protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
        ether(BROADCAST, self.own, 0x800, &ipv4(self.own4, Ipv4Addr::BROADCAST, protocol, fragment, body))
    }

    fn ip6(&self, from: Mac, ip: Ipv6Addr, next: u8, body: &[u8]) -> Vec<u8> {
        ether(ALL_NODES, from, 0x86dd, &ipv6(ip, "ff02::1".parse().unwrap(), next, body))
    }

    fn by6(&self, next: u8, body: &[u8]) -> Vec<u8> {
        self.ip6(self.own, self.own6, next, body)
    }

    fn discovery(&self, number: u8, kind: u8, target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
        self.by6(ICMPV6, &neighbour(number, kind, target, options))
    }

    /// What each pod may send.
    fn fair(&self) -> Frames<'_> {
        let unspecified = Ipv6Addr::UNSPECIFIED;
        let nonce = [14, 1, 1, 2, 3, 4, 5, 6];
        vec![
            ("ARP", Box::new(|n| self.arp(n, self.own, (self.own, self.own4)))),
            ("IPv4", Box::new(|n| self.ip4(n, self.own, self.own4))),
            ("ICMP echo", Box::new(|n| self.by4(1, 0, &message(n, 8)))),
            ("IGMP report", Box::new(|n| self.by4(2, 0, &message(n, 0x16)))),
            ("IPv6", Box::new(|n| self.by6(UDP, &udp(n, 1000, 1000)))),
            ("link-local", Box::new(|n| self.ip6(self.own, self.own_local, UDP, &udp(n, 1000, 1000)))),
            ("ICMPv6 echo", Box::new(|n| self.by6(ICMPV6, &message(n, 128)))),
            ("question for the gateway", Box::new(|n| self.asks(n, self.gateway4))),
            ("solicitation", Box::new(|n| self.discovery(n, 135, self.gateway6, &option(1, self.own)))),
            ("bare solicitation", Box::new(|n| self.discovery(n, 135, self.gateway6, &[]))),
            ("advertisement", Box::new(|n| self.discovery(n, 136, self.own6, &option(2, self.own)))),
            ("bare advertisement", Box::new(|n| self.discovery(n, 136, self.own_local, &[]))),
            (
                "duplicate address detection",
                Box::new(move |n| self.ip6(self.own, unspecified, ICMPV6, &neighbour(n, 135, self.own6, &nonce))),
            ),
            ("multicast report", Box::new(move |n| self.ip6(self.own, unspecified, ICMPV6, &message(n, 143)))),
        ]
    }

    /// Claims about hardware addresses and IPv4.
    fn foul4(&self) -> Frames<'_> {
        let tag = |frame: Vec<u8>, tpid, vlan| tagged(&frame, tpid, vlan);
        let own = move |n| self.ip4(n, self.own, self.own4);
        let others = move |n| self.ip4(n, self.own, self.other4);
        vec![
            ("question for a pod", Box::new(|n| self.asks(n, self.other4))),
            ("ARP for a pod", Box::new(|n| self.arp(n, self.own, (self.own, self.other4)))),
            ("ARP for the gateway", Box::new(|n| self.arp(n, self.own, (self.own, self.gateway4)))),
            ("ARP of another MAC", Box::new(|n| self.arp(n, self.own, (self.other, self.own4)))),
            ("ARP by another MAC", Box::new(|n| self.arp(n, self.other, (self.other, self.other4)))),
            ("ARP from nobody", Box::new(|n| self.arp(n, self.own, (self.own, Ipv4Addr::UNSPECIFIED)))),
            (
                "ARP of another form",
                Box::new(|n| {
                    let mut frame = self.arp(n, self.own, (self.own, self.own4));
                    frame[15] = 6;
                    frame
                }),
            ),
            ("RARP", Box::new(|n| ether(BROADCAST, self.own, 0x8035, &arp(n, 4, (self.own, self.own4), self.own4)))),
            ("another MAC", Box::new(|n| self.ip4(n, self.other, self.own4))),
            ("an unknown MAC", Box::new(|n| self.ip4(n, [2, 0, 0, 0, 0, 9], self.own4))),
            ("another pod's IPv4", Box::new(others)),
            ("the gateway's IPv4", Box::new(|n| self.ip4(n, self.own, self.gateway4))),
            ("a foreign IPv4", Box::new(|n| self.ip4(n, self.own, Ipv4Addr::new(192, 0, 2, 2)))),
            ("no IPv4", Box::new(|n| self.ip4(n, self.own, Ipv4Addr::UNSPECIFIED))),
            (
                "fragments of another pod",
                Box::new(|n| {
                    let body = ipv4(self.other4, Ipv4Addr::BROADCAST, UDP, 0x2000, &udp(n, 1000, 1000));
                    ether(BROADCAST, self.own, 0x800, &body)
                }),
            ),
            (
                "later fragments of another pod",
                Box::new(|n| {
                    let body = ipv4(self.other4, Ipv4Addr::BROADCAST, UDP, 3, &udp(n, 1000, 1000));
                    ether(BROADCAST, self.own, 0x800, &body)
                }),
            ),
            ("a tag", Box::new(move |n| tag(own(n), 0x8100, 7))),
            ("a tag, another pod's IPv4", Box::new(move |n| tag(others(n), 0x8100, 1))),
            ("a priority tag, another pod's IPv4", Box::new(move |n| tag(others(n), 0x8100, 0))),
            ("two tags", Box::new(move |n| tag(tag(others(n), 0x8100, 1), 0x88a8, 1))),
            (
                "a tag, ARP for the gateway",
                Box::new(move |n| tag(self.arp(n, self.own, (self.own, self.gateway4)), 0x8100, 0)),
            ),
            ("ICMP redirect", Box::new(|n| self.by4(1, 0, &message(n, 5)))),
            ("ICMP redirect, first fragment", Box::new(|n| self.by4(1, 0x2000, &message(n, 5)))),
            ("ICMP router", Box::new(|n| self.by4(1, 0, &message(n, 9)))),
            ("IGMP query", Box::new(|n| self.by4(2, 0, &message(n, 0x11)))),
            ("DHCP answer", Box::new(|n| self.by4(UDP, 0, &udp(n, 67, 68)))),
            ("LLDP", Box::new(|n| ether(BROADCAST, self.own, 0x88cc, &udp(n, 0, 0)))),
            ("PPPoE", Box::new(|n| ether(BROADCAST, self.own, 0x8863, &udp(n, 0, 0)))),
            ("LLC", Box::new(|n| ether([1, 0x80, 0xc2, 0, 0, 0], self.own, 24, &udp(n, 0, 0)))),
        ]
    }

    /// Claims in IPv6.
    fn foul6(&self) -> Frames<'_> {
        let unspecified = Ipv6Addr::UNSPECIFIED;
        let advert = move |n, target, mac| neighbour(n, 136, target, &option(2, mac));
        let foreign: Ipv6Addr = "fe80::70:ff:fe00:1".parse().unwrap();
        vec![
            ("another pod's IPv6", Box::new(|n| self.ip6(self.own, self.other6, UDP, &udp(n, 1000, 1000)))),
            ("the gateway's link-local", Box::new(move |n| self.ip6(self.own, foreign, UDP, &udp(n, 1000, 1000)))),
            ("another MAC, IPv6", Box::new(|n| self.ip6(self.other, self.own6, UDP, &udp(n, 1000, 1000)))),
            ("from nobody", Box::new(move |n| self.ip6(self.own, unspecified, UDP, &udp(n, 1000, 1000)))),
            ("a tag, IPv6", Box::new(|n| tagged(&self.by6(UDP, &udp(n, 1000, 1000)), 0x8100, 0))),
            ("solicitation of a pod", Box::new(|n| self.discovery(n, 135, self.other6, &option(1, self.own)))),
            ("advertisement of a pod", Box::new(move |n| self.by6(ICMPV6, &advert(n, self.other6, self.own)))),
            ("advertisement of the gateway", Box::new(move |n| self.by6(ICMPV6, &advert(n, self.gateway6, self.own)))),
            ("bare advertisement of a pod", Box::new(|n| self.discovery(n, 136, self.other6, &[]))),
            ("advertisement of another MAC", Box::new(move |n| self.by6(ICMPV6, &advert(n, self.own6, self.other)))),
            (
                "advertisement of two MACs",
                Box::new(|n| {
                    let options = [option(2, self.own), option(2, self.other)].concat();
                    self.discovery(n, 136, self.own6, &options)
                }),
            ),
            ("solicitation of another MAC", Box::new(|n| self.discovery(n, 135, self.other6, &option(1, self.other)))),
            (
                "detection of another's address",
                Box::new(move |n| self.ip6(self.own, unspecified, ICMPV6, &neighbour(n, 135, self.other6, &[]))),
            ),
            (
                "advertisement behind an extension",
                Box::new(move |n| self.by6(60, &extension(ICMPV6, None, &advert(n, self.other6, self.own)))),
            ),
            (
                "advertisement in a fragment",
                Box::new(move |n| self.by6(44, &extension(ICMPV6, Some(1), &advert(n, self.other6, self.own)))),
            ),
            (
                "hidden behind a first fragment's end",
                Box::new(|n| {
                    let hidden = extension(60, Some(1), &[ICMPV6, 40, 1, 4, 0, 0, 0xa5, 0x5a, n, 0, 0, 0, 0, 0, 0, 0]);
                    self.by6(44, &hidden)
                }),
            ),
            ("router solicitation", Box::new(|n| self.by6(ICMPV6, &message(n, 133)))),
            ("router", Box::new(|n| self.ip6(self.own, self.own_local, ICMPV6, &message(n, 134)))),
            ("router behind an extension", Box::new(|n| self.by6(60, &extension(ICMPV6, None, &message(n, 134))))),
            ("redirect", Box::new(|n| self.ip6(self.own, self.own_local, ICMPV6, &message(n, 137)))),
            ("multicast query", Box::new(|n| self.ip6(self.own, self.own_local, ICMPV6, &message(n, 130)))),
            ("DHCPv6 answer", Box::new(|n| self.by6(UDP, &udp(n, 547, 546)))),
        ]
    }
}

#[test]
#[ignore = "needs root"]
fn pods_send_as_themselves_only() {
    in_node("pods_send_as_themselves_only", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let victim = node.network.attach(request("victim", &[])).await.unwrap();
        let pod = node.network.attach(request("attacker", &[])).await.unwrap();
        let attacker = Attacker::of(&pod, &victim);
        let fair = attacker.fair();
        let foul: Vec<_> = attacker.foul4().into_iter().chain(attacker.foul6()).collect();
        let mut named: Vec<(&str, bool, Vec<u8>)> = Vec::new();
        for (is_fair, list) in [(true, fair), (false, foul)] {
            for (name, frame) in list {
                let number = u8::try_from(named.len()).unwrap();
                named.push((name, is_fair, frame(number)));
            }
        }
        let last = u8::try_from(named.len()).unwrap();
        let mut frames: Vec<Vec<u8>> = named.iter().map(|(_, _, frame)| frame.clone()).collect();
        frames.push(attacker.arp(last, attacker.own, (attacker.own, attacker.own4)));

        let at_victim = Listener::start(victim.netns.to_str().unwrap(), "eth0", last);
        let at_node = Listener::start("/proc/self/ns/net", &node.bridge, last);
        send(pod.netns.to_str().unwrap(), &frames);
        for (place, listener) in [("the other pod", at_victim), ("the node", at_node)] {
            let seen = listener.seen();
            let wrong: Vec<_> = named
                .iter()
                .zip(0u8..)
                .filter(|((_, is_fair, _), number)| seen.contains(number) != *is_fair)
                .map(|((name, is_fair, _), _)| format!("{name}: {}", if *is_fair { "lost" } else { "arrives" }))
                .collect();
            assert!(wrong.is_empty(), "at {place}: {wrong:#?}");
        }
        // Once its network is given back, a process that stays in its namespace sends nothing any more.
        let stays = node.serve(&pod, 80);
        let inside = format!("/proc/{}/ns/net", stays.pid());
        node.network.detach("attacker").await.unwrap();
        let at_node = Listener::start("/proc/self/ns/net", &node.bridge, last);
        send(&inside, &frames);
        send(
            victim.netns.to_str().unwrap(),
            &[Attacker::of(&victim, &pod).arp(last, mac(&victim.mac), (mac(&victim.mac), attacker.other4))],
        );
        assert_eq!(at_node.seen(), [last]);
    });
}

/// Says from whom the first datagram came.
const FIRST: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9100))
print("ready", flush=True)
print(s.recvfrom(100)[1][0], flush=True)
"#;

#[test]
#[ignore = "needs root"]
fn link_local_groups_are_no_way_around() {
    in_node("link_local_groups_are_no_way_around", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let victim = node.network.attach(request("victim", &[])).await.unwrap();
        let pod = node.network.attach(request("attacker", &[])).await.unwrap();
        let attacker = Attacker::of(&pod, &victim);
        let (from, node_ip) = (pod.netns.to_str().unwrap(), Ipv4Addr::new(192, 0, 2, 1));
        let server = node.serve(&victim, 80);
        assert_eq!(client(from, "tcp", "10.93.0.2", 80).unwrap(), "10.93.0.3");
        let entries = || run(&["bridge", "fdb", "show", "br", &node.bridge, "dynamic"]);
        let neighbours = || run(&["ip", "neigh", "show", "dev", &pod.host_interface]);
        let before = entries();
        let mut first = node::Lines::start("/proc/self/ns/net", FIRST, &[]);
        assert_eq!(first.line(), "ready");
        let claim = ipv4(attacker.other4, node_ip, UDP, 0, &udp(0, 1000, 9100));
        let mut frames = Vec::new();
        for last in 0..16 {
            let group = [1, 0x80, 0xc2, 0, 0, last];
            // Where the victim is, for the bridge; the victim's packet and its address, for the node.
            frames.push(ether(group, attacker.other, 0x88cc, &[0; 46]));
            frames.push(ether(group, attacker.own, 0x800, &claim));
            let arp = arp(0, 1, (attacker.own, attacker.other4), attacker.gateway4);
            frames.push(ether(group, attacker.own, 0x806, &arp));
        }
        let own = ipv4(attacker.own4, node_ip, UDP, 0, &udp(0, 1000, 9100));
        frames.push(ether(mac("02:70:00:00:00:01"), attacker.own, 0x800, &own));
        send(from, &frames);
        assert_eq!(first.line(), "10.93.0.3");
        assert_eq!(entries(), before);
        assert_eq!(neighbours(), "");
        assert_eq!(client("", "tcp", "10.93.0.2", 80).unwrap(), "10.93.0.1");
        drop(server);
    });
}

#[test]
#[ignore = "needs root"]
fn what_others_change_is_set_again() {
    in_node("what_others_change_is_set_again", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let bridge = node.bridge.as_str();
        let mapped = node::ports(&[("tcp", 8080, 80, "")]);
        node.network.attach(request("a", &mapped)).await.unwrap();
        let rules = shown(bridge);
        let changes: [&[&str]; 9] = [
            &["flush", "ruleset"],
            &["delete", "table", "bridge", bridge],
            &["delete", "table", "inet", bridge],
            &["flush", "chain", "bridge", bridge, "ports"],
            &["flush", "chain", "inet", bridge, "guard"],
            &["flush", "set", "bridge", bridge, "from4"],
            &["flush", "map", "inet", bridge, "any4"],
            &["insert", "rule", "bridge", bridge, "port", "accept"],
            &["add", "element", "bridge", bridge, "mac", "{ \"x\" . 02:00:00:00:00:01 }"],
        ];
        for change in changes {
            run(&[&["nft"], change].concat());
            assert!(node.network.check().await.ready);
            assert_eq!(shown(bridge), rules, "after {change:?}");
        }
        // A table of somebody else is no reason to make ours anew.
        let handles = || run(&["nft", "-a", "list", "table", "bridge", bridge]);
        let before = handles();
        run(&["nft", "add", "table", "inet", "other"]);
        assert!(node.network.check().await.ready);
        assert_eq!(handles(), before);

        let sysctls = [
            ("net.ipv4.ip_forward".to_owned(), "1", "0"),
            (format!("net.ipv4.conf.{bridge}.forwarding"), "1", "0"),
            (format!("net.ipv4.conf.{bridge}.route_localnet"), "1", "0"),
            (format!("net.ipv4.conf.{bridge}.accept_redirects"), "0", "1"),
            (format!("net.ipv4.conf.{bridge}.send_redirects"), "0", "1"),
            ("net.ipv6.conf.all.forwarding".to_owned(), "1", "0"),
            (format!("net.ipv6.conf.{bridge}.accept_ra"), "0", "1"),
            (format!("net.ipv6.conf.{bridge}.accept_redirects"), "0", "1"),
        ];
        let spoil = || {
            for (name, _, bad) in &sysctls {
                run(&["sysctl", "-qw", &format!("{name}={bad}")]);
            }
        };
        let is_right = || sysctls.iter().all(|(name, good, _)| run(&["sysctl", "-n", name]).trim() == *good);
        // By the next pod, and without one.
        spoil();
        let pod = node.network.attach(request("b", &[])).await.unwrap();
        assert!(is_right());
        spoil();
        run(&["ip", "addr", "flush", "dev", bridge]);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_right() || !run(&["ip", "addr", "show", "dev", bridge]).contains("10.93.0.1/16") {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let _outside = node.serve_neighbour(9001);
        assert_eq!(client(pod.netns.to_str().unwrap(), "tcp", "192.0.2.2", 9001).unwrap(), "192.0.2.1");
        // What pods believe of redirects and routers.
        for name in ["ipv4.conf.all.accept_redirects", "ipv4.conf.eth0.accept_redirects", "ipv6.conf.eth0.accept_ra"] {
            let netns = format!("--net={}", pod.netns.display());
            assert_eq!(run(&["nsenter", &netns, "sysctl", "-n", &format!("net.{name}")]), "0\n", "{name}");
        }
    });
}
