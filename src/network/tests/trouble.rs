//! What is wrong with one attachment stays its own: many ports, records that make no sense, paths that somebody has
//! replaced, undoing that fails. In nodes as those of `real.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

#[allow(dead_code, reason = "each file of tests uses a part")]
mod node;

use node::{Node, client, in_node, ports, request, run, shown};
use peapod_network::{AttachError, AttachRequest, PORTS_PER_POD, PortMapping, PortOwner, Protocol};
use std::fs;
use std::time::{Duration, Instant};

/// TCP mappings of all these ports of the node to port 80.
fn many(host_ports: impl Iterator<Item = u16>) -> Vec<PortMapping> {
    let mapping = |host_port| PortMapping { protocol: Protocol::Tcp, container_port: 80, host_port, host_ip: None };
    host_ports.map(mapping).collect()
}

async fn within(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
#[ignore = "needs root"]
fn any_number_of_ports() {
    in_node("any_number_of_ports", async || {
        let node = Node::open(&["10.93.0.0/16", "fd93::/64"]).await;
        let before = shown(&node.bridge);
        // More answers than a netlink socket usually has room for, and as many as a pod may well ask for.
        for count in [129, 59_000] {
            let start = Instant::now();
            let mapped = many((0..count).map(|n| 2000 + n));
            let web = node.network.attach(request("web", &mapped)).await.unwrap();
            let attached = start.elapsed();
            let server = node.serve(&web, 80);
            for port in [2000, 2000 + count / 2, 2000 + count - 1] {
                assert_eq!(client(node::NEIGHBOUR, "tcp", "192.0.2.1", port).unwrap(), "192.0.2.2", "{port}");
                assert_eq!(client(node::NEIGHBOUR, "tcp", "2001:db8::1", port).unwrap(), "2001:db8::2", "{port}");
            }
            let taken = node.network.attach(request("second", &many([1999 + count].into_iter()))).await.unwrap_err();
            assert!(matches!(&taken, AttachError::PortTaken { owner: PortOwner::Attachment(id), .. } if id == "web"));
            drop(server);
            let start = Instant::now();
            node.network.detach("web").await.unwrap();
            eprintln!("{count} ports: attach {attached:?}, detach {:?}", start.elapsed());
        }
        assert_eq!(shown(&node.bridge), before);
        node.network.attach(request("second", &many([2000].into_iter()))).await.unwrap();
        let twice = [many(1..=u16::MAX), many(1..3)].concat();
        assert!(twice.len() > PORTS_PER_POD);
        let refused = node.network.attach(request("too-many", &twice)).await.unwrap_err();
        assert_eq!(refused.to_string(), "65537 host ports: a pod can have at most 65536");
    });
}

#[test]
#[ignore = "needs root"]
fn a_taken_port_among_many_is_found() {
    in_node("a_taken_port_among_many_is_found", async || {
        let node = Node::open(&["10.93.0.0/16"]).await;
        let server = node.serve_loopback(9000);
        let taken = node.network.attach(request("a", &many(8000..9500))).await.unwrap_err();
        assert!(
            matches!(&taken, AttachError::PortTaken { port, owner: PortOwner::Process { pid, .. } }
                if port.host_port == 9000 && *pid == server.pid()),
            "{taken}"
        );
        assert!(node.network.ids().is_empty());
    });
}

#[test]
#[ignore = "needs root"]
fn records_that_make_no_sense() {
    in_node("records_that_make_no_sense", async || {
        let node = Node::open(&["10.93.0.0/16"]).await;
        fs::write("/run/precious", "").unwrap();
        let mut pods = Vec::new();
        let broken = ["garbage", "other", "elsewhere", "empty"];
        for (at, id) in ["good", "half"].into_iter().chain(broken).enumerate() {
            let port = 8000 + u16::try_from(at).unwrap();
            pods.push(node.network.attach(request(id, &ports(&[("tcp", port, 80, "")]))).await.unwrap());
        }
        let write = async |sql: &'static str| node.db.write(move |t| t.execute(sql, [])).await.unwrap();
        write("UPDATE network_attachments SET record = '{\"attachment\":' WHERE id IN ('garbage', 'half')").await;
        write("UPDATE network_attachments SET record = (SELECT record FROM network_attachments WHERE id = 'good') WHERE id = 'other'").await;
        write("UPDATE network_attachments SET record = replace(record, '/run/netns/peapod-elsewhere', '/run/precious') WHERE id = 'elsewhere'").await;
        write("UPDATE network_attachments SET record = CAST(x'7bff00' AS TEXT) WHERE id = 'empty'").await;
        write("UPDATE network_attachments SET complete = 0 WHERE id = 'half'").await;
        write("UPDATE network_cursor SET slot = -7").await;
        write("INSERT INTO network_cni (id, record) VALUES ('plugged', 'nonsense'), ('../up', '{}')").await;

        let again = node.again().await;
        assert!(again.status().ready);
        assert_eq!(again.attachment("good").as_deref(), Some(&*pods[0]));
        within("what was half made goes at once", || !pods[1].netns.exists()).await;
        // What runs in pods whose records are lost goes on, and nobody gets their addresses.
        let new = again.attach(request("new", &ports(&[("tcp", 8002, 80, "")]))).await.unwrap();
        let _server = node.serve(&new, 80);
        for pod in &pods[2..] {
            assert_ne!(pod.ips, new.ips);
            let from = pod.netns.to_str().unwrap();
            assert_eq!(client(from, "tcp", &new.ips[0].to_string(), 80).unwrap(), pod.ips[0].to_string());
        }
        // All of them can be taken away, and nothing else is.
        for id in broken.into_iter().chain(["plugged", "../up"]) {
            assert!(again.ids().contains(&id.to_owned()), "{id}");
            again.detach(id).await.unwrap();
            assert!(!again.ids().contains(&id.to_owned()), "{id}");
        }
        assert!(pods[2..].iter().all(|pod| !pod.netns.exists()) && fs::exists("/run/precious").unwrap());
        again.detach("good").await.unwrap();
        again.detach("new").await.unwrap();
        let last = node.again().await;
        assert_eq!(last.ids(), [""; 0]);
        assert!(!shown(&node.bridge).iter().any(|line| line.contains("\"elem\":[")), "{:?}", shown(&node.bridge));
    });
}

#[test]
#[ignore = "needs root"]
fn an_undo_that_fails_is_tried_again() {
    in_node("an_undo_that_fails_is_tried_again", async || {
        let mut node = Node::open(&["10.93.0.0/16"]).await;
        node.config.netns_dir = "/run/pins".into();
        let mapped = ports(&[("tcp", 8080, 80, "")]);
        let pod = node.again().await.attach(request("half", &mapped)).await.unwrap();
        let sql = "UPDATE network_attachments SET complete = 0 WHERE id = 'half'";
        node.db.write(move |t| t.execute(sql, [])).await.unwrap();
        // The pin can't be reached: the folder is a link to itself.
        fs::rename("/run/pins", "/run/elsewhere").unwrap();
        std::os::unix::fs::symlink("/run/pins", "/run/pins").unwrap();
        let again = node.again().await;
        assert!(again.status().ready, "{:?}", again.status());
        assert_eq!(again.ids(), ["half"]);
        again.detach("half").await.unwrap_err();
        fs::remove_file("/run/pins").unwrap();
        fs::rename("/run/elsewhere", "/run/pins").unwrap();
        within("it is tried again", || again.ids().is_empty()).await;
        assert!(!pod.netns.exists());
        again.attach(request("next", &mapped)).await.unwrap();

        // Rules that somebody has changed: another address under the same port.
        let bridge = node.bridge.as_str();
        let map = |change: &str, to: &str| run(&["nft", change, "element", "inet", bridge, "any4", to]);
        map("delete", "{ tcp . 8080 }");
        map("add", "{ tcp . 8080 : 10.93.0.99 . 1 }");
        again.detach("next").await.unwrap();
        assert!(!shown(bridge).iter().any(|line| line.contains("\"elem\":[")), "{:?}", shown(bridge));

        // Something else stands where the namespace was pinned.
        for replace in [&["touch"][..], &["mkdir"], &["ln", "-s", "/etc"]] {
            let pod = again.attach(request("replaced", &mapped)).await.unwrap();
            let path = pod.netns.to_str().unwrap();
            run(&["umount", path]);
            run(&["rm", path]);
            run(&[replace, &[path]].concat());
            again.detach("replaced").await.unwrap();
            assert!(again.ids().is_empty() && fs::exists("/etc/passwd").unwrap());
            run(&["rm", "-rf", path]);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn a_namespace_that_is_kept_is_as_it_was_after_a_failure() {
    in_node("a_namespace_that_is_kept_is_as_it_was_after_a_failure", async || {
        let node = Node::open(&["10.93.0.0/16"]).await;
        run(&["ip", "netns", "add", "kept"]);
        let wanted = AttachRequest { namespace: Some("/run/netns/kept".into()), ..request("web", &[]) };
        let links = || run(&["ip", "-n", "kept", "-o", "link"]).lines().count();
        let before = links();
        // Everything is made, and then can't be written down.
        let full = "CREATE TRIGGER full BEFORE UPDATE ON network_attachments BEGIN SELECT RAISE(ABORT, 'full'); END";
        for statement in [full, "DROP TRIGGER full"] {
            node.db.write(move |transaction| transaction.execute_batch(statement)).await.unwrap();
            let attached = node.network.attach(wanted.clone()).await;
            assert_eq!(attached.is_err(), statement == full, "{attached:?}");
            assert_eq!(links() == before, statement == full, "{}", links());
        }
        node.network.detach("web").await.unwrap();
    });
}

#[test]
#[ignore = "needs root"]
fn a_pod_that_cannot_be_taken_away_is_let_go() {
    in_node("a_pod_that_cannot_be_taken_away_is_let_go", async || {
        let mut node = Node::open(&["10.93.0.0/16"]).await;
        node.config.cni.give_up_after = Duration::from_millis(100);
        node.config.netns_dir = "/run/pins".into();
        let network = node.again().await;
        let mapped = ports(&[("tcp", 8080, 80, "")]);
        network.attach(request("stuck", &mapped)).await.unwrap();
        fs::rename("/run/pins", "/run/elsewhere").unwrap();
        std::os::unix::fs::symlink("/run/pins", "/run/pins").unwrap();
        network.detach("stuck").await.unwrap_err();
        within("it is let go", || network.ids().is_empty()).await;
        fs::remove_file("/run/pins").unwrap();
        fs::rename("/run/elsewhere", "/run/pins").unwrap();
        // Its link is still there, and its address nobody's.
        network.attach(request("next", &mapped)).await.unwrap();
    });
}
