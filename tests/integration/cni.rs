//! Pods whose network is made by CNI plugins.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use peapod_tests::{Daemon, Options, Programs, peapod_with, processes, v1, wait_for};

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
        #[allow(clippy::disallowed_methods, reason = "the test's own folder")]
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

/// A chain whose second plugin waits for a file `open` when it connects a pod named `stuck`, and then makes a file
/// `late`.
fn write_chain(daemon: &Daemon, dir: &Path) {
    let script = format!(
        r#"#!/bin/sh
case $CNI_COMMAND:$CNI_ARGS in
ADD:*K8S_POD_NAME=stuck*)
    touch {dir}/waiting
    while [ ! -e {dir}/open ]; do sleep 0.05; done
    touch {dir}/late ;;
esac
case $CNI_COMMAND in
ADD) exec jq -c '.prevResult + {{cniVersion: .cniVersion}}' ;;
VERSION) echo '{{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}}' ;;
esac
"#,
        dir = dir.display()
    );
    fs::write(dir.join("slow"), script).unwrap();
    fs::set_permissions(dir.join("slow"), fs::Permissions::from_mode(0o755)).unwrap();
    let leases = daemon.path("leases");
    let list = format!(
        r#"{{"cniVersion":"1.0.0","name":"chain","plugins":[
        {{"type":"bridge","bridge":"ptcni1","isGateway":true,
          "ipam":{{"type":"host-local","dataDir":{leases:?},"ranges":[[{{"subnet":"10.197.0.0/24"}}]]}}}},
        {{"type":"slow"}}]}}"#
    );
    fs::create_dir_all(daemon.path("cni")).unwrap();
    fs::write(daemon.path("cni/10-chain.conflist"), list).unwrap();
}

/// Addresses that are given out, and links of pods.
fn given(daemon: &Daemon) -> Vec<String> {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let mut given = names(&daemon.path("leases/chain"));
    given.retain(|name| name.starts_with("10."));
    given.extend(names(Path::new("/sys/class/net/ptcni1/brif")));
    given
}

#[test]
fn the_daemon_dies_while_plugins_work() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    let plugins = [Programs::get().cni.as_path(), dir];
    let options = Options::new().set(format!("network.cni_bin_dirs={plugins:?}"));
    peapod_with(&options, async |daemon| {
        write_chain(daemon, dir);
        network_is(daemon, true, "CNI network chain").await;
        for stage in ["cni-recorded", "cni-pinned", "cni-added"] {
            daemon.kill().await;
            daemon.start_again_to_die_at(stage).await;
            network_is(daemon, true, "CNI network chain").await;
            let pod = daemon.pod(stage);
            let _ = pod.clone().try_run().await;
            wait_for("the daemon dies", async || !daemon.is_alive()).await;
            daemon.start_again().await;
            daemon.nothing_left().await;
            wait_for("its address is given back", async || given(daemon).is_empty()).await;
            network_is(daemon, true, "CNI network chain").await;
            let pod = pod.run().await;
            assert_eq!(given(daemon).len(), 2, "{:?}", given(daemon));
            pod.remove().await.unwrap();
        }
        let pod = daemon.pod("undone").run().await;
        daemon.kill().await;
        daemon.start_again_to_die_at("cni-undone").await;
        let _ = pod.stop().await;
        wait_for("the daemon dies", async || !daemon.is_alive()).await;
        daemon.start_again().await;
        pod.remove().await.unwrap();
        assert!(given(daemon).is_empty(), "{:?}", given(daemon));

        // In the middle of a plugin's work, which would go on without the daemon.
        network_is(daemon, true, "CNI network chain").await;
        let stuck = daemon.pod("stuck");
        let kill = async {
            wait_for("the plugin works", async || dir.join("waiting").exists()).await;
            daemon.kill().await;
        };
        let (ran, ()) = tokio::join!(stuck.clone().try_run(), kill);
        assert!(ran.is_err());
        let plugin = format!("/bin/sh {}", dir.join("slow").display());
        assert_eq!(processes(&plugin), 1);
        daemon.start_again().await;
        assert_eq!(processes(&plugin), 0);
        daemon.nothing_left().await;
        wait_for("its address is given back", async || given(daemon).is_empty()).await;
        fs::write(dir.join("open"), "").unwrap();
        network_is(daemon, true, "CNI network chain").await;
        assert!(!dir.join("late").exists());
        stuck.run().await.remove().await.unwrap();
        assert!(given(daemon).is_empty(), "{:?}", given(daemon));
    });
    // The bridge is its plugin's, which leaves it.
    std::process::Command::new("ip").args(["link", "delete", "ptcni1"]).status().unwrap();
}
