//! What plugins hear of a life.

use peapod_nri::api::{ContainerState, Event, EventRequest, SynchronizeRequest};
use peapod_nri::stand_in::{HeardCall, StandIn};
use peapod_tests::{SHELL, on_each_runtime, peapod, v1};

use super::{connect, container_of, nothing, plugin};

/// The next call, with the name of its container.
async fn next(plugin: &mut StandIn) -> (String, String, HeardCall) {
    let heard = tokio::time::timeout(peapod_tests::default_timeout(), plugin.heard.recv()).await.unwrap().unwrap();
    let name = if heard.method == "Synchronize" { String::new() } else { container_of(&heard) };
    (heard.method.clone(), name, heard)
}

#[test]
fn a_plugin_hears_of_the_life_of_pods_and_containers_in_order() {
    on_each_runtime(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let mut plugin = plugin(daemon, ("10", "listener"), nothing).await;
        let pod = daemon.pod("life").config(|config| drop(config.labels.insert("a".into(), "b".into()))).run().await;
        let main = pod.container("main").sh("exit 3").start().await;
        main.wait_exit().await;
        assert_eq!(next(&mut plugin).await.0, "Synchronize");
        let (method, _, heard) = next(&mut plugin).await;
        assert_eq!(method, "RunPodSandbox");
        let told = heard.message::<EventRequest>().pod;
        assert_eq!((told.name.as_str(), told.id.as_str(), told.labels["a"].as_str()), ("life", pod.id.as_str(), "b"));
        assert_eq!(told.ips, [pod.ip().await]);
        let network = told.linux.namespaces.iter().find(|namespace| namespace.type_ == "network").unwrap();
        assert!(network.path.starts_with('/'));
        for (event, state) in [
            ("CreateContainer", ContainerState::CONTAINER_CREATED),
            ("PostCreateContainer", ContainerState::CONTAINER_CREATED),
            ("StartContainer", ContainerState::CONTAINER_CREATED),
            ("PostStartContainer", ContainerState::CONTAINER_RUNNING),
            // It ended by itself: nobody asked for anything.
            ("StopContainer", ContainerState::CONTAINER_STOPPED),
        ] {
            let (method, name, heard) = next(&mut plugin).await;
            assert_eq!((method.as_str(), name.as_str()), (event, "main"));
            let told = heard.message::<EventRequest>().container;
            assert_eq!(told.state.enum_value(), Ok(state), "{event}");
            assert_eq!(told.exit_code, if event == "StopContainer" { 3 } else { 0 });
            assert!(told.args.contains(&"exit 3".to_owned()) && !told.mounts.is_empty(), "{event}: {told:?}");
            assert_eq!(told.pid != 0, event == "StartContainer" || event == "PostStartContainer");
        }
        main.remove().await.unwrap();
        assert_eq!(next(&mut plugin).await.0, "RemoveContainer");
        let killed = pod.container("killed").sh("exec sleep 1000").start().await;
        pod.stop().await.unwrap();
        pod.stop().await.unwrap();
        drop(killed);
        pod.remove().await.unwrap();
        let mut rest = Vec::new();
        while rest.last().is_none_or(|last| last != "RemovePodSandbox") {
            rest.push(next(&mut plugin).await.0);
        }
        let wanted = [
            "CreateContainer",
            "PostCreateContainer",
            "StartContainer",
            "PostStartContainer",
            "StopContainer",
            "StopPodSandbox",
            "RemoveContainer",
            "RemovePodSandbox",
        ];
        assert_eq!(rest, wanted);
    });
}

#[test]
fn a_plugin_that_comes_late_or_after_a_restart_is_told_what_there_is() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("early").run().await;
        let main = pod.container("main").sh("exec sleep 1000").start().await;
        let check = async || {
            let mut plugin = plugin(daemon, ("10", "late"), nothing).await;
            let told: SynchronizeRequest = plugin.next("Synchronize").await.unwrap().message();
            assert_eq!((told.pods.len(), told.containers.len()), (1, 1));
            assert_eq!((told.pods[0].id.as_str(), told.containers[0].id.as_str()), (pod.id.as_str(), main.id.as_str()));
            assert_eq!(told.containers[0].state.enum_value(), Ok(ContainerState::CONTAINER_RUNNING));
            assert!(told.containers[0].env.iter().any(|line| line.starts_with("PATH=")));
            plugin
        };
        drop(check().await);
        daemon.kill().await;
        daemon.start_again().await;
        let mut plugin = check().await;
        // It runs on, and its end is told to who never heard of its start.
        main.stop(0).await.unwrap();
        let stopped = plugin.next("StopContainer").await.unwrap();
        assert_eq!(container_of(&stopped), "main");
    });
}

#[test]
fn nothing_is_shown_before_plugins_have_seen_it() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let (open, gate) = tokio::sync::watch::channel(false);
        let answer = move |heard: HeardCall| {
            let mut gate = gate.clone();
            async move {
                if ["RunPodSandbox", "CreateContainer"].contains(&heard.method.as_str()) {
                    gate.wait_for(|open| *open).await.unwrap();
                }
                None
            }
        };
        let events = (1 << (Event::VALIDATE_CONTAINER_ADJUSTMENT as i32 - 1)) - 1;
        let mut plugin = StandIn::connect(connect(daemon).await, ("10", "gate"), events, answer).await.unwrap();
        plugin.next("Synchronize").await.unwrap();
        let seen = async |plugin: &mut StandIn, method: &str| {
            plugin.next(method).await.unwrap();
            let seen = (daemon.pods().await.len(), daemon.containers().await.len());
            open.send_replace(true);
            seen
        };
        let (pod, shown) = tokio::join!(daemon.pod("hidden").run(), seen(&mut plugin, "RunPodSandbox"));
        assert_eq!(shown, (0, 0));
        open.send_replace(false);
        let create = pod.container("main").sh("exec sleep 1000").create();
        let (main, shown) = tokio::join!(create, seen(&mut plugin, "CreateContainer"));
        assert_eq!(shown, (1, 0));
        assert_eq!(main.state().await, v1::ContainerState::ContainerCreated);
    });
}
