//! Limits that plugins change, and containers that they evict.

use peapod_nri::api::{
    ContainerEviction, ContainerUpdate, LinuxCPU, LinuxContainerUpdate, LinuxResources, OptionalUInt64,
    UpdateContainerRequest, UpdateContainerResponse,
};
use peapod_nri::stand_in::{HeardCall, reply};
use peapod_tests::{SHELL, peapod, v1, wait_for};

use super::{nothing, plugin};

fn shares(id: &str, value: u64) -> ContainerUpdate {
    let cpu =
        LinuxCPU { shares: Some(OptionalUInt64 { value, ..OptionalUInt64::default() }).into(), ..LinuxCPU::default() };
    let resources = LinuxResources { cpu: Some(cpu).into(), ..LinuxResources::default() };
    let linux = LinuxContainerUpdate { resources: Some(resources).into(), ..LinuxContainerUpdate::default() };
    ContainerUpdate { container_id: id.to_owned(), linux: Some(linux).into(), ..ContainerUpdate::default() }
}

async fn shares_of(container: &peapod_tests::Container<'_>) -> i64 {
    container.status().await.resources.unwrap().linux.unwrap().cpu_shares
}

#[test]
fn a_plugin_changes_a_clients_update() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let answer = |heard: &HeardCall| {
            let asked: UpdateContainerRequest = match heard.method.as_str() {
                "UpdateContainer" => heard.message(),
                _ => return None,
            };
            let doubled = asked.resources.cpu.shares.value * 2;
            let update = vec![shares(&asked.container.id, doubled)];
            Some(reply(&UpdateContainerResponse { update, ..UpdateContainerResponse::default() }))
        };
        let mut plugin = plugin(daemon, ("10", "doubler"), answer).await;
        let pod = daemon.pod("updated").run().await;
        let main = pod.container("main").sh("exec sleep 1000").start().await;
        main.update(|change| change.cpu_shares = 300).await.unwrap();
        assert_eq!(shares_of(&main).await, 600);
        plugin.next("PostUpdateContainer").await.unwrap();
    });
}

#[test]
fn plugins_change_and_evict_containers_unasked() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let plugin = plugin(daemon, ("10", "restless"), nothing).await;
        let pod = daemon.pod("changed").run().await;
        let main = pod.container("main").sh("exec sleep 1000").start().await;
        let nobody = "f".repeat(64);
        let request = UpdateContainerResponse {
            update: vec![shares(&main.id, 700), shares(&nobody, 1)],
            ..UpdateContainerResponse::default()
        };
        let failed = plugin.update(&request).await.unwrap();
        assert_eq!(failed.iter().map(|update| update.container_id.clone()).collect::<Vec<_>>(), [nobody]);
        assert_eq!(shares_of(&main).await, 700);
        let eviction = ContainerEviction { container_id: main.id.clone(), ..ContainerEviction::default() };
        let request = UpdateContainerResponse { evict: vec![eviction], ..UpdateContainerResponse::default() };
        plugin.update(&request).await.unwrap();
        wait_for("the end", async || main.state().await == v1::ContainerState::ContainerExited).await;
    });
}
