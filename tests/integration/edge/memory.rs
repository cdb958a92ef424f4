//! What clients, commands and lists may cost the daemon in memory, and that it is given back.

use std::fs;
use std::time::Duration;

use peapod_tests::{Client, Daemon, Options, at_most, peapod, peapod_with, pod_metrics, v1, wait_for};
use tonic::Code;

use super::raw::{DATA, END_HEADERS, HEADERS, Raw, VERSION, call, frame};
use super::serves;

/// MiB of memory that the daemon has, by a line of its status: `VmRSS` now, `VmHWM` at most so far.
fn memory(daemon: &Daemon, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':')).unwrap();
    value.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
}

/// The peak counts from now on.
fn forget_peak(daemon: &Daemon) {
    fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();
}

async fn given_back(daemon: &Daemon, before: u64, more: u64) {
    let goal = format!("at most {more} MiB more than the {before} MiB of before");
    wait_for(&goal, async || memory(daemon, "VmRSS") <= before + more).await;
}

#[test]
fn much_output_of_many_commands() {
    peapod(async |daemon| {
        let pod = daemon.pod("much").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        container.exec("true").await;
        let before = memory(daemon, "VmRSS");
        forget_peak(daemon);
        let limit = (16 << 20) / 2 - 2048;
        let runs = (0..40).map(async |_| {
            let command = ["sh", "-c", "head -c 9000000 /dev/zero; head -c 9000000 /dev/zero >&2"];
            let request = v1::ExecSyncRequest {
                container_id: container.id.clone(),
                cmd: command.map(str::to_owned).into(),
                timeout: 300,
            };
            let client = Client::new(daemon.socket());
            let answer = client.runtime().max_decoding_message_size(17 << 20).exec_sync(request).await.unwrap();
            assert_eq!((answer.get_ref().stdout.len(), answer.get_ref().stderr.len()), (limit, limit));
        });
        let all = async {
            futures_util::future::join_all(runs).await;
        };
        // Whoever writes little is not held up by whoever writes much.
        let little = async {
            for _ in 0..5 {
                assert_eq!(container.exec("echo little").await, "little\n");
            }
        };
        tokio::join!(all, little);
        let peak = memory(daemon, "VmHWM");
        assert!(peak <= before + 300, "{before} MiB before, {peak} at most");
        given_back(daemon, before, 24).await;
    });
}

#[test]
fn a_command_that_keeps_its_output_keeps_nobody_elses() {
    peapod(async |daemon| {
        let pods = [daemon.pod("hog").run().await, daemon.pod("other").run().await];
        let hog = pods[0].container("main").sh("sleep 1000").start().await;
        let other = pods[1].container("main").sh("sleep 1000").start().await;
        let endless = ["sh", "-c", "head -c 4000000 /dev/zero; touch /ready.$0; sleep 1000"];
        let kept = (0..6).map(|_| hog.try_exec(&endless, 0));
        let kept = futures_util::future::join_all(kept);
        let served = async {
            wait_for("two of them have all that a pod may have", async || {
                hog.exec("ls / | grep -c ready || true").await.trim() != "0"
            })
            .await;
            let output = other.try_exec(&["sh", "-c", "head -c 4000000 /dev/zero"], 60).await.unwrap();
            assert_eq!(output.stdout.len(), 4_000_000);
            assert_eq!(hog.exec("echo fine").await, "fine\n");
        };
        tokio::select! {
            _ = kept => panic!("the commands don't end"),
            () = served => {}
        }
    });
}

/// Connections of streams without an end.
async fn endless_streams(daemon: &Daemon) -> Vec<Raw> {
    let mut hostile = Vec::new();
    for _ in 0..6 {
        let mut raw = Raw::connect(&daemon.socket()).await;
        let streams: Vec<u8> =
            (0..1000).flat_map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &call(VERSION))).collect();
        raw.send(&streams).await;
        hostile.push(raw);
    }
    hostile
}

#[test]
fn streams_and_bodies_of_hostile_clients() {
    peapod(async |daemon| {
        serves(daemon).await;
        let before = memory(daemon, "VmRSS");
        forget_peak(daemon);
        let hostile = endless_streams(daemon).await;
        serves(daemon).await;
        let bodies = (0..30).map(async |_| {
            // Messages of 15 MiB that never come to their ends.
            let client = Client::new(daemon.socket());
            let cmd = vec!["x".repeat(15 << 20)];
            let request = v1::ExecSyncRequest { container_id: "none".to_owned(), cmd, timeout: 1 };
            let refused = client.runtime().exec_sync(request).await.unwrap_err();
            assert!(matches!(refused.code(), Code::NotFound | Code::ResourceExhausted), "{refused}");
        });
        let bodies = async {
            futures_util::future::join_all(bodies).await;
        };
        let served = async {
            for _ in 0..20 {
                serves(daemon).await;
            }
        };
        tokio::join!(bodies, served);
        let peak = memory(daemon, "VmHWM");
        assert!(peak <= before + 400, "{before} MiB before, {peak} at most");
        drop(hostile);
        given_back(daemon, before, 24).await;
        serves(daemon).await;
    });
}

#[test]
fn streams_and_bodies_that_never_end_are_ended() {
    let options = Options::new().set("grpc.transfer_timeout=2s").set("grpc.idle_timeout=2s");
    peapod_with(&options, async |daemon| {
        serves(daemon).await;
        let before = memory(daemon, "VmRSS");
        let mut hostile = endless_streams(daemon).await;
        serves(daemon).await;
        let mut started = Raw::connect(&daemon.socket()).await;
        started.send(&frame(HEADERS, END_HEADERS, 1, &call(VERSION))).await;
        started.send(&frame(DATA, 0, 1, &[0, 0, 0xf0, 0, 0])).await;
        for _ in 0..64 {
            started.send(&frame(DATA, 0, 1, &[0; 1024])).await;
        }
        hostile.push(started);
        for raw in hostile {
            raw.ended().await;
        }
        given_back(daemon, before, 24).await;
        serves(daemon).await;
    });
}

#[test]
fn whoever_takes_no_answer_is_left() {
    let options = Options::new().set("grpc.transfer_timeout=1s");
    peapod_with(&options, async |daemon| {
        let client = Client::new(daemon.socket());
        let mut request = daemon.pod("big").request();
        let annotations = &mut request.config.as_mut().unwrap().annotations;
        annotations.insert("big".to_owned(), "x".repeat(1 << 20));
        client.runtime().run_pod_sandbox(request).await.unwrap();
        let mut raw = Raw::connect(&daemon.socket()).await;
        for stream in 0..50 {
            raw.ask(2 * stream + 1, &call("/runtime.v1.RuntimeService/ListPodSandbox")).await;
        }
        // It reads, but opens no window.
        tokio::time::timeout(at_most(Duration::from_secs(20)), raw.ended()).await.expect("it stays");
        serves(daemon).await;
    });
}

#[test]
fn metrics_that_nobody_takes_are_few() {
    let options = Options::new().set("grpc.transfer_timeout=5s");
    peapod_with(&options, async |daemon| {
        let pod = daemon.pod("measured").run().await;
        for number in 0..4 {
            // More of them than a window holds.
            pod.container(&format!("c{number}")).sh("sleep 1000").start().await;
        }
        let ask = async || daemon.runtime().list_pod_sandbox_metrics(v1::ListPodSandboxMetricsRequest {}).await;
        let before = ask().await.unwrap().into_inner();
        assert_eq!(pod_metrics(before.pod_metrics)[0].container_metrics.len(), 4);
        let mut raw = Raw::connect(&daemon.socket()).await;
        for stream in 0..100 {
            raw.ask(2 * stream + 1, &call("/runtime.v1.RuntimeService/ListPodSandboxMetrics")).await;
        }
        wait_for("no more than so many", async || {
            ask().await.is_err_and(|refused| {
                assert!(refused.code() == Code::ResourceExhausted && refused.message().contains("8"), "{refused}");
                true
            })
        })
        .await;
        serves(daemon).await;
        tokio::time::timeout(at_most(Duration::from_secs(30)), raw.ended()).await.expect("it stays");
        assert_eq!(ask().await.unwrap().into_inner().pod_metrics.len(), 1);
    });
}

#[test]
fn lists_stay_answerable() {
    peapod(async |daemon| {
        let client = Client::new(daemon.socket());
        let note = "x".repeat(1_900_000);
        let run = async |name: &str, note: &str| {
            let mut request = daemon.pod(name).request();
            let config = request.config.as_mut().unwrap();
            config.annotations.insert("note".to_owned(), note.to_owned());
            // No network: this is not what it is about.
            let security = config.linux.get_or_insert_default().security_context.get_or_insert_default();
            security.namespace_options.get_or_insert_default().network = v1::NamespaceMode::Node.into();
            client.runtime().run_pod_sandbox(request).await.map(|answer| answer.into_inner().pod_sandbox_id)
        };
        let refused = run("too-long", &"x".repeat(7_000_000)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");

        let names: Vec<String> = (0..10).map(|number| format!("noted-{number}")).collect();
        let outcomes = futures_util::future::join_all(names.iter().map(|name| run(name, &note))).await;
        let made: Vec<&String> = outcomes.iter().flatten().collect();
        let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(made.len() >= 8 && !refused.is_empty(), "{} made", made.len());
        for status in refused {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
            assert!(status.message().contains("noted-") && status.message().contains("annotations"), "{status}");
        }
        assert_eq!(client.pods().await.unwrap().len(), made.len());
        client.runtime().list_pod_sandbox_stats(v1::ListPodSandboxStatsRequest::default()).await.unwrap();
        // Whatever is gone makes room, and what is small goes on.
        let pod = daemon.pod("small").run().await;
        pod.container("main").sh("true").output().await;
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: made[0].clone() };
        client.runtime().remove_pod_sandbox(request).await.unwrap();
        run("next", &note).await.unwrap();
        assert!(run("one-more", &note).await.is_err());
        // What is recorded counts also for the next daemon.
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(daemon.pods().await.len(), made.len() + 1);
        assert!(run("one-more", &note).await.is_err());
    });
}
