//! What is told of plugins: by Status, `peapod check node` and metrics.

use peapod_nri::api::{ContainerAdjustment, KeyValue, LinuxContainerAdjustment};
use peapod_nri::stand_in::{HeardCall, Reply, adjusting};
use peapod_tests::{Daemon, SHELL, wait_for};

use super::{container_of, plugin};
use crate::prometheus::{scrape, with_port};

/// A plugin that sets a variable of one container, and moves another one's cgroup.
fn sets(value: &'static str) -> impl Fn(&HeardCall) -> Option<Reply> + Send + Sync + 'static {
    move |heard| {
        let variable = KeyValue { key: "X".to_owned(), value: value.to_owned(), ..KeyValue::default() };
        let linux = LinuxContainerAdjustment { cgroups_path: "/elsewhere".to_owned(), ..Default::default() };
        let adjust = match container_of(heard).as_str() {
            "both" => ContainerAdjustment { env: vec![variable], ..ContainerAdjustment::default() },
            "moved" if value == "a" => ContainerAdjustment { linux: Some(linux).into(), ..Default::default() },
            _ => return None,
        };
        (heard.method == "CreateContainer").then(|| adjusting(adjust))
    }
}

async fn check_node(daemon: &Daemon) -> String {
    let output = daemon.client(&["check", "node"]).output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn plugins_their_calls_and_what_is_refused_are_counted_and_shown() {
    with_port(async |daemon, port| {
        daemon.pull(SHELL).await.unwrap();
        assert!(check_node(daemon).await.contains("none; they connect to"));
        let one = plugin(daemon, ("10", "one"), sets("a")).await;
        let two = plugin(daemon, ("20", "two"), sets("b")).await;
        wait_for("both plugins", async || check_node(daemon).await.contains("10-one, 20-two")).await;
        let pod = daemon.pod("told").run().await;
        let conflict = pod.container("both").sh("true").try_create().await.err().unwrap();
        assert!(conflict.message().contains("10-one and 20-two both set"), "{conflict}");
        pod.container("moved").sh("true").try_create().await.err().unwrap();
        let told = scrape(port).await;
        assert_eq!(told.sum("peapod_nri_plugins", &[("kind", "connected")]), 2.0);
        assert_eq!(told.sum("peapod_nri_refusals_total", &[("reason", "conflict")]), 1.0);
        assert_eq!(told.sum("peapod_nri_refusals_total", &[("reason", "impossible")]), 1.0);
        assert!(told.sum("peapod_nri_calls_total", &[("outcome", "answered")]) >= 8.0);
        drop((one, two));
        wait_for("their end", async || scrape(port).await.sum("peapod_nri_plugins", &[]) == 0.0).await;
    });
}
