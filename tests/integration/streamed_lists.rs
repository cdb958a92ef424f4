//! Lists in pages: what the plain ones show, for any number of pods and containers.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use peapod_tests::{Client, Daemon, SHELL, peapod, v1, wait_for};
use tonic::{Code, Streaming};
use v1::runtime_service_client::RuntimeServiceClient;

/// As many as no answer of 16 MiB holds.
const MANY: usize = 11_000;

/// All messages of a stream.
async fn pages<T>(mut stream: Streaming<T>) -> Vec<T> {
    let mut pages = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        pages.push(page);
    }
    pages
}

async fn containers(daemon: &Daemon, filter: v1::ContainerFilter) -> Vec<v1::Container> {
    let request = v1::StreamContainersRequest { filter: Some(filter) };
    let stream = daemon.runtime().stream_containers(request).await.unwrap().into_inner();
    pages(stream).await.into_iter().flat_map(|page| page.containers).collect()
}

#[test]
fn they_show_what_the_plain_lists_show() {
    peapod(async |daemon| {
        let labelled = [("app".to_owned(), "web".to_owned())];
        let one = daemon.pod("one").config(|c| c.labels = labelled.clone().into()).run().await;
        let two = daemon.pod("two").run().await;
        let up = one.container("up").sh("sleep 1000").config(|c| c.labels = labelled.clone().into()).start().await;
        two.container("other").sh("sleep 1000").start().await;
        let down = one.container("down").sh("true").start().await;
        down.wait_exit().await;
        let mut runtime = daemon.runtime();
        for id in ["", &one.id, "none"] {
            for selector in [BTreeMap::new(), labelled.clone().into()] {
                let (id, label_selector) = (id.to_owned(), selector);
                let filter =
                    v1::PodSandboxFilter { id: id.clone(), label_selector: label_selector.clone(), state: None };
                let plain = v1::ListPodSandboxRequest { filter: Some(filter.clone()) };
                let plain = runtime.list_pod_sandbox(plain).await.unwrap().into_inner().items;
                let request = v1::StreamPodSandboxesRequest { filter: Some(filter) };
                let streamed = pages(runtime.stream_pod_sandboxes(request).await.unwrap().into_inner()).await;
                assert_eq!(streamed.into_iter().flat_map(|page| page.pod_sandboxes).collect::<Vec<_>>(), plain);

                let filter = v1::PodSandboxStatsFilter { id: id.clone(), label_selector: label_selector.clone() };
                let plain = v1::ListPodSandboxStatsRequest { filter: Some(filter.clone()) };
                let plain = runtime.list_pod_sandbox_stats(plain).await.unwrap().into_inner().stats;
                let request = v1::StreamPodSandboxStatsRequest { filter: Some(filter) };
                let streamed = pages(runtime.stream_pod_sandbox_stats(request).await.unwrap().into_inner()).await;
                let streamed = streamed.into_iter().flat_map(|page| page.pod_sandbox_stats);
                let whose = |stats: v1::PodSandboxStats| {
                    assert!(stats.linux.unwrap().memory.unwrap().usage_bytes.unwrap().value > 0);
                    stats.attributes
                };
                assert_eq!(streamed.map(whose).collect::<Vec<_>>(), plain.into_iter().map(whose).collect::<Vec<_>>());

                let filter =
                    v1::ContainerStatsFilter { pod_sandbox_id: id.clone(), label_selector, ..Default::default() };
                let plain = v1::ListContainerStatsRequest { filter: Some(filter.clone()) };
                let plain = runtime.list_container_stats(plain).await.unwrap().into_inner().stats;
                let request = v1::StreamContainerStatsRequest { filter: Some(filter) };
                let streamed = pages(runtime.stream_container_stats(request).await.unwrap().into_inner()).await;
                let streamed = streamed.into_iter().flat_map(|page| page.container_stats);
                let whose = |stats: v1::ContainerStats| {
                    assert!(stats.memory.unwrap().usage_bytes.unwrap().value > 0);
                    stats.attributes
                };
                assert_eq!(streamed.map(whose).collect::<Vec<_>>(), plain.into_iter().map(whose).collect::<Vec<_>>());
            }
        }
        for state in [v1::ContainerState::ContainerRunning, v1::ContainerState::ContainerExited] {
            let state = Some(v1::ContainerStateValue { state: state.into() });
            let filter = v1::ContainerFilter { state, pod_sandbox_id: one.id.clone(), ..Default::default() };
            let plain = v1::ListContainersRequest { filter: Some(filter.clone()) };
            let plain = runtime.list_containers(plain).await.unwrap().into_inner().containers;
            assert_eq!(plain.len(), 1);
            assert_eq!(containers(daemon, filter).await, plain);
        }
        assert_eq!(
            containers(daemon, v1::ContainerFilter { id: up.id[..12].to_owned(), ..Default::default() }).await.len(),
            1
        );

        let image = Some(v1::ImageSpec { image: peapod_tests::fixture(SHELL), ..Default::default() });
        for filter in [None, Some(v1::ImageFilter { image })] {
            let plain = v1::ListImagesRequest { filter: filter.clone() };
            let plain = daemon.images().list_images(plain).await.unwrap().into_inner().images;
            assert!(!plain.is_empty());
            let streamed = daemon.images().stream_images(v1::StreamImagesRequest { filter }).await.unwrap();
            let streamed = pages(streamed.into_inner()).await;
            assert_eq!(streamed.into_iter().flat_map(|page| page.images).collect::<Vec<_>>(), plain);
        }
    });
}

/// Changes the records of a daemon that has ended.
fn change_records(daemon: &Daemon, change: impl FnOnce(&rusqlite::Connection)) {
    let records = rusqlite::Connection::open(daemon.state_root().join("state.db")).unwrap();
    change(&records);
}

#[test]
fn eleven_thousand_containers_reach_a_client_with_the_limits_of_its_library() {
    peapod(async |daemon| {
        let pod = daemon.pod("many").run().await;
        let first = pod.container("first").sh("true");
        let first = first.config(|c| drop(c.annotations.insert("long".to_owned(), "x".repeat(1500)))).start().await;
        first.wait_exit().await;
        daemon.end(Signal::SIGTERM).await;
        change_records(daemon, |records| {
            let copy = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO containers (id, pod, spec, state)
                SELECT printf('%064x', i), pod, json_set(spec, '$.metadata.name', 'copy-' || i),
                    replace(state, id, printf('%064x', i))
                FROM containers, n";
            assert_eq!(records.execute(copy, [i64::try_from(MANY).unwrap()]).unwrap(), MANY);
        });
        daemon.start_again().await;

        let too_long = daemon.runtime().list_containers(v1::ListContainersRequest::default()).await.unwrap_err();
        assert_eq!(too_long.code(), Code::OutOfRange, "{too_long}");
        // With 4 MiB for a message, as gRPC libraries have it.
        let mut stock = RuntimeServiceClient::new(Client::new(daemon.socket()).channel());
        let all = stock.stream_containers(v1::StreamContainersRequest::default()).await.unwrap().into_inner();
        let all = pages(all).await;
        assert!(all.len() > 10 && all.iter().all(|page| !page.containers.is_empty()), "{} pages", all.len());
        let mut ids: Vec<_> = all.into_iter().flat_map(|page| page.containers).map(|container| container.id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), count), (MANY + 1, MANY + 1));
        assert!(ids.contains(&first.id));
        // So many at once, and who leaves in between makes room.
        let mut left = Vec::new();
        let refused = loop {
            match stock.stream_containers(v1::StreamContainersRequest::default()).await {
                Ok(stream) => left.push(stream.into_inner()),
                Err(refused) => break refused,
            }
        };
        assert_eq!((left.len(), refused.code()), (32, Code::ResourceExhausted), "{refused}");
        assert!(left[0].message().await.unwrap().is_some());
        assert_eq!(first.status().await.exit_code, 0);
        drop(left);
        wait_for("there is room", async || {
            stock.stream_containers(v1::StreamContainersRequest::default()).await.is_ok()
        })
        .await;

        daemon.end(Signal::SIGTERM).await;
        change_records(daemon, |records| {
            let copies = "DELETE FROM containers WHERE json_extract(spec, '$.metadata.name') LIKE 'copy-%'";
            assert_eq!(records.execute(copies, []).unwrap(), MANY);
        });
        daemon.start_again().await;
    });
}
