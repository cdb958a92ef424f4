//! Their networks.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use peapod_tests::{Daemon, Options, Pod, Programs, WEB, peapod_with, v1, wait_for};

use super::{mapped, runc, with_own};

fn reaches(address: &str, port: u16) -> bool {
    let address: SocketAddr = format!("{address}:{port}").parse().unwrap();
    TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

#[test]
fn the_built_in_network_and_host_ports() {
    runc(async |daemon| {
        let server = with_own(daemon.pod("server")).port(80, 31_877).run().await;
        mapped(&server, "web").image(WEB).start().await;
        let ip = server.ip().await;
        wait_for("the server answers", async || reaches(&ip, 80) && reaches("10.88.0.1", 31_877)).await;
        let client = with_own(daemon.pod("client")).run().await;
        let shell = mapped(&client, "main").sh("sleep 1000").start().await;
        assert!(shell.exec(&format!("wget -qO- http://{ip}/")).await.contains("fixture web server"));
        assert_eq!(shell.exec("cat /sys/class/net/eth0/operstate").await, "up\n");
        let add = |security: &mut v1::LinuxContainerSecurityContext| {
            let add_capabilities = vec!["NET_RAW".to_owned()];
            security.capabilities = Some(v1::Capability { add_capabilities, ..Default::default() });
        };
        // Over a raw socket; what is sent to others the node would count for half a minute.
        mapped(&client, "ping").security(add).sh("ping -c 1 -W 5 127.0.0.1").output().await;
        server.stop().await.unwrap();
        wait_for("the port is given back", async || !reaches("10.88.0.1", 31_877)).await;
    });
}

#[test]
fn a_network_of_plugins() {
    let plugins = Programs::get().cni.clone();
    let options = Options::new().handler("runc").set(format!("network.cni_bin_dirs=[{plugins:?}]"));
    peapod_with(&options, async |daemon| {
        let leases = daemon.path("leases");
        let list = format!(
            r#"{{"cniVersion":"1.1.0","name":"plugged","plugins":[
            {{"type":"bridge","bridge":"ptcni3","isGateway":true,
              "ipam":{{"type":"host-local","dataDir":{leases:?},"ranges":[[{{"subnet":"10.196.0.0/24"}}]]}}}},
            {{"type":"portmap","backend":"nftables","snat":true,"capabilities":{{"portMappings":true}}}}]}}"#
        );
        fs::create_dir_all(daemon.path("cni")).unwrap();
        fs::write(daemon.path("cni/10-net.conflist"), list).unwrap();
        let pod = wait_for_network(daemon).await;
        mapped(&pod, "web").image(WEB).start().await;
        let ip = pod.ip().await;
        assert!(ip.starts_with("10.196.0."), "{ip}");
        wait_for("the server answers", async || reaches(&ip, 80)).await;
        let shell = mapped(&pod, "main").sh("sleep 1000").start().await;
        assert_eq!(shell.exec("cat /sys/class/net/eth0/operstate /sys/class/net/lo/operstate").await, "up\nunknown\n");
        assert!(shell.exec("wget -qO- http://127.0.0.1/").await.contains("fixture web server"));
    });
    std::process::Command::new("ip").args(["link", "delete", "ptcni3"]).status().unwrap();
}

async fn wait_for_network(daemon: &Daemon) -> Pod<'_> {
    wait_for("the plugins' network is there", async || {
        let status = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner().status.unwrap();
        status.conditions.iter().any(|condition| condition.message.contains("CNI network plugged"))
    })
    .await;
    with_own(daemon.pod("plugged")).run().await
}

#[test]
fn the_nodes_network() {
    runc(async |daemon| {
        let features = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner().features;
        assert!(features.unwrap().user_namespaces_host_network);
        let pod = with_own(daemon.pod("host")).host_network().run().await;
        let main = mapped(&pod, "main").sh("sleep 1000").start().await;
        let node = fs::read_link("/proc/self/ns/net").unwrap();
        assert_eq!(main.exec("readlink /proc/self/ns/net").await.trim(), node.to_string_lossy());
        let map = main.exec("cat /proc/self/uid_map").await;
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "200000", "65536"]);
        assert!(main.exec("ls /sys/class/net").await.contains("node0"));
        // It is not its own, so it changes nothing there.
        let change = "ip link set lo mtu 1400 || echo 1 >/sys/class/net/lo/mtu || echo 1 >/sys/kernel/mm/ksm/run";
        assert_ne!(main.try_exec(&["/bin/sh", "-c", change], 20).await.unwrap().code, 0);
    });
}
