//! Pods on the fake runtime, whose containers are real processes.

use std::time::{Duration, Instant};

use super::bench::{Bench, shell};
use super::*;
use crate::manifest;

#[tokio::test]
async fn a_pod_runs_to_its_end_and_leaves_nothing() {
    let bench = Bench::new();
    let spec =
        format!("  restartPolicy: Never\n  containers:\n{}{}", shell("a", "echo one; echo two >&2"), shell("b", ":"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(0));
    let text = bench.printed.text();
    for line in
        ["a      | one\n", "a      | two\n", "pod default/web is up at 10.1.2.3", "a ended with 0", "b ended with 0"]
    {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
    let ends = text.find("a ended").unwrap();
    assert!(text.find("| one").unwrap() < ends && text.find("| two").unwrap() < ends, "output before the end:\n{text}");
    assert_eq!(
        bench.fake.calls()[..5],
        ["RunPodSandbox web", "CreateContainer a 0", "StartContainer", "CreateContainer b 0", "StartContainer"]
    );
    bench.assert_nothing_left();
}

#[tokio::test]
async fn the_first_failure_is_the_exit_status() {
    let bench = Bench::new();
    let spec =
        format!("  restartPolicy: Never\n  containers:\n{}{}", shell("a", "sleep 1; exit 4"), shell("b", "exit 3"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(3));
}

#[tokio::test]
async fn failures_are_started_again_and_success_ends_the_pod() {
    let bench = Bench::new();
    let script = "if [ -e $AT_v/f ]; then echo again; else touch $AT_v/f; exit 5; fi";
    let container = shell("a", script).replace("}\n", ", volumeMounts: [{name: v, mountPath: /v}]}\n");
    let spec = format!("  restartPolicy: OnFailure\n  volumes: [{{name: v}}]\n  containers:\n{container}");
    assert_eq!(bench.to_its_end(&spec).await, Ok(0));
    let text = bench.printed.text();
    assert!(text.contains("a ended with 5; starting it again now") && text.contains("a      | again\n"), "{text}");
    assert!(bench.fake.calls().contains(&"CreateContainer a 1".to_owned()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn init_containers_come_first_and_their_failure_is_the_pods() {
    let bench = Bench::new();
    let init = |script| format!("  restartPolicy: Never\n  initContainers:\n{}", shell("i", script));
    let spec = format!("{}  containers:\n{}", init("echo before"), shell("a", "echo after"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(0));
    let text = bench.printed.text();
    assert!(text.find("| before").unwrap() < text.find("| after").unwrap(), "{text}");
    let bench = Bench::new();
    let spec = format!("{}  containers:\n{}", init("exit 6"), shell("a", "echo after"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(6));
    assert!(!bench.printed.text().contains("after"));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn one_signal_stops_with_grace() {
    let bench = Bench::new();
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    let spec = format!("  terminationGracePeriodSeconds: 20\n  containers:\n{}", shell("a", script));
    let status = bench.run(&spec, async |_, signal| {
        bench.printed.wait_for("| ready").await;
        signal();
    });
    assert_eq!(status.await, Ok(130));
    assert!(bench.printed.text().contains("a      | bye\n"), "{}", bench.printed.text());
    assert!(bench.fake.calls().contains(&"StopContainer 20".to_owned()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_second_signal_kills() {
    let bench = Bench::new();
    let script = "trap 'echo no' TERM; echo ready; while :; do sleep 0.1; done";
    let spec = format!("  terminationGracePeriodSeconds: 100\n  containers:\n{}", shell("a", script));
    let begin = Instant::now();
    let status = bench.run(&spec, async |_, signal| {
        bench.printed.wait_for("| ready").await;
        signal();
        bench.printed.wait_for("| no").await;
        signal();
    });
    assert_eq!(status.await, Ok(130));
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(bench.fake.calls().contains(&"StopContainer 0".to_owned()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_pod_stopped_elsewhere_is_not_started_again() {
    let bench = Bench::new();
    let spec = format!("  containers:\n{}", shell("a", "echo ready; sleep 100"));
    let status = bench.run(&spec, async |connection, _| {
        bench.printed.wait_for("| ready").await;
        let args = crate::cli::StopArgs { pods: vec!["web".into()], files: Vec::new(), all: false, grace: Some(5) };
        crate::commands::stop(connection, &args).await.unwrap();
    });
    // As it would be after a signal.
    assert_eq!(status.await, Ok(143));
    assert!(bench.printed.text().contains("stopped by somebody else"), "{}", bench.printed.text());
    assert!(!bench.fake.calls().contains(&"CreateContainer a 1".to_owned()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_failure_before_somebody_else_stops_the_pod_is_its_exit_status() {
    let bench = Bench::new();
    let containers = format!("{}{}", shell("a", "exit 3"), shell("b", "sleep 100"));
    let spec = format!("  restartPolicy: Never\n  containers:\n{containers}");
    let status = bench.run(&spec, async |connection, _| {
        bench.printed.wait_for("a ended with 3").await;
        let args = crate::cli::StopArgs { pods: vec!["web".into()], files: Vec::new(), all: false, grace: Some(0) };
        crate::commands::stop(connection, &args).await.unwrap();
    });
    assert_eq!(status.await, Ok(3));
    assert!(bench.printed.text().contains("stopped by somebody else"), "{}", bench.printed.text());
    bench.assert_nothing_left();
}

#[tokio::test]
async fn images_are_pulled_as_the_policy_says() {
    for (image, policy, pulls) in
        [("tool:1", "IfNotPresent", 0), ("tool:1", "Always", 1), ("tool:1", "Never", 0), ("new:1", "IfNotPresent", 1)]
    {
        let bench = Bench::new();
        let spec = format!(
            "  restartPolicy: Never\n  containers:\n  - {{name: a, image: '{image}', imagePullPolicy: {policy}, command: ['true']}}\n"
        );
        assert_eq!(bench.to_its_end(&spec).await, Ok(0));
        assert_eq!(
            bench.fake.calls().iter().filter(|call| call.starts_with("PullImage")).count(),
            pulls,
            "{image} {policy}"
        );
    }
    let bench = Bench::new();
    let spec = "  containers: [{name: a, image: new, imagePullPolicy: Never}]\n";
    let said = bench.to_its_end(spec).await.unwrap_err();
    assert!(said.contains("image new:latest is not on this node") && said.contains("peapod pull new:latest"), "{said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn failures_of_the_runtime_are_said_and_leave_nothing() {
    let spec = format!("  containers:\n{}", shell("a", "sleep 100"));
    for (rpc, expected) in [
        ("PullImage", "container a: cannot pull tool:1: PullImage: no luck"),
        ("RunPodSandbox", "cannot start the pod: RunPodSandbox: no luck"),
        ("CreateContainer", "cannot start container a: CreateContainer: no luck"),
        ("StartContainer", "cannot start container a: StartContainer: no luck"),
    ] {
        let bench = Bench::new();
        bench.fake.state(|state| state.fails = Some((rpc, "no luck")));
        let spec = spec.replace("image: 'tool:1'", "image: 'tool:1', imagePullPolicy: Always");
        assert_eq!(bench.to_its_end(&spec).await, Err(expected.to_owned()));
        bench.assert_nothing_left();
    }
    let bench = Bench::new();
    let said = bench.to_its_end("  containers: [{name: a, image: 'tool:1', command: [/no/such]}]\n").await.unwrap_err();
    assert!(said.contains("cannot start container a: StartContainer: No such file"), "{said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_kept_pod_is_removed_by_rm() {
    let bench = Bench::keeping();
    let spec = format!("  restartPolicy: Never\n  containers:\n{}", shell("a", "echo one"));
    let done = bench.run(&spec, async |connection, _| {
        bench.printed.wait_for("a ended").await;
        let pods = async || crate::select::pod(connection, "web").await.unwrap();
        while pods().await.state() == v1::PodSandboxState::SandboxReady {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let list = crate::cli::PsArgs { all: true, output: crate::cli::OutputFormat::Table };
        let table = crate::commands::ps(connection, &list).await.unwrap();
        assert!(
            table.contains("web   default     0/1     Completed   10.1.2.3") && table.contains("Exited (0)"),
            "{table}"
        );
        let list = crate::cli::PsArgs { all: true, output: crate::cli::OutputFormat::Json };
        let json: serde_json::Value =
            serde_json::from_str(&crate::commands::ps(connection, &list).await.unwrap()).unwrap();
        assert_eq!(json[0]["containers"][0]["exitCode"], 0);
        let why = crate::cli::WhyArgs { what: "web".into(), json: false };
        let said = crate::commands::why(connection, &why).await.unwrap_err().to_string();
        assert_eq!(said, "fake 1 tells no stages of what it does; peapod does");
        assert!(bench.base().read_dir().unwrap().next().is_some());
        let args = crate::cli::RmArgs { pods: vec!["web".into()], files: Vec::new(), all: false, force: false };
        crate::commands::rm(connection, &args).await.unwrap();
        bench.assert_nothing_left();
    });
    assert_eq!(done.await, Ok(0));
}

#[tokio::test]
async fn two_pods_of_one_name_do_not_run_at_once() {
    let bench = Bench::new();
    let spec = format!("  containers:\n{}", shell("a", "echo ready; sleep 100"));
    let done = bench.run(&spec, async |connection, signal| {
        bench.printed.wait_for("| ready").await;
        let pod = manifest::read(
            "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: a, image: x}]}}",
        );
        let said = twin::refuse(connection, &pod.unwrap(), "ab").await.unwrap_err().to_string();
        assert!(said.contains("pod default/web runs already") && said.contains("peapod stop"), "{said}");
        signal();
    });
    assert_eq!(done.await, Ok(130));
}

#[test]
fn exit_statuses_stay_failures() {
    assert_eq!([0, 1, 137, 255, 256, -1].map(exit_status), [0, 1, 137, 255, 1, 255]);
}

#[test]
fn uids_are_random_uuids_that_differ() {
    let uids: std::collections::BTreeSet<String> = (0..100).map(|_| new_uid().unwrap()).collect();
    assert_eq!(uids.len(), 100);
    for uid in uids {
        // RFC 9562: version 4, variant 10.
        let parts: Vec<&str> = uid.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uid}");
        let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(parts.iter().all(is_hex), "{uid}");
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{uid}");
    }
}
