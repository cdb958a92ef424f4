//! Containers of a runtime whose answers are lost or late, or that refuses in the middle.

use std::time::{Duration, Instant};

use peapod_api::v1;

use super::bench::{Bench, shell};
use crate::connect::CriClient;
use crate::fake::LostCall::{self, After, Before};

/// A pod of one container that says it once, with answers that are lost.
async fn with_lost(lost: &[(&'static str, LostCall)]) -> (Bench, String) {
    let bench = Bench::new();
    bench.fake.state(|state| state.loses.extend(lost));
    let spec = format!("  restartPolicy: Never\n  containers:\n{}", shell("a", "echo once"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(0), "{lost:?}:\n{}", bench.printed.text());
    bench.assert_nothing_left();
    let calls = bench.fake.calls();
    let made = calls.iter().filter(|call| call.starts_with("CreateContainer") || *call == "StartContainer");
    let made = made.cloned().collect::<Vec<_>>().join(", ");
    (bench, made)
}

#[tokio::test]
async fn what_was_done_is_not_done_again_when_its_answer_was_lost() {
    let (once, again) = ("CreateContainer a 0, StartContainer", "CreateContainer a 0, StartContainer, StartContainer");
    for (lost, expected) in [
        (&[("CreateContainer", After)][..], once),
        (&[("CreateContainer", Before)], "CreateContainer a 0, CreateContainer a 0, StartContainer"),
        (&[("StartContainer", After)], once),
        (&[("StartContainer", Before)], again),
        (&[("CreateContainer", After), ("StartContainer", After)], once),
        // It is removed in the end.
        (&[("RemovePodSandbox", Before), ("RemovePodSandbox", Before)], once),
    ] {
        let (bench, made) = with_lost(lost).await;
        assert_eq!(made, expected, "{lost:?}");
        assert_eq!(bench.printed.text().matches("a      | once").count(), 1, "{lost:?}:\n{}", bench.printed.text());
    }
}

#[tokio::test]
async fn a_runtime_that_goes_away_in_a_pull_is_asked_again() {
    let bench = Bench::new();
    let lost = [("ImageStatus", Before), ("PullImage", Before), ("PullImage", Before)];
    bench.fake.state(|state| state.loses.extend(lost));
    let container = shell("a", "echo once").replace("tool:1", "new:1");
    let spec = format!("  restartPolicy: Never\n  containers:\n{container}");
    assert_eq!(bench.to_its_end(&spec).await, Ok(0), "{}", bench.printed.text());
    let pulls = bench.fake.calls().iter().filter(|call| *call == "PullImage new:1").count();
    assert_eq!(pulls, 3);
    let text = bench.printed.text();
    assert_eq!(text.matches("pulling new:1: the runtime went away").count(), 1, "{text}");
    bench.assert_nothing_left();
}

/// A pod whose shim was killed: it has ended, and nobody has asked for it.
#[tokio::test]
async fn a_pod_that_is_lost_is_made_anew() {
    let bench = Bench::new();
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";
    let spec = format!("  terminationGracePeriodSeconds: 20\n  containers:\n{}", shell("a", script));
    let ended = bench.run(&spec, async |connection, signal| {
        bench.printed.wait_for("| up").await;
        let id = bench.fake.state(|state| state.pods.first_key_value().unwrap().0.clone());
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id };
        connection.runtime.clone().stop_pod_sandbox(request).await.unwrap();
        bench.printed.wait_for_so_many("| up", 2).await;
        signal();
    });
    assert_eq!(ended.await, Ok(130));
    let made = bench.fake.calls().iter().filter(|call| *call == "RunPodSandbox web").count();
    assert_eq!(made, 2);
    bench.assert_nothing_left();
}

/// What is in the way when it is made anew may be gone later: then it is tried again, and not given up.
#[tokio::test]
async fn a_lost_pod_is_tried_again_until_it_is_back() {
    let bench = Bench::new();
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";
    let spec = format!("  terminationGracePeriodSeconds: 20\n  containers:\n{}", shell("a", script));
    let ended = bench.run(&spec, async |connection, signal| {
        bench.printed.wait_for("| up").await;
        bench.fake.state(|state| state.fails = Some(("RunPodSandbox", "no luck")));
        let id = bench.fake.state(|state| state.pods.first_key_value().unwrap().0.clone());
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id };
        connection.runtime.clone().stop_pod_sandbox(request).await.unwrap();
        bench.printed.wait_for("web: cannot start the pod: RunPodSandbox: no luck; trying again in ").await;
        bench.fake.state(|state| state.fails = None);
        // Once its pause is over.
        bench.printed.wait_for_so_many("| up", 2).await;
        signal();
    });
    assert_eq!(ended.await, Ok(130), "{}", bench.printed.text());
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_probe_that_can_not_be_made_is_told_once() {
    let bench = Bench::new();
    bench.fake.state(|state| state.fails = Some(("ExecSync", "no such file /nosuch")));
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";
    let probe = ", readinessProbe: {exec: {command: [/nosuch]}, periodSeconds: 1}}\n";
    let spec = format!("  containers:\n{}", shell("a", script).replace("}\n", probe));
    let ended = bench.run(&spec, async |_, signal| {
        let asked = async || bench.fake.calls().iter().filter(|call| call.starts_with("ExecSync")).count() > 1;
        wait_for(asked).await;
        signal();
    });
    assert_eq!(ended.await, Ok(130));
    let text = bench.printed.text();
    assert_eq!(text.matches("a: its readiness probe can't be made").count(), 1, "{text}");
    assert!(text.contains("no such file /nosuch"), "{text}");
    bench.assert_nothing_left();
}

/// A container that ends with 5 when it is stopped.
fn restarted() -> String {
    let script = "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done";
    format!("  restartPolicy: OnFailure\n  terminationGracePeriodSeconds: 20\n  containers:\n{}", shell("a", script))
}

/// Waits until the container is up, and stops it as somebody else would, after something was done.
async fn stop_after(bench: &Bench, connection: &CriClient, done: impl AsyncFnOnce(&str, v1::ContainerConfig)) {
    bench.printed.wait_for("| up").await;
    let (id, container) = bench.fake.state(|state| {
        let (id, container) = state.containers.first_key_value().unwrap();
        (id.clone(), (container.pod.clone(), container.config.clone()))
    });
    done(&container.0, container.1).await;
    let request = v1::StopContainerRequest { container_id: id, timeout: 20 };
    connection.runtime.clone().stop_container(request).await.unwrap();
}

#[tokio::test]
async fn a_container_that_is_refused_is_not_left_behind() {
    let bench = Bench::new();
    let spec = restarted();
    let ended = bench.run(&spec, async |connection, signal| {
        stop_after(&bench, connection, async |_, _| {
            bench.fake.state(|state| state.fails = Some(("StartContainer", "no luck")));
        })
        .await;
        bench.printed.wait_for("no luck; trying again in").await;
        bench.fake.state(|state| assert!(state.containers.is_empty(), "what did not start is gone"));
        signal();
    });
    assert_eq!(ended.await, Ok(130));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_copy_that_nobody_knows_of_goes_before_the_next_start() {
    let bench = Bench::new();
    let spec = restarted();
    let ended = bench.run(&spec, async |connection, signal| {
        stop_after(&bench, connection, async |pod, config| {
            let metadata = v1::ContainerMetadata { name: "a".into(), attempt: 7 };
            let config = Some(v1::ContainerConfig { metadata: Some(metadata), ..config });
            let request = v1::CreateContainerRequest { pod_sandbox_id: pod.into(), config, ..Default::default() };
            let mut client = connection.runtime.clone();
            let container_id = client.create_container(request).await.unwrap().into_inner().container_id;
            client.start_container(v1::StartContainerRequest { container_id }).await.unwrap();
            // And nobody hears of its removal.
            bench.fake.state(|state| state.loses.push(("RemoveContainer", After)));
        })
        .await;
        bench.printed.wait_for("starting it again now").await;
        let attempts = || bench.fake.state(|state| state.containers.values().map(attempt).collect::<Vec<_>>());
        wait_for(async || attempts() == [1]).await;
        signal();
    });
    assert_eq!(ended.await, Ok(130));
    bench.assert_nothing_left();
}

fn attempt(container: &crate::fake::Container) -> u32 {
    container.config.metadata.as_ref().unwrap().attempt
}

async fn wait_for(is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_pod_that_is_refused_in_the_middle_leaves_nothing() {
    let bench = Bench::new();
    let first = shell("a", "echo first; sleep 100");
    // The second one names what is not there.
    let second = "  - {name: b, image: 'tool:1', command: [/no/such]}\n";
    let said = bench.to_its_end(&format!("  containers:\n{first}{second}")).await.unwrap_err();
    assert!(said.contains("cannot start container b: StartContainer"), "{said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_runtime_that_hangs_keeps_nobody_from_probes_and_signals() {
    let bench = Bench::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";
    let probe = format!(
        ", readinessProbe: {{tcpSocket: {{host: 127.0.0.1, port: {port}}}, periodSeconds: 1, failureThreshold: 1}}}}\n"
    );
    let spec = format!("  containers:\n{}", shell("a", script).replace("}\n", &probe));
    let ended = bench.run(&spec, async |_, signal| {
        bench.printed.wait_for("| up").await;
        bench.fake.state(|state| state.hangs = Some("ListPodSandbox"));
        wait_for(async || bench.fake.state(|state| state.hung > 0)).await;
        for _ in 0..3 {
            listener.accept().await.unwrap();
        }
        signal();
        wait_for(async || bench.fake.calls().contains(&"StopContainer 30".to_owned())).await;
        assert_eq!(bench.fake.state(|state| state.hung), 1, "all that while one look was under way");
        bench.fake.state(|state| state.hangs = None);
    });
    assert_eq!(ended.await, Ok(130));
    assert!(!bench.printed.text().contains("not ready any more"), "{}", bench.printed.text());
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_paused_reader_keeps_no_pod_from_going_on_and_gets_all_in_the_end() {
    let bench = Bench::new();
    // More than waits for the reader, of both.
    let spec = format!(
        "  restartPolicy: Never\n  initContainers:\n{}  containers:\n{}",
        shell("i", "seq 1 2000"),
        shell("m", "echo main; seq 2001 4000")
    );
    let gate = bench.printed.pause();
    let ended = bench.run(&spec, async |_, _| {
        wait_for(async || bench.fake.calls().contains(&"RemovePodSandbox".to_owned())).await;
        drop(gate);
    });
    assert_eq!(ended.await, Ok(0));
    let text = bench.printed.text();
    let missing: Vec<u32> = (1..=4000).filter(|number| !text.contains(&format!(" | {number}\n"))).collect();
    assert!(missing.is_empty(), "{} lines, first {:?}", missing.len(), missing.first());
    bench.assert_nothing_left();
}
