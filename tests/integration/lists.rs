//! Lists, their filters, and ids that are cut.

use std::collections::BTreeMap;

use peapod_tests::{Daemon, peapod, v1};
use tonic::Code;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

async fn pods(daemon: &Daemon, filter: v1::PodSandboxFilter) -> Vec<String> {
    let request = v1::ListPodSandboxRequest { filter: Some(filter) };
    let items = daemon.runtime().list_pod_sandbox(request).await.unwrap().into_inner().items;
    let mut names: Vec<_> = items.into_iter().map(|pod| pod.metadata.unwrap().name).collect();
    names.sort();
    names
}

async fn containers(daemon: &Daemon, filter: v1::ContainerFilter) -> Vec<String> {
    let request = v1::ListContainersRequest { filter: Some(filter) };
    let items = daemon.runtime().list_containers(request).await.unwrap().into_inner().containers;
    let mut names: Vec<_> = items.into_iter().map(|container| container.metadata.unwrap().name).collect();
    names.sort();
    names
}

#[test]
fn pods_by_every_filter() {
    peapod(async |daemon| {
        let one = daemon.pod("one").config(|c| c.labels = labels(&[("app", "web"), ("tier", "front")])).run().await;
        let two = daemon.pod("two").config(|c| c.labels = labels(&[("app", "web")])).run().await;
        two.stop().await.unwrap();
        let filter = v1::PodSandboxFilter::default;
        let state = |state: v1::PodSandboxState| Some(v1::PodSandboxStateValue { state: state.into() });
        assert_eq!(pods(daemon, filter()).await, ["one", "two"]);
        assert_eq!(pods(daemon, v1::PodSandboxFilter { id: one.id.clone(), ..filter() }).await, ["one"]);
        assert_eq!(pods(daemon, v1::PodSandboxFilter { id: one.id[..10].to_owned(), ..filter() }).await, ["one"]);
        assert!(pods(daemon, v1::PodSandboxFilter { id: "feedbeef0000".to_owned(), ..filter() }).await.is_empty());
        let ready = v1::PodSandboxFilter { state: state(v1::PodSandboxState::SandboxReady), ..filter() };
        assert_eq!(pods(daemon, ready).await, ["one"]);
        let not_ready = v1::PodSandboxFilter { state: state(v1::PodSandboxState::SandboxNotready), ..filter() };
        assert_eq!(pods(daemon, not_ready).await, ["two"]);
        let both = v1::PodSandboxFilter { label_selector: labels(&[("app", "web"), ("tier", "front")]), ..filter() };
        assert_eq!(pods(daemon, both).await, ["one"]);
        let id_and_state =
            v1::PodSandboxFilter { id: one.id.clone(), state: state(v1::PodSandboxState::SandboxNotready), ..filter() };
        assert!(pods(daemon, id_and_state).await.is_empty());
    });
}

#[test]
fn containers_by_every_filter() {
    peapod(async |daemon| {
        let (one, two) = (daemon.pod("one").run().await, daemon.pod("two").run().await);
        let up = one.container("up").sh("sleep 1000").config(|c| c.labels = labels(&[("a", "1")])).start().await;
        let down = one.container("down").sh("true").start().await;
        down.wait_exit().await;
        two.container("new").sh("true").config(|c| c.labels = labels(&[("a", "1"), ("b", "2")])).create().await;
        let filter = v1::ContainerFilter::default;
        let state = |state: v1::ContainerState| Some(v1::ContainerStateValue { state: state.into() });
        assert_eq!(containers(daemon, filter()).await, ["down", "new", "up"]);
        assert_eq!(containers(daemon, v1::ContainerFilter { id: up.id[..13].to_owned(), ..filter() }).await, ["up"]);
        let of_one = v1::ContainerFilter { pod_sandbox_id: one.id[..13].to_owned(), ..filter() };
        assert_eq!(containers(daemon, of_one).await, ["down", "up"]);
        for (wanted, name) in [
            (v1::ContainerState::ContainerRunning, "up"),
            (v1::ContainerState::ContainerExited, "down"),
            (v1::ContainerState::ContainerCreated, "new"),
        ] {
            assert_eq!(containers(daemon, v1::ContainerFilter { state: state(wanted), ..filter() }).await, [name]);
        }
        let labelled = v1::ContainerFilter { label_selector: labels(&[("a", "1")]), ..filter() };
        assert_eq!(containers(daemon, labelled).await, ["new", "up"]);
        let narrow = v1::ContainerFilter {
            label_selector: labels(&[("a", "1")]),
            pod_sandbox_id: two.id.clone(),
            state: state(v1::ContainerState::ContainerCreated),
            ..filter()
        };
        assert_eq!(containers(daemon, narrow).await, ["new"]);
    });
}

#[test]
fn cut_ids_work_everywhere_as_long_as_they_are_unique() {
    peapod(async |daemon| {
        let mut pod = daemon.pod("cut").run().await;
        let mut container = pod.container("main").sh("sleep 1000").start().await;
        let (pod_id, id) = (pod.id.clone(), container.id.clone());
        pod.id.truncate(12);
        container.id.truncate(12);
        assert_eq!(pod.status().await.id, pod_id);
        assert_eq!(container.status().await.id, id);
        assert_eq!(container.exec("echo hi").await, "hi\n");
        pod.container("second").sh("true").start().await;
        container.stop(0).await.unwrap();
        container.remove().await.unwrap();
        pod.id.clear();
        let refused = pod.try_status().await.unwrap_err();
        assert!(matches!(refused.code(), Code::InvalidArgument | Code::NotFound), "{refused}");
        pod.id = pod_id[..12].to_owned();
        pod.remove().await.unwrap();
    });
}
