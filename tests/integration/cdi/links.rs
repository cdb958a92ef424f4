//! Network devices of the node that a device brings along.

use std::process::Command;

use peapod_tests::{Programs, SHELL, peapod_with};
use serde_json::json;

use super::{Folders, with};

const LINK: &str = "ptcdi0";

fn ip(arguments: &[&str]) {
    let ended = Command::new("ip").args(arguments).status().unwrap();
    assert!(ended.success(), "ip {arguments:?}");
}

/// crun tells what it can do since 1.8.6.
fn crun_says_nothing() -> bool {
    let told = Command::new(&Programs::get().crun).arg("features").output().unwrap();
    !String::from_utf8_lossy(&told.stdout).contains("netDevices")
}

#[test]
fn a_network_device_moves_to_its_container_or_is_refused() {
    let folders = Folders::new();
    let content = json!({
        "cdiVersion": "1.1.0",
        "kind": "example.com/test",
        "devices": [
            {"name": "nic", "containerEdits": {"netDevices": [{"hostInterfaceName": LINK, "name": "net7"}]}}
        ],
    });
    std::fs::write(folders.path("etc/nic.json"), content.to_string()).unwrap();
    let list = "ls /sys/class/net | sort | tr '\\n' ' '";
    peapod_with(&folders.options().handler("runc"), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let on_node = daemon.pod("node").host_network().run().await;
        let refused = with(on_node.container("main").sh("true"), &["nic"]).try_create().await.err().unwrap();
        assert!(refused.message().contains("the pod has the node's network"), "{refused}");
        let pod = daemon.pod("nic").run().await;
        // It ends with the pod's network, and its other end with it.
        ip(&["link", "add", LINK, "type", "veth", "peer", "name", "ptcdi1"]);
        assert_eq!(with(pod.container("main").sh(list), &["nic"]).output().await, "eth0 lo net7 ");
    });
    // One that does not say that it can is not believed to.
    peapod_with(&folders.options().handler("crun"), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("nic").run().await;
        if crun_says_nothing() {
            let refused = with(pod.container("main").sh("true"), &["nic"]).try_create().await.err().unwrap();
            assert!(refused.message().contains(LINK) && refused.message().contains("can move them"), "{refused}");
        }
    });
}
