//! Attaches for real. Each test runs itself again in a mount and network namespace of its own: a node with a neighbour.
//! Needs root, `ip`, `nft`, `nsenter` and python3.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod node;

use node::{Node, client, in_node, ports, request, shown};
use peapod_network::{AttachError, PortOwner};
use std::time::{Duration, Instant};

#[test]
#[ignore = "needs root"]
fn traffic() {
    in_node("traffic", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let mapped = ports(&[("tcp", 8080, 80, ""), ("udp", 8080, 80, ""), ("tcp", 8081, 80, "192.0.2.1")]);
        let web = node.network.attach(request("web", &mapped)).await.unwrap();
        let other = node.network.attach(request("other", &[])).await.unwrap();
        assert_eq!(web.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.93.0.2", "fd93::2"]);
        let _web = node.serve(&web, 80);
        let _local = node.serve_node(9000);
        let _outside = node.serve_neighbour(9001);

        for protocol in ["tcp", "udp"] {
            let ask = |from: &str, to: &str, port: u16| client(from, protocol, to, port);
            let from_pod = other.netns.to_str().unwrap();
            let itself = web.netns.to_str().unwrap();
            // To the pod's own addresses, from the node and from a pod.
            assert_eq!(ask("", "10.93.0.2", 80).unwrap(), "10.93.0.1");
            assert_eq!(ask("", "fd93::2", 80).unwrap(), "fd93::1");
            assert_eq!(ask(from_pod, "10.93.0.2", 80).unwrap(), "10.93.0.3");
            assert_eq!(ask(from_pod, "fd93::2", 80).unwrap(), "fd93::3");
            // To the node and beyond it, where only the node is known.
            assert_eq!(ask(from_pod, "10.93.0.1", 9000).unwrap(), "10.93.0.3");
            if protocol == "tcp" {
                // The UDP server would answer from the address that is nearest to the pod, another one.
                assert_eq!(ask(from_pod, "192.0.2.1", 9000).unwrap(), "10.93.0.3");
            }
            assert_eq!(ask(from_pod, "192.0.2.2", 9001).unwrap(), "192.0.2.1");
            assert_eq!(ask(from_pod, "2001:db8::2", 9001).unwrap(), "2001:db8::1");
            // By the host port: from outside, from the node by all its names, from another pod, from the pod itself.
            assert_eq!(ask(node::NEIGHBOUR, "192.0.2.1", 8080).unwrap(), "192.0.2.2");
            assert_eq!(ask(node::NEIGHBOUR, "2001:db8::1", 8080).unwrap(), "2001:db8::2");
            assert_eq!(ask("", "127.0.0.1", 8080).unwrap(), "10.93.0.1");
            assert_eq!(ask("", "192.0.2.1", 8080).unwrap(), "192.0.2.1");
            assert_eq!(ask("", "2001:db8::1", 8080).unwrap(), "2001:db8::1");
            assert_eq!(ask("", "10.93.0.1", 8080).unwrap(), "10.93.0.1");
            assert_eq!(ask(from_pod, "192.0.2.1", 8080).unwrap(), "10.93.0.1");
            assert_eq!(ask(itself, "192.0.2.1", 8080).unwrap(), "10.93.0.1");
            assert_eq!(ask(itself, "2001:db8::1", 8080).unwrap(), "fd93::1");
        }
        // A port on one address is on no other.
        assert_eq!(client("", "tcp", "192.0.2.1", 8081).unwrap(), "192.0.2.1");
        client("", "tcp", "127.0.0.1", 8081).unwrap_err();
        // ::1 is left alone, at once.
        let start = Instant::now();
        client("", "tcp", "::1", 8080).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(1));

        node.network.detach("web").await.unwrap();
        client("", "tcp", "127.0.0.1", 8080).unwrap_err();
        client(node::NEIGHBOUR, "tcp", "192.0.2.1", 8080).unwrap_err();
    });
}

#[test]
#[ignore = "needs root"]
fn nothing_of_loopback_is_reached_from_pods() {
    in_node("nothing_of_loopback_is_reached_from_pods", async || {
        let node = Node::open(&["10.93.0.0/16"]).await;
        let pod = node.network.attach(request("pod", &[])).await.unwrap();
        let _local = node.serve_loopback(9000);
        assert!(client("", "tcp", "127.0.0.1", 9000).is_ok());
        let netns = pod.netns.to_str().unwrap();
        // CVE-2020-8558: a packet to 127.0.0.1 that is sent to the bridge's hardware address.
        node::run(&["nsenter", &format!("--net={netns}"), "ip", "link", "set", "lo", "down"]);
        node::run(&["nsenter", &format!("--net={netns}"), "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1"]);
        node::run(&[
            "nsenter",
            &format!("--net={netns}"),
            "ip",
            "route",
            "del",
            "table",
            "local",
            "127.0.0.0/8",
            "dev",
            "lo",
        ]);
        node::run(&[
            "nsenter",
            &format!("--net={netns}"),
            "ip",
            "route",
            "add",
            "127.0.0.1/32",
            "via",
            "10.93.0.1",
            "dev",
            "eth0",
        ]);
        client(netns, "tcp", "127.0.0.1", 9000).unwrap_err();
        // CVE-2020-10749: a router that a pod says it is.
        for (netns, link) in [("/proc/self/ns/net", node.bridge.as_str()), (netns, "eth0")] {
            let name = format!("net.ipv6.conf.{link}.accept_ra");
            assert_eq!(node::run(&["nsenter", &format!("--net={netns}"), "sysctl", "-n", &name]), "0\n");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn taken_ports_name_their_owner() {
    in_node("taken_ports_name_their_owner", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let attach =
            async |id: &str, list: &[(&str, u16, u16, &str)]| node.network.attach(request(id, &ports(list))).await;
        attach("a", &[("tcp", 8080, 80, "")]).await.unwrap();
        let taken = attach("b", &[("udp", 8080, 80, ""), ("tcp", 8080, 80, "127.0.0.1")]).await.unwrap_err();
        assert!(
            matches!(&taken, AttachError::PortTaken { owner: PortOwner::Attachment(id), .. } if id == "a"),
            "{taken}"
        );
        attach("b", &[("udp", 8080, 80, "")]).await.unwrap();

        let server = node.serve_loopback(9000);
        for protocol in ["tcp", "udp"] {
            let taken = attach("c", &[(protocol, 9000, 80, "")]).await.unwrap_err();
            let AttachError::PortTaken { port, owner: PortOwner::Process { pid, name } } = &taken else {
                panic!("{taken}")
            };
            assert_eq!((port.host_port, *pid, name.starts_with("python")), (9000, server.pid(), true), "{taken}");
            // Nobody listens there.
            attach("c", &[(protocol, 9000, 80, "192.0.2.1")]).await.unwrap();
            node.network.detach("c").await.unwrap();
        }
        drop(server);
        attach("c", &[("tcp", 9000, 80, ""), ("udp", 9000, 80, "")]).await.unwrap();
        let _dual = node.serve_node(9001);
        attach("d", &[("udp", 9001, 80, "192.0.2.1")]).await.unwrap_err();
        assert!(node.network.attachment("d").is_none());
        attach("d", &[("sctp", 9001, 80, "")]).await.unwrap();
    });
}

#[test]
#[ignore = "needs root"]
fn detach_leaves_nothing() {
    in_node("detach_leaves_nothing", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let before = node.seen();
        for round in 0..3 {
            let id = format!("pod.{round}");
            let mapped = ports(&[("tcp", 8080, 80, ""), ("udp", 8080, 80, ""), ("tcp", 8081, 80, "127.0.0.1")]);
            let attachment = node.network.attach(request(&id, &mapped)).await.unwrap();
            assert_eq!(node.network.attach(request(&id, &mapped)).await.unwrap(), attachment);
            assert!(matches!(node.network.attach(request(&id, &[])).await, Err(AttachError::Different { .. })));
            assert_eq!(node.network.attachment(&id).unwrap(), attachment);
            assert_ne!(node.seen(), before);
            node.network.detach(&id).await.unwrap();
            node.network.detach(&id).await.unwrap();
            assert!(node.network.attachment(&id).is_none());
            node.becomes(&before).await;
        }
        node.network.detach("never").await.unwrap();
        // A failed attach as well: here the pin's name is taken.
        std::fs::write("/run/netns/peapod-x", "").unwrap();
        let before = node.seen();
        let failed = node.network.attach(request("x", &ports(&[("tcp", 1, 1, "")]))).await.unwrap_err();
        assert!(failed.to_string().contains("/run/netns/peapod-x: File exists"), "{failed}");
        std::fs::write("/run/netns/peapod-x", "").ok();
        node.becomes(&before).await;
        node.network.attach(request("y", &ports(&[("tcp", 1, 1, "")]))).await.unwrap();
        node.network.purge().await.unwrap_err();
        node.network.detach("y").await.unwrap();
        node.network.purge().await.unwrap();
        let rest = node.seen();
        assert!(!rest.contains(&node.bridge), "{rest}");
        node.network.close().await;
        assert!(matches!(node.network.attach(request("z", &[])).await, Err(AttachError::Closed)));
    });
}

#[test]
#[ignore = "needs root"]
fn a_dropped_attach_is_taken_away_by_detach() {
    in_node("a_dropped_attach_is_taken_away_by_detach", async || {
        let node = Node::open(&["10.93.0.0/16"]).await;
        let before = node.seen();
        for round in 0..20u64 {
            let id = format!("p{round}");
            let attach = node.network.attach(request(&id, &ports(&[("tcp", 8080, 80, "")])));
            // Given up at a different moment each time.
            let _ = tokio::time::timeout(Duration::from_micros(100 * round), attach).await;
            node.network.detach(&id).await.unwrap();
            assert!(node.network.attachment(&id).is_none());
        }
        node.becomes(&before).await;
    });
}

#[test]
#[ignore = "needs root"]
fn restart_and_repair() {
    in_node("restart_and_repair", async || {
        let node = Node::open(&["10.93.0.0/24"]).await;
        let mapped = ports(&[("tcp", 8080, 80, "")]);
        let web = node.network.attach(request("web", &mapped)).await.unwrap();
        let _web = node.serve(&web, 80);
        let works = || client(node::NEIGHBOUR, "tcp", "192.0.2.1", 8080).as_deref() == Ok("192.0.2.2");
        assert!(works());
        let rules = shown(&node.bridge);

        // Somebody's firewall is loaded again.
        node::run(&["nft", "flush", "ruleset"]);
        assert!(!works());
        assert!(node.network.check().await.ready);
        assert!(works());
        assert_eq!(shown(&node.bridge), rules);
        node::run(&["nft", "flush", "ruleset"]);
        node.network.attach(request("b", &ports(&[("udp", 1, 1, "")]))).await.unwrap();
        node.network.detach("b").await.unwrap();
        assert_eq!(shown(&node.bridge), rules);

        // The next process, which finds an attach that was killed in the middle.
        let again = node.again().await;
        assert_eq!(again.attachment("web").as_deref(), Some(&*web));
        assert_eq!(again.attach(request("web", &mapped)).await.unwrap(), web);
        let half = again.attach(request("half", &ports(&[("tcp", 8081, 80, "")]))).await.unwrap();
        node.db
            .write(|t| t.execute("UPDATE network_attachments SET complete = 0 WHERE id = 'half'", []))
            .await
            .unwrap();
        drop(again);
        let again = node.again().await;
        assert!(again.attachment("half").is_none());
        assert!(!half.netns.exists());
        assert_eq!(shown(&node.bridge), rules);
        assert!(works());

        // Somebody deletes the bridge: the next pod has one again, and status tells.
        node::run(&["ip", "link", "del", &node.bridge]);
        let next = again.attach(request("next", &[])).await.unwrap();
        assert_eq!(client(next.netns.to_str().unwrap(), "tcp", "10.93.0.1", 1).unwrap_err(), REFUSED);
        // Those that were there are on it again.
        assert!(again.check().await.ready && works());
        node::run(&["ip", "link", "set", &web.host_interface, "nomaster", "down"]);
        assert!(again.check().await.ready && works());
        node::run(&["ip", "link", "del", &node.bridge]);
        node::run(&["ip", "link", "add", &node.bridge, "type", "veth"]);
        let status = again.check().await;
        assert!(
            !status.ready && status.reason == "BridgeNotReady" && status.message.contains("no bridge but veth"),
            "{status:?}"
        );
        node::run(&["ip", "link", "del", &node.bridge]);
        // Seen without being asked.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !again.status().ready {
            assert!(Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        again.detach("web").await.unwrap();
        again.detach("next").await.unwrap();
    });
}

/// What a bridge and a pod's link on it are.
fn links_of(bridge: &str, link: &str) -> Vec<String> {
    let shown = [
        &["ip", "-brief", "address", "show", "dev", bridge][..],
        &["ip", "neighbour", "show", "nud", "permanent", "dev", bridge],
        &["ip", "-brief", "link", "show", "master", bridge],
        &["bridge", "fdb", "show", "dev", link],
    ];
    let shown = shown.map(node::run).concat();
    // Multicast addresses of the link's own come in any order.
    shown.lines().filter(|line| !line.contains(" self ")).map(str::to_owned).collect()
}

/// Nothing is listed as long as the kernel has told nothing: it tells of all this.
#[test]
#[ignore = "needs root"]
fn what_changes_after_a_look_that_had_nothing_to_see() {
    in_node("what_changes_after_a_look_that_had_nothing_to_see", async || {
        let node = Node::open(&["10.93.0.0/24"]).await;
        let web = node.network.attach(request("web", &[])).await.unwrap();
        let (bridge, link) = (node.bridge.as_str(), web.host_interface.as_str());
        let pod = web.ips[0].to_string();
        let links = links_of(bridge, link);
        let port = links.iter().find(|line| line.contains(&format!("master {bridge}")) && !line.contains("permanent"));
        let mac = port.unwrap().split(' ').next().unwrap();
        for change in [
            &["ip", "link", "set", link, "nomaster"][..],
            &["ip", "link", "set", link, "down"],
            &["ip", "link", "set", bridge, "down"],
            &["ip", "address", "del", "10.93.0.1/24", "dev", bridge],
            &["ip", "neighbour", "del", &pod, "dev", bridge],
            &["ip", "neighbour", "replace", &pod, "lladdr", "02:00:00:00:00:99", "nud", "permanent", "dev", bridge],
            &["bridge", "fdb", "del", mac, "dev", link, "master"],
        ] {
            for _ in 0..3 {
                assert!(node.network.check().await.ready);
            }
            assert_eq!(links_of(bridge, link), links, "before {change:?}");
            node::run(change);
            assert_ne!(links_of(bridge, link), links, "{change:?}");
            // The carrier of a link comes a moment later.
            let deadline = Instant::now() + Duration::from_secs(20);
            while !node.network.check().await.ready || links_of(bridge, link) != links {
                assert!(Instant::now() < deadline, "{change:?}\n{links:?}\n{:?}", links_of(bridge, link));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        node.network.detach("web").await.unwrap();
    });
}

/// What a client says if nobody listens: the packet went there and back.
const REFUSED: &str = "ConnectionRefusedError: [Errno 111] Connection refused";

#[test]
#[ignore = "needs root"]
fn addresses_go_round() {
    in_node("addresses_go_round", async || {
        // Room for five pods.
        let node = Node::open(&["10.93.0.0/29"]).await;
        let mut seen = Vec::new();
        for round in 0..20 {
            // More quickly than links vanish.
            let id = format!("p{round}");
            let pod = node.network.attach(request(&id, &[])).await.unwrap();
            seen.push(pod.ips[0].to_string());
            assert_eq!(client(pod.netns.to_str().unwrap(), "tcp", "10.93.0.1", 1).unwrap_err(), REFUSED);
            node.network.detach(&id).await.unwrap();
        }
        let expected: Vec<_> = (2..7).map(|last| format!("10.93.0.{last}")).collect();
        assert_eq!(seen[..5], expected);
        assert!(
            seen.windows(2).all(|pair| pair[0] != pair[1]) && seen.iter().all(|ip| expected.contains(ip)),
            "{seen:?}"
        );
        let all = futures_join((0..6).map(|n| node.network.attach(request(&format!("q{n}"), &[])))).await;
        let failed: Vec<_> = all.iter().filter_map(|result| result.as_ref().err()).collect();
        assert!(matches!(failed[..], [AttachError::NoAddress { used: 5, .. }]), "{all:?}");
    });
}

async fn futures_join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut results = Vec::new();
    // All of them begin before the first is waited for.
    for future in &mut futures {
        std::future::poll_fn(|context| {
            let _ = future.as_mut().poll(context).map(|_| panic!("done at once"));
            std::task::Poll::Ready(())
        })
        .await;
    }
    for future in futures {
        results.push(future.await);
    }
    results
}

#[test]
#[ignore = "needs root"]
fn two_networks_on_one_node() {
    in_node("two_networks_on_one_node", async || {
        let node = Node::open(&["10.93.0.0/16"]).await;
        let other = Node::open_as("peatest1", &["10.94.0.0/16"]).await;
        let a = node.network.attach(request("a", &ports(&[("tcp", 8080, 80, "")]))).await.unwrap();
        let b = other.network.attach(request("b", &ports(&[("tcp", 8081, 80, "")]))).await.unwrap();
        let (_a, _b) = (node.serve(&a, 80), other.serve(&b, 80));
        for port in [8080, 8081] {
            assert_eq!(client(node::NEIGHBOUR, "tcp", "192.0.2.1", port).unwrap(), "192.0.2.2");
            client("", "tcp", "127.0.0.1", port).unwrap();
        }
        node.network.detach("a").await.unwrap();
        node.network.purge().await.unwrap();
        assert_eq!(client(node::NEIGHBOUR, "tcp", "192.0.2.1", 8081).unwrap(), "192.0.2.2");
    });
}
