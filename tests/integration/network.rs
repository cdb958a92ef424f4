//! The pods' network.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use peapod_tests::{Options, Pod, WEB, on_each_runtime, peapod, peapod_with, v1, wait_for};

const NODE: &str = "10.88.0.1";

/// A port of the node that no other test uses.
fn host_port() -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(31000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A page over HTTP, if it comes within a moment.
fn page(address: &str, port: i32) -> Option<String> {
    let address: SocketAddr =
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
            .parse()
            .unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

async fn answers(address: &str, port: i32) {
    wait_for(&format!("{address}:{port} answers"), async || {
        page(address, port).is_some_and(|text| text.contains("fixture web server"))
    })
    .await;
}

async fn web(pod: &Pod<'_>) {
    pod.container("web").image(WEB).start().await;
}

#[test]
fn pods_have_addresses_and_reach_each_other_and_the_node() {
    on_each_runtime(async |daemon| {
        let server = daemon.pod("server").run().await;
        web(&server).await;
        let ip = server.ip().await;
        assert!(ip.starts_with(&format!("{}.", daemon.subnet())), "{ip}");
        answers(&ip, 80).await;
        let client = daemon.pod("client").run().await;
        let shell = client.container("main").sh("sleep 1000").start().await;
        assert_ne!(client.ip().await, ip);
        assert!(shell.exec(&format!("wget -qO- http://{ip}/")).await.contains("fixture web server"));
        assert_eq!(shell.exec("cat /sys/class/net/lo/operstate /sys/class/net/eth0/operstate").await, "unknown\nup\n");
        let node = TcpListener::bind((NODE, 0)).unwrap();
        let port = node.local_addr().unwrap().port();
        let greeter = std::thread::spawn(move || node.accept().unwrap().0.write_all(b"hello from the node\n").unwrap());
        assert_eq!(shell.exec(&format!("nc {NODE} {port} </dev/null")).await, "hello from the node\n");
        greeter.join().unwrap();
    });
}

#[test]
fn addresses_are_not_reused_at_once() {
    peapod(async |daemon| {
        let mut seen = Vec::new();
        for round in 0..4 {
            let pod = daemon.pod(&format!("round{round}")).run().await;
            let ip = pod.ip().await;
            assert!(!seen.contains(&ip), "{ip} again: {seen:?}");
            seen.push(ip);
            pod.remove().await.unwrap();
        }
    });
}

#[test]
fn host_ports_answer_everywhere_and_go_with_the_pod() {
    on_each_runtime(async |daemon| {
        let port = host_port();
        let pod = daemon.pod("ports").port(80, port).run().await;
        web(&pod).await;
        answers("127.0.0.1", port).await;
        answers(NODE, port).await;
        // From another pod by the node's address, and from the pod to itself.
        let client = daemon.pod("client").run().await;
        for from in [&client, &pod] {
            let shell = from.container("shell").sh("sleep 1000").start().await;
            let text = shell.exec(&format!("wget -qO- http://{NODE}:{port}/")).await;
            assert!(text.contains("fixture web server"), "{text}");
        }
        pod.stop().await.unwrap();
        assert!(page("127.0.0.1", port).is_none() && page(NODE, port).is_none(), "the port still answers");
        // Free for the next one at once.
        daemon.pod("next").port(80, port).run().await;
    });
}

#[test]
fn a_host_port_on_one_address_only() {
    peapod(async |daemon| {
        let port = host_port();
        let pod = daemon
            .pod("local")
            .port(80, port)
            .config(|config| config.port_mappings[0].host_ip = "127.0.0.1".to_owned());
        web(&pod.run().await).await;
        answers("127.0.0.1", port).await;
        assert!(page(NODE, port).is_none(), "it answers on the node's address as well");
    });
}

#[test]
fn udp_ports() {
    peapod(async |daemon| {
        let port = host_port();
        let pod = daemon.pod("udp").protocol_port(v1::Protocol::Udp, 7000, port).run().await;
        let listener = pod.container("main").image("peapod/test-udp:1").start().await;
        assert_eq!(listener.state().await, v1::ContainerState::ContainerRunning);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        wait_for("a datagram comes back", async || {
            let port = u16::try_from(port).unwrap();
            let mut data = [0; 16];
            socket.send_to(b"there and back", ("127.0.0.1", port)).unwrap();
            // From where it was sent to: the way back is translated as well.
            matches!(socket.recv_from(&mut data), Ok((14, from)) if from.port() == port)
        })
        .await;
    });
}

#[test]
fn a_taken_port_names_its_owner() {
    peapod(async |daemon| {
        let port = host_port();
        let owner = daemon.pod("owner").port(80, port).run().await;
        let refused = daemon.pod("second").port(80, port).try_run().await.err().unwrap();
        assert!(refused.message().contains(&port.to_string()), "{refused}");
        assert!(refused.message().contains(&owner.id[..12]), "does not name the pod: {refused}");
        assert_eq!(daemon.pods().await.len(), 1);
        // Another protocol is another port.
        daemon.pod("third").protocol_port(v1::Protocol::Udp, 80, port).run().await;
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let taken = i32::from(listener.local_addr().unwrap().port());
        let refused = daemon.pod("fourth").port(80, taken).try_run().await.err().unwrap();
        assert!(refused.message().contains(&taken.to_string()), "{refused}");
        drop(listener);
        daemon.pod("fourth").port(80, taken).run().await;
    });
}

/// As many as don't fit into one exchange with the kernel; the port after them is free.
#[test]
fn many_host_ports_in_one_pod() {
    peapod_with(&Options::new().ipv6(), async |daemon| {
        const FIRST: i32 = 20_000;
        const COUNT: i32 = 2000;
        let ports = |config: &mut v1::PodSandboxConfig| {
            let port = |host_port| v1::PortMapping { container_port: 80, host_port, ..Default::default() };
            config.port_mappings = (FIRST..FIRST + COUNT).map(port).collect();
        };
        let pod = daemon.pod("many").config(ports).run().await;
        web(&pod).await;
        daemon.pod("one").port(80, FIRST + COUNT).run().await;
        for port in [FIRST, FIRST + COUNT - 1] {
            answers("127.0.0.1", port).await;
        }
        daemon.end(nix::sys::signal::Signal::SIGKILL).await;
        daemon.start_again().await;
        answers("127.0.0.1", FIRST + COUNT / 2).await;
        let refused = daemon.pod("again").config(ports).try_run().await.err().unwrap();
        assert!(refused.message().contains(&pod.id[..12]), "does not name the pod: {refused}");
        pod.remove().await.unwrap();
        daemon.pod("again").config(ports).run().await;
    });
}

#[test]
fn switches_of_the_node_are_set_again() {
    peapod(async |daemon| {
        let gateway = format!("{}.1/", daemon.subnet());
        let bridge = || {
            let links = std::process::Command::new("ip").args(["-o", "-4", "addr"]).output().unwrap();
            let links = String::from_utf8_lossy(&links.stdout).into_owned();
            let line = links.lines().find(|line| line.contains(&gateway))?;
            line.split_whitespace().nth(1).map(str::to_owned)
        };
        // It is made behind the open socket.
        wait_for("the bridge", async || bridge().is_some()).await;
        let bridge = bridge().unwrap();
        let switch = |name: &str| format!("/proc/sys/net/ipv4/conf/{bridge}/{name}");
        for (name, good, bad) in [("forwarding", "1", "0"), ("accept_redirects", "0", "1")] {
            std::fs::write(switch(name), bad).unwrap();
            // A pod that is ready has its way out.
            daemon.pod(name).run().await;
            assert_eq!(std::fs::read_to_string(switch(name)).unwrap().trim_end(), good, "{name}");
        }
        std::fs::write(switch("forwarding"), "0").unwrap();
        wait_for("it is set again", async || std::fs::read_to_string(switch("forwarding")).unwrap() == "1\n").await;
    });
}

#[test]
fn rules_for_sctp_are_made() {
    peapod(async |daemon| {
        let port = host_port();
        daemon.pod("sctp").protocol_port(v1::Protocol::Sctp, 80, port).run().await;
        let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let key = format!("sctp . {port}");
        assert!(text.contains(&key), "no {key:?} in {text}");
    });
}

#[test]
fn both_families() {
    peapod_with(&Options::new().ipv6(), async |daemon| {
        let port = host_port();
        let pod = daemon.pod("dual").port(80, port).run().await;
        web(&pod).await;
        let network = pod.status().await.network.unwrap();
        assert!(network.ip.contains('.'), "{network:?}");
        let six = &network.additional_ips[0].ip;
        assert!(six.starts_with("fd00:7065:6170:"), "{network:?}");
        answers(&network.ip, 80).await;
        answers(six, 80).await;
        answers("127.0.0.1", port).await;
        let client = daemon.pod("client").run().await;
        let text = client.container("main").sh(&format!("wget -qO- http://[{six}]/")).output().await;
        assert!(text.contains("fixture web server"));
    });
}

#[test]
fn pods_on_the_nodes_network_take_none() {
    peapod(async |daemon| {
        let pod = daemon.pod("host").host_network().run().await;
        assert_eq!(pod.ip().await, "");
        let text = pod.container("main").sh("ip -o link show node0 | wc -l").security(|security| {
            security.namespace_options.get_or_insert_default().network = v1::NamespaceMode::Node.into();
        });
        assert_eq!(text.output().await, "1\n");
    });
}

#[test]
fn pods_cannot_reach_the_nodes_loopback() {
    peapod(async |daemon| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let pod = daemon.pod("loop").run().await;
        let container =
            pod.container("main").sh("sleep 1000").security(|security| security.privileged = true).start().await;
        // As an attacker with raw access would: loopback addresses routed through the bridge.
        let script = format!(
            "ip addr del 127.0.0.1/8 dev lo && ip route add 127.0.0.1/32 via {}.1 dev eth0 && ip route show 127.0.0.1
             echo | nc -w 2 127.0.0.1 {port}; true",
            daemon.subnet(),
        );
        let route = container.exec(&script).await;
        assert!(route.contains("dev eth0"), "the attack is none: {route:?}");
        assert!(listener.accept().is_err(), "a pod reached 127.0.0.1 of the node");
    });
}
