//! Plugins that mean harm: what they do costs others no more than their time-outs.

use std::time::{Duration, Instant};

use peapod_nri::api::{
    ContainerAdjustment, ContainerEviction, ContainerUpdate, Event, KeyValue, LinuxContainerUpdate, LinuxResources,
    Mount, OptionalUInt64, POSIXRlimit, UpdateContainerResponse,
};
use peapod_nri::stand_in::{HeardCall, Reply, StandIn, adjusting, reply};
use peapod_tests::{Options, SHELL, at_most, peapod, peapod_with, v1, wait_for};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{connect, container_of, nothing, plugin};

const ALL: i32 = (1 << (Event::VALIDATE_CONTAINER_ADJUSTMENT as i32 - 1)) - 1;

fn shares(id: &str, value: u64) -> ContainerUpdate {
    let mut resources = LinuxResources::default();
    let shares = OptionalUInt64 { value, ..OptionalUInt64::default() };
    resources.cpu.mut_or_insert_default().shares = Some(shares).into();
    let linux = LinuxContainerUpdate { resources: Some(resources).into(), ..LinuxContainerUpdate::default() };
    ContainerUpdate { container_id: id.to_owned(), linux: Some(linux).into(), ..ContainerUpdate::default() }
}

#[test]
fn more_than_there_is_room_for_is_refused_by_name_and_at_once() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let answer = |heard: &HeardCall| {
            (heard.method == "CreateContainer").then(|| match container_of(heard).as_str() {
                // Each is looked for among all others.
                "rlimits" => {
                    let limit = |number: u32| POSIXRlimit { type_: number.to_string(), ..POSIXRlimit::default() };
                    adjusting(ContainerAdjustment { rlimits: (0..100_000).map(limit).collect(), ..Default::default() })
                }
                "env" => {
                    let variable = |number: u32| KeyValue { key: number.to_string(), ..KeyValue::default() };
                    adjusting(ContainerAdjustment { env: (0..100_000).map(variable).collect(), ..Default::default() })
                }
                "mounts" => {
                    let mount = |number: u32| Mount { destination: format!("/{number}"), ..Mount::default() };
                    adjusting(ContainerAdjustment { mounts: (0..4_000).map(mount).collect(), ..Default::default() })
                }
                _ => adjusting(ContainerAdjustment::default()),
            })
        };
        let _plugin = plugin(daemon, ("10", "greedy"), answer).await;
        let pod = daemon.pod("greedy").run().await;
        for (name, why) in [("rlimits", "100000 rlimits"), ("env", "100000 variables"), ("mounts", "mounts")] {
            let began = Instant::now();
            let error = pod.container(name).sh("true").try_create().await.err().unwrap();
            assert!(error.message().contains(why), "{error}");
            assert!(began.elapsed() < at_most(Duration::from_secs(5)), "{name}: {:?}", began.elapsed());
        }
        assert_eq!(pod.container("plain").sh("echo fine").output().await, "fine\n");
    });
}

#[test]
fn one_that_comes_back_after_each_fault_has_to_stay_away_longer() {
    peapod_with(&Options::new().set("nri.registration_timeout=\"300ms\""), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let hang = |heard: HeardCall| async move {
            if heard.method == "Synchronize" {
                std::future::pending::<()>().await;
            }
            None
        };
        let first = StandIn::connect(connect(daemon).await, ("10", "again"), ALL, hang).await.unwrap();
        assert!(first.ended().await);
        let mut refused = 0;
        wait_for("its pause to be over", async || {
            match StandIn::connect(connect(daemon).await, ("10", "again"), ALL, hang).await {
                Ok(second) => second.ended().await,
                Err(reason) => {
                    assert!(reason.contains("10-again was closed for a fault: it can register in"), "{reason}");
                    refused += 1;
                    false
                }
            }
        })
        .await;
        assert!(refused > 0);
        let third = StandIn::connect(connect(daemon).await, ("10", "again"), ALL, hang).await.err().unwrap();
        assert!(third.contains("in 2 s") || third.contains("in 1 s"), "{third}");
        // Another one is let in meanwhile.
        let _good = plugin(daemon, ("20", "good"), nothing).await;
        let pod = daemon.pod("goes-on").run().await;
        assert_eq!(pod.container("main").sh("echo fine").output().await, "fine\n");
    });
}

/// A plugin's wishes go to other pods' work, which may wait for what asked the plugin.
#[test]
fn wishes_about_the_pod_that_is_being_stopped_hold_nobody_up() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let ids = std::sync::Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
        let known = std::sync::Arc::clone(&ids);
        let answer = move |heard: &HeardCall| -> Option<Reply> {
            (heard.method == "StopContainer").then(|| {
                let all = known.lock().unwrap().clone();
                let own = heard.message::<peapod_nri::api::EventRequest>().container.id.clone();
                let update = all.iter().filter(|id| **id != own).map(|id| shares(id, 300)).collect();
                let evict = |id: &String| ContainerEviction { container_id: id.clone(), ..Default::default() };
                let evict = all.iter().map(evict).collect();
                reply(&UpdateContainerResponse { update, evict, ..UpdateContainerResponse::default() })
            })
        };
        let _plugin = plugin(daemon, ("10", "busybody"), answer).await;
        let pod = daemon.pod("stopped").run().await;
        let mut containers = Vec::new();
        for name in ["one", "two", "three"] {
            containers.push(pod.container(name).sh("exec sleep 1000").start().await);
        }
        *ids.lock().unwrap() = containers.iter().map(|container| container.id.clone()).collect();
        let began = Instant::now();
        pod.stop().await.unwrap();
        assert!(began.elapsed() < at_most(Duration::from_secs(20)), "{:?}", began.elapsed());
        for container in &containers {
            assert_eq!(container.state().await, v1::ContainerState::ContainerExited);
        }
        pod.remove().await.unwrap();
    });
}

#[test]
fn connections_that_say_nothing_or_nonsense_take_no_more_than_their_places() {
    peapod_with(&Options::new().set("nri.registration_timeout=\"1s\""), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(connect(daemon).await);
        }
        // All places are taken, and daemon and pods do not care.
        let pod = daemon.pod("meanwhile").run().await;
        assert_eq!(pod.container("main").sh("echo fine").output().await, "fine\n");
        let mut byte = [0];
        for mut stream in silent.drain(..) {
            assert_eq!(stream.read(&mut byte).await.unwrap_or(0), 0, "it was let go");
        }
        // A frame that promises four gigabytes, half a frame, and a message in the middle of which it leaves.
        for bytes in [&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff][..], &[0, 0, 0, 2, 0], &[0, 0, 0, 2, 0, 0, 0, 20, 0, 0]] {
            let mut stream = connect(daemon).await;
            stream.write_all(bytes).await.unwrap();
            drop(stream);
        }
        let _good = plugin(daemon, ("10", "good"), nothing).await;
        let told = daemon.log_tail(400).matches("an NRI plugin is not let in").count();
        assert!((1..=3).contains(&told), "{told} lines about connections that were not let in");
    });
}
