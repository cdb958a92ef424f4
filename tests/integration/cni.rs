//! Pods whose network is made by CNI plugins.

use std::fs;

use nix::sys::signal::Signal;
use peapod_tests::{Daemon, Options, Programs, peapod_with, v1, wait_for};

async fn network(daemon: &Daemon) -> v1::RuntimeCondition {
    let status = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner().status.unwrap();
    status.conditions.into_iter().find(|condition| condition.r#type == "NetworkReady").unwrap()
}

async fn network_is(daemon: &Daemon, ready: bool, words: &str) {
    wait_for(words, async || {
        let condition = network(daemon).await;
        condition.status == ready && condition.message.contains(words)
    })
    .await;
}

#[test]
fn a_configuration_comes_and_goes_under_a_running_daemon() {
    let plugins = Programs::get().cni.clone();
    let options = Options::new().set(format!("network.cni_bin_dirs=[{plugins:?}]"));
    peapod_with(&options, async |daemon| {
        network_is(daemon, true, "no CNI configuration").await;
        let built_in = daemon.pod("built-in").run().await;
        let leases = daemon.path("leases");
        let write = |text: &str| {
            fs::create_dir_all(daemon.path("cni")).unwrap();
            fs::write(daemon.path("new"), text).unwrap();
            fs::rename(daemon.path("new"), daemon.path("cni/10-net.conflist")).unwrap();
        };
        let usual = format!(
            r#"{{"cniVersion":"1.1.0","name":"usual","plugins":[
            {{"type":"bridge","bridge":"ptcni0","isGateway":true,"hairpinMode":true,
              "ipam":{{"type":"host-local","dataDir":{leases:?},"ranges":[[{{"subnet":"10.199.0.0/24"}}],[{{"subnet":"fd99::/64"}}]]}}}},
            {{"type":"portmap","backend":"nftables","snat":true,"capabilities":{{"portMappings":true}}}}]}}"#
        );
        write(&usual);
        network_is(daemon, true, "CNI network usual").await;
        let pod = daemon.pod("plugged").run().await;
        let addresses = pod.status().await.network.unwrap();
        assert!(addresses.ip.starts_with("10.199.0."), "{addresses:?}");
        assert!(addresses.additional_ips[0].ip.starts_with("fd99::"), "{addresses:?}");
        let shell = pod.container("main").sh("sleep 1000").start().await;
        assert_eq!(shell.exec("cat /sys/class/net/eth0/operstate").await, "up\n");

        // Another daemon knows both pods, and takes each away as it was made, whatever the directory says now.
        daemon.end(Signal::SIGKILL).await;
        write("{");
        daemon.start_again().await;
        network_is(daemon, false, "10-net.conflist").await;
        assert_eq!(pod.ip().await, addresses.ip);
        let refused = daemon.pod("refused").try_run().await.err().unwrap();
        assert!(refused.message().contains("10-net.conflist"), "{refused}");
        fs::remove_dir_all(daemon.path("cni")).unwrap();
        network_is(daemon, true, "no CNI configuration").await;
        pod.remove().await.unwrap();
        built_in.remove().await.unwrap();
        let kept: Vec<_> = fs::read_dir(leases.join("usual")).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert!(!kept.iter().any(|name| name.to_str() == Some(&addresses.ip)), "{kept:?}");
    });
    // The bridge is its plugin's, which leaves it.
    std::process::Command::new("ip").args(["link", "delete", "ptcni0"]).status().unwrap();
}
