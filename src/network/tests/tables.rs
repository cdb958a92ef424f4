//! No pod fills a table of the node's kernel: neighbours, connections, what the bridge remembers. In nodes as those of
//! `real.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

#[path = "node/frames.rs"]
#[allow(dead_code, reason = "each file of tests uses a part")]
mod frames;
#[allow(dead_code, reason = "each file of tests uses a part")]
mod node;

use frames::{arp, ether, ipv4, mac, message, send, udp, v4};
use node::{Lines, Node, client, in_node, ports, python, request, run};
use peapod_network::Attachment;
use std::net::Ipv4Addr;

/// Sends datagrams to many addresses, over and over until it is ended: says each time when it is through.
const FLOOD: &str = r#"
import ipaddress, socket, sys
first, count, way = ipaddress.ip_address(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
s = socket.socket(socket.AF_INET6 if first.version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
s.setblocking(False)
if way == "link":
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
index = socket.if_nametoindex("eth0") if first.is_link_local else 0
while True:
    for n in range(count):
        to = (str(first + n), 9) if first.version == 4 else (str(first + n), 9, 0, index)
        try:
            s.sendto(b"x", socket.MSG_DONTROUTE if way == "link" else 0, to)
        except OSError:
            pass
    print("through", flush=True)
"#;

/// Sends one datagram, once, and waits for the answer.
const ONCE: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.sendto(b"who", (sys.argv[1], int(sys.argv[2])))
print(s.recv(100).decode())
"#;

fn once(pod: &Attachment, to: &str, port: u16) -> String {
    let output = python(pod.netns.to_str().unwrap(), ONCE, &[to, &port.to_string()]).output().unwrap();
    assert!(output.status.success(), "{to}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// How often the kernel had no room for a neighbour, in any namespace.
fn overflows() -> u64 {
    let text = run(&["ip", "-s", "ntable", "show"]);
    let words: Vec<_> = text.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "table_fulls").map(|pair| pair[1].parse::<u64>().unwrap()).sum()
}

/// Neighbours of a namespace that are not permanent.
fn looked_for(args: &[&str]) -> usize {
    let shown = run(&[args, &["neigh", "show", "nud", "all"]].concat());
    let counts = |line: &&str| !["PERMANENT", "NOARP"].iter().any(|state| line.ends_with(state));
    shown.lines().filter(|line| counts(&line.trim_end())).count()
}

#[test]
#[ignore = "needs root"]
fn neighbours() {
    in_node("neighbours", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let attacker = node.network.attach(request("attacker", &[])).await.unwrap();
        let web = node.network.attach(request("web", &[])).await.unwrap();
        let (_web, _outside) = (node.serve(&web, 80), node.serve_neighbour(80));
        let before = overflows();
        // Its own subnet, its own link without asking the routes, and the links of the node.
        let floods = [
            ("10.93.8.0", "routed"),
            ("10.93.24.0", "link"),
            ("203.0.113.0", "link"),
            ("fd93::8:0", "routed"),
            ("fd93::9:0", "link"),
            ("fe80::8:0", "routed"),
            ("2001:db8::8:0", "routed"),
        ];
        for (round, (first, way)) in floods.iter().enumerate() {
            let mut flood = Lines::start(attacker.netns.to_str().unwrap(), FLOOD, &[first, "3000", way]);
            for _ in 0..2 {
                assert_eq!(flood.line(), "through");
            }
            // While it goes on: a pod that is new, to one that is there and to the outside, with its first packet.
            let pod = node.network.attach(request(&format!("new{round}"), &[])).await.unwrap();
            assert_eq!(once(&pod, "10.93.0.3", 80), pod.ips[0].to_string(), "{first}");
            assert_eq!(once(&pod, "fd93::3", 80), pod.ips[1].to_string(), "{first}");
            assert_eq!(once(&pod, "192.0.2.2", 80), "192.0.2.1", "{first}");
            assert_eq!(once(&pod, "2001:db8::2", 80), "2001:db8::1", "{first}");
            let of_node = looked_for(&["ip"]);
            // The share of one address, and what others of the node look for.
            assert!(of_node < 400, "{first}: the node looks for {of_node}");
            let incomplete = run(&["ip", "-n", "peapod-attacker", "neigh", "show", "nud", "incomplete"]);
            assert_eq!(incomplete, "", "{first}");
        }
        assert_eq!(overflows(), before);
        // Who asks for somebody that is not there hears so at once, a process of the node as well.
        let unreachable = "OSError: [Errno 113] No route to host";
        // The attacker has used up what it is told.
        for from in [web.netns.to_str().unwrap(), ""] {
            assert_eq!(client(from, "tcp", "10.93.7.7", 80).unwrap_err(), unreachable, "{from}");
            assert_eq!(client(from, "tcp", "fd93::7:7", 80).unwrap_err(), unreachable, "{from}");
        }
        let entered = || run(&["ip", "neigh", "show", "dev", &node.bridge, "nud", "permanent"]);
        assert!(entered().contains("10.93.0.2 lladdr 02:70:00:00:00:02"), "{}", entered());
        for id in node.network.ids() {
            node.network.detach(&id).await.unwrap();
        }
        assert_eq!(entered(), "");
    });
}

/// Begins many UDP flows to one address.
const FLOWS: &str = r#"
import socket, sys
to, count, sent = sys.argv[1], int(sys.argv[2]), 0
while sent < count:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for port in range(1000, 1000 + min(30000, count - sent)):
        try:
            s.sendto(b"x", (to, port))
        except OSError:
            pass
        sent += 1
"#;

#[test]
#[ignore = "needs root"]
fn connections() {
    in_node("connections", async || {
        let node = Node::open(&["10.93.0.0/16"]).await;
        let attacker = node.network.attach(request("attacker", &[])).await.unwrap();
        let other = node.network.attach(request("other", &[])).await.unwrap();
        let most: usize = run(&["sysctl", "-n", "net.netfilter.nf_conntrack_max"]).trim().parse().unwrap();
        let bound = (most / 4).min(32_768);
        let (_outside, _local) = (node.serve_neighbour(80), node.serve_node(81));
        let half = (bound * 3 / 4).to_string();
        // To the node itself, and beyond.
        for to in ["10.93.0.1", "192.0.2.2"] {
            assert!(python(attacker.netns.to_str().unwrap(), FLOWS, &[to, &half]).status().unwrap().success());
        }
        let count: usize = run(&["sysctl", "-n", "net.netfilter.nf_conntrack_count"]).trim().parse().unwrap();
        // Fewer where some have been forgotten already, or a list is full before others.
        assert!((bound / 2..bound + 100).contains(&count), "{count} of {bound}");
        assert_eq!(once(&other, "192.0.2.2", 80), "192.0.2.1");
        assert_eq!(client(other.netns.to_str().unwrap(), "tcp", "10.93.0.1", 81).unwrap(), "10.93.0.3");
    });
}

#[test]
#[ignore = "needs root"]
fn memory_of_the_bridge() {
    in_node("memory_of_the_bridge", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let bridge = node.bridge.as_str();
        let attacker = node.network.attach(request("attacker", &[])).await.unwrap();
        let other = node.network.attach(request("other", &[])).await.unwrap();
        let server = node.serve(&other, 80);
        let known = || run(&["bridge", "fdb", "show", "br", bridge]);
        let before = known();
        assert!(before.contains("02:70:00:00:00:02 dev"), "{before}");
        let (own, from) = (mac(&attacker.mac), attacker.netns.to_str().unwrap());
        let groups = (0..2000u16).map(|n| {
            let [high, low] = n.to_be_bytes();
            let group = Ipv4Addr::new(239, 1, high, low);
            let mut report = message(0, 0x16);
            report[4..8].copy_from_slice(&group.octets());
            ether([1, 0, 0x5e, 1, high, low], own, 0x800, &ipv4(v4(attacker.ips[0]), group, 2, 0, &report))
        });
        send(from, &groups.collect::<Vec<_>>());
        // As while somebody's firewall is loaded: there are no rules, and nobody makes them again.
        node.network.close().await;
        run(&["nft", "flush", "ruleset"]);
        let strangers = (0..2000u16).map(|n| {
            let [high, low] = n.to_be_bytes();
            let sender = [2, 0, 0, 1, high, low];
            let claim = ipv4(v4(attacker.ips[0]), v4(other.ips[0]), 17, 0, &udp(0, 1000, 1000));
            ether(mac(&other.mac), sender, 0x800, &claim)
        });
        send(from, &strangers.collect::<Vec<_>>());
        // The other pod's own address, by which its frames would come here.
        let stolen = arp(0, 2, (mac(&other.mac), v4(other.ips[0])), v4(other.ips[0]));
        send(from, &[ether([0xff; 6], mac(&other.mac), 0x806, &stolen)]);
        assert_eq!(known(), before);
        assert_eq!(run(&["bridge", "mdb", "show"]), "");
        assert_eq!(client("", "tcp", "10.93.0.3", 80).unwrap(), "10.93.0.1");
        drop(server);
    });
}

/// Datagrams larger than a frame, in both families.
const LARGE: &str = r#"
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4])
s.send(bytes(8000))
print(s.recv(100).decode())
"#;

#[test]
#[ignore = "needs root"]
fn pods_reach_each_other() {
    in_node("pods_reach_each_other", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let a = node.network.attach(request("a", &[])).await.unwrap();
        let b = node.network.attach(request("b", &[])).await.unwrap();
        let _server = node.serve(&a, 80);
        let from = b.netns.to_str().unwrap();
        let pairs = [("10.93.0.2", "10.93.0.3"), ("fd93::2", "fd93::3")];
        for (to, seen) in pairs {
            let netns = format!("--net={from}");
            assert!(run(&["nsenter", &netns, "python3", "-c", LARGE, to, "80"]).starts_with(seen), "{to}");
        }
        for (to, seen) in &pairs {
            assert_eq!(client(from, "tcp", to, 80).unwrap(), *seen);
        }
    });
}

/// Makes a pod as one that a peapod has made which had all pods share their link.
async fn make_older(node: &Node, pod: &Attachment, id: &'static str) {
    let netns = format!("/run/netns/peapod-{id}");
    let inside = |args: &[&str]| run(&[&["nsenter", &format!("--net={netns}")], args].concat());
    for (family, ip, prefix, table) in [("-4", pod.ips[0], 16, "ipv4/neigh"), ("-6", pod.ips[1], 64, "ipv6/neigh")] {
        inside(&["ip", family, "addr", "flush", "dev", "eth0", "scope", "global"]);
        inside(&["ip", family, "addr", "add", &format!("{ip}/{prefix}"), "dev", "eth0"]);
        inside(&["ip", family, "link", "set", "eth0", "up"]);
        let gateway = if family == "-4" { pod.gateways[0] } else { pod.gateways[1] };
        inside(&["ip", family, "route", "replace", "default", "via", &gateway.to_string(), "dev", "eth0"]);
        inside(&["sysctl", "-qw", &format!("net/{table}/eth0/mcast_solicit=3")]);
        run(&["ip", family, "neigh", "flush", "dev", &node.bridge, "nud", "permanent"]);
    }
    inside(&["ip", "neigh", "flush", "dev", "eth0", "nud", "permanent"]);
    let link = pod.host_interface.as_str();
    run(&["bridge", "fdb", "del", &pod.mac, "dev", link, "master"]);
    run(&["bridge", "link", "set", "dev", link, "learning", "on", "flood", "on"]);
    let sql = "UPDATE network_attachments SET record = json_remove(record, '$.layout') WHERE id = ?1";
    assert_eq!(node.db.write(move |t| t.execute(sql, [id])).await.unwrap(), 1);
}

#[test]
#[ignore = "needs root"]
fn pods_of_the_older_layout_go_on() {
    in_node("pods_of_the_older_layout_go_on", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let mut old = Vec::new();
        for (id, port) in [("old1", 8081), ("old2", 8082)] {
            let pod = node.network.attach(request(id, &ports(&[("tcp", port, 80, "")]))).await.unwrap();
            make_older(&node, &pod, id).await;
            old.push(pod);
        }
        node.network.close().await;
        run(&["ip", "link", "set", &node.bridge, "type", "bridge", "mcast_snooping", "1"]);
        run(&["nft", "flush", "ruleset"]);

        let again = node.again().await;
        let new = again.attach(request("new", &ports(&[("tcp", 8083, 80, "")]))).await.unwrap();
        // What a firewall does beside: it passes only what the node has seen from the beginning.
        run(&["nft", "add", "table", "inet", "firewall"]);
        run(&["nft", "add", "chain", "inet", "firewall", "forward", "{ type filter hook forward priority 10; }"]);
        run(&["nft", "add", "rule", "inet", "firewall", "forward", "ct", "state", "invalid", "drop"]);
        let pods = [&*old[0], &*old[1], &*new];
        let _servers = pods.map(|pod| node.serve(pod, 80));
        let _outside = node.serve_neighbour(81);
        for from in pods {
            let netns = from.netns.to_str().unwrap();
            for to in pods.iter().filter(|to| to.id != from.id) {
                for (ip, own) in to.ips.iter().zip(&from.ips) {
                    for protocol in ["tcp", "udp"] {
                        let seen = client(netns, protocol, &ip.to_string(), 80);
                        assert_eq!(seen.as_deref(), Ok(own.to_string().as_str()), "{} to {}", from.id, to.id);
                    }
                }
            }
            assert_eq!(client(netns, "tcp", "192.0.2.2", 81).unwrap(), "192.0.2.1");
            for ip in &from.ips {
                client("", "tcp", &ip.to_string(), 80).unwrap();
            }
        }
        for port in 8081..8084 {
            assert_eq!(client(node::NEIGHBOUR, "tcp", "192.0.2.1", port).unwrap(), "192.0.2.2");
            // From each to each, itself included.
            for from in pods {
                client(from.netns.to_str().unwrap(), "tcp", "192.0.2.1", port).unwrap();
            }
        }
        let known = run(&["bridge", "fdb", "show", "br", &node.bridge]);
        let is_static =
            |pod: &&Attachment| known.lines().any(|line| line.starts_with(&pod.mac) && line.contains("static"));
        assert!(pods.iter().all(is_static), "{known}");
        for id in ["old1", "old2", "new"] {
            again.detach(id).await.unwrap();
        }
        assert_eq!(run(&["ip", "neigh", "show", "dev", &node.bridge, "nud", "permanent"]), "");
    });
}

#[test]
#[ignore = "needs root"]
fn neighbours_that_are_lost_or_nobodys() {
    in_node("neighbours_that_are_lost_or_nobodys", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let bridge = node.bridge.as_str();
        let pod = node.network.attach(request("a", &[])).await.unwrap();
        let _server = node.serve(&pod, 80);
        let entered = || {
            let mut lines: Vec<_> =
                run(&["ip", "neigh", "show", "dev", bridge, "nud", "permanent"]).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let right = entered();
        assert_eq!(right.len(), 3, "{right:?}");
        run(&["ip", "neigh", "flush", "dev", bridge, "nud", "permanent"]);
        run(&["ip", "neigh", "add", "10.93.9.9", "lladdr", "02:70:00:00:09:09", "dev", bridge, "nud", "permanent"]);
        // Somebody else's is left alone.
        run(&["ip", "neigh", "add", "10.93.9.8", "lladdr", "02:00:00:00:09:08", "dev", bridge, "nud", "permanent"]);
        run(&["bridge", "fdb", "del", &pod.mac, "dev", &pod.host_interface, "master"]);
        assert!(node.network.check().await.ready);
        run(&["ip", "neigh", "del", "10.93.9.8", "dev", bridge]);
        assert_eq!(entered(), right);
        for ip in &pod.ips {
            client("", "tcp", &ip.to_string(), 80).unwrap();
        }
    });
}
