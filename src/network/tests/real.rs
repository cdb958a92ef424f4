//! Attaches for real. Each test runs itself again in a mount and network namespace of its own: a node with a neighbour.
//! Needs root, `ip`, `nft`, `nsenter` and python3.

mod node;

use node::{Node, by_nft, client, in_node, ports};
use peapod_network::{AttachError, AttachRequest, PortOwner, Protocol};
use std::time::{Duration, Instant};

fn request(id: &str, mapped: &[peapod_network::PortMapping]) -> AttachRequest {
    AttachRequest { id: id.to_owned(), ports: mapped.to_vec() }
}

#[test]
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
            assert_eq!(ask(from_pod, "192.0.2.1", 9000).unwrap(), "10.93.0.3");
            assert_eq!(ask(from_pod, "192.0.2.2", 9001).unwrap(), "192.0.2.1");
            assert_eq!(ask(from_pod, "2001:db8::2", 9001).unwrap(), "2001:db8::1");
            // By the host port: from outside, from the node by all its names, from another pod, from the pod itself.
            assert_eq!(ask(node::NEIGHBOUR, "192.0.2.1", 8080).unwrap(), "192.0.2.2");
            assert_eq!(ask(node::NEIGHBOUR, "2001:db8::1", 8080).unwrap(), "2001:db8::2");
            assert_eq!(ask("", "127.0.0.1", 8080).unwrap(), "10.93.0.1");
            assert_eq!(ask("", "192.0.2.1", 8080).unwrap(), if protocol == "tcp" { "192.0.2.1" } else { "192.0.2.1" });
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
        let guard = by_nft(&node.bridge);
        assert!(guard.contains("127.0.0.0"), "{guard}");
    });
}
