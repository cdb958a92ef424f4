//! What the daemon tells Prometheus of itself: that it is what the document says, that it moves with what happens, and
//! that nobody who asks for it costs more than that.

mod addresses;
mod exposition;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use peapod_tests::{Daemon, Options, at_most, free_port, kill, peapod_with, v1, wait_for, wait_some};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use self::exposition::Scrape;

/// Head and body of what an endpoint answers.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses may close before it has read all.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head.to_owned(), body.to_owned())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: peapod\r\n\r\n")
}

async fn scrape_of(stream: impl AsyncRead + AsyncWrite + Unpin) -> Scrape {
    let (head, body) = ask(stream, &get("/metrics")).await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"), "{head}");
    Scrape::parse(&body)
}

pub(crate) async fn scrape(port: u16) -> Scrape {
    scrape_of(TcpStream::connect(("127.0.0.1", port)).await.unwrap()).await
}

/// With metrics at a port.
pub(crate) fn with_port(test: impl AsyncFnOnce(&Daemon, u16)) {
    let port = free_port();
    let options = Options::new().set(format!("metrics.address=127.0.0.1:{port}"));
    peapod_with(&options, async |daemon| {
        wait_for("metrics are served", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        test(daemon, port).await;
    });
}

/// Names and types in the table of the document.
fn documented() -> BTreeMap<String, String> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(document).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let family = |(name, rest): (&str, &str)| {
        let kind = rest.split(' ').next().unwrap();
        let name = match kind {
            "counter" => name.strip_suffix("_total")?,
            "info" => name.strip_suffix("_info")?,
            "gauge" | "histogram" => name,
            // Another table's.
            _ => return None,
        };
        Some((name.to_owned(), kind.to_owned()))
    };
    rows.filter_map(family).collect()
}

#[test]
fn what_the_document_lists_is_told_and_no_more() {
    with_port(async |daemon, port| {
        let told = scrape(port).await;
        assert_eq!(told.families, documented());
        assert_eq!(told.sum("peapod_build_info", &[]), 1.0);
        assert_eq!(told.sum("peapod_pods", &[]) + told.sum("peapod_shims", &[]), 0.0);
        assert!(told.sum("process_cpu_seconds_total", &[]) > 0.0);
        let resident = told.sum("process_resident_memory_bytes", &[]);
        assert!((4e6..400e6).contains(&resident), "{resident}");
        for root in ["state", "run"] {
            let [size, available] = ["size", "available"]
                .map(|what| told.sum(&format!("peapod_filesystem_{what}_bytes"), &[("root", root)]));
            assert!(size > 1e6 && available <= size, "{root}: {available} of {size}");
        }
        // No text of a client, a pod or an image is in any label.
        let pod = daemon.pod("quoted").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let told = scrape(port).await;
        for label in [
            "method",
            "code",
            "kind",
            "reason",
            "host",
            "state",
            "of",
            "database",
            "root",
            "version",
            "operation",
            "stage",
        ] {
            let values = told.values(label);
            let text = [&pod.id, &container.id, "quoted", "shell"];
            assert!(!values.iter().any(|value| text.iter().any(|text| value.contains(*text))), "{label}: {values:?}");
        }
    });
}

#[test]
fn calls_pods_and_records_are_counted() {
    with_port(async |daemon, port| {
        let before = scrape(port).await;
        let pod = daemon.pod("counted").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let ended = pod.container("ended").sh("true").start().await;
        ended.wait_exit().await;
        pod.container("created").sh("true").create().await;
        let unknown = v1::ContainerStatusRequest { container_id: "0".repeat(64), verbose: false };
        daemon.runtime().container_status(unknown).await.unwrap_err();
        let (container_id, cmd) = (container.id.clone(), vec!["true".to_owned()]);
        let exec = v1::ExecRequest { container_id, cmd, stdout: true, ..Default::default() };
        daemon.runtime().exec(exec).await.unwrap();

        // A call counts once its client has the answer, and the server has seen that.
        let after = wait_some("all calls are counted", async || {
            let after = scrape(port).await;
            (after.sum("peapod_rpcs_total", &[("method", "Exec"), ("code", "OK")]) == 1.0).then_some(after)
        })
        .await;
        let more = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels) - before.sum(name, labels);
        for (method, code, count) in [
            ("RunPodSandbox", "OK", 1.0),
            ("CreateContainer", "OK", 3.0),
            ("StartContainer", "OK", 2.0),
            ("ContainerStatus", "NotFound", 1.0),
        ] {
            assert_eq!(more("peapod_rpcs_total", &[("method", method), ("code", code)]), count, "{method} {code}");
        }
        assert_eq!(more("peapod_rpc_duration_seconds_count", &[("method", "StartContainer")]), 2.0);
        assert!(more("peapod_rpc_duration_seconds_sum", &[("method", "StartContainer")]) > 0.001);
        assert_eq!(after.sum("peapod_pods", &[("state", "ready")]), 1.0);
        assert_eq!(after.sum("peapod_pods", &[("state", "not_ready")]), 0.0);
        for state in ["created", "running", "exited"] {
            assert_eq!(after.sum("peapod_containers", &[("state", state)]), 1.0, "{state}");
        }
        assert_eq!(after.sum("peapod_shims", &[]), 1.0);
        assert_eq!(more("peapod_shim_start_duration_seconds_count", &[]), 1.0);
        assert!(more("peapod_database_commit_duration_seconds_count", &[("database", "state")]) >= 6.0);
        assert!(more("peapod_database_commit_duration_seconds_count", &[("database", "image")]) >= 2.0);
        assert_eq!(more("peapod_database_failures_total", &[]), 0.0);
        assert_eq!(more("peapod_sessions_promised_total", &[("kind", "exec")]), 1.0);
        assert_eq!(after.sum("peapod_sessions_pending", &[]), 1.0);
        assert_eq!(after.sum("peapod_rpcs_in_flight", &[]), 0.0);
        assert_eq!(after.sum("peapod_request_memory_bytes", &[]), 0.0);
        assert_eq!(after.sum("peapod_connections", &[]), 1.0);
    });
}

#[test]
fn stages_are_counted_by_operation() {
    with_port(async |daemon, port| {
        let pod = daemon.pod("staged").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        container.stop(0).await.unwrap();
        // They are counted once the client has the answer.
        for (operation, stage) in [
            ("PullImage", "transfer"),
            ("RunPodSandbox", "shim"),
            ("RunPodSandbox", "network"),
            ("CreateContainer", "layers"),
            ("StartContainer", "runtime start"),
            ("StopContainer", "processes"),
        ] {
            let labels = [("operation", operation), ("stage", stage)];
            let told = wait_some(&format!("{operation}: {stage}"), async || {
                let told = scrape(port).await;
                (told.sum("peapod_stage_duration_seconds_count", &labels) >= 1.0).then_some(told)
            })
            .await;
            let (took, all) = (
                told.sum("peapod_stage_duration_seconds_sum", &labels),
                told.sum("peapod_rpc_duration_seconds_sum", &[("method", operation)]),
            );
            assert!(took <= all + 0.1, "{operation}: {stage} took {took} s of {all} s");
        }
        let told = scrape(port).await;
        assert!(!told.values("operation").iter().any(|operation| operation.starts_with("List")), "they only look");
        assert_eq!(
            told.sum("peapod_trace_spans_exported_total", &[]) + told.sum("peapod_trace_spans_dropped_total", &[]),
            0.0
        );
    });
}

#[test]
fn pulls_are_counted_with_their_bytes_and_failures() {
    with_port(async |daemon, port| {
        daemon.pull("peapod/shell:1").await.unwrap();
        daemon.pull("peapod/no-such-thing:1").await.unwrap_err();
        daemon.pull("not a reference").await.unwrap_err();
        let told = scrape(port).await;
        assert_eq!(told.sum("peapod_images", &[]), 1.0);
        assert_eq!(told.sum("peapod_pull_duration_seconds_count", &[]), 1.0);
        assert_eq!(told.sum("peapod_pull_failures_total", &[("reason", "not_found")]), 1.0);
        assert_eq!(told.sum("peapod_pull_failures_total", &[("reason", "reference")]), 1.0);
        assert_eq!(told.sum("peapod_pull_failures_total", &[]), 2.0);
        assert_eq!(told.sum("peapod_pulls_in_flight", &[]), 0.0);
        assert!(told.sum("peapod_layer_duration_seconds_count", &[]) >= 1.0);
        let registry = told.values("host").into_iter().find(|host| *host != "other").expect("the registry's name");
        let fetched = told.sum("peapod_layer_fetched_bytes_total", &[("host", registry)]);
        assert!(fetched > 10_000.0, "{fetched} bytes of {registry}");
        assert_eq!(told.sum("peapod_layer_fetched_bytes_total", &[("host", "other")]), 0.0);
        assert!(told.sum("peapod_layer_unpacked_bytes_total", &[]) > fetched);
    });
}

#[test]
fn shims_and_servers_that_die_are_counted_and_those_that_are_to_end_are_not() {
    with_port(async |daemon, port| {
        let pod = daemon.pod("dies").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let (container_id, cmd) = (container.id.clone(), vec!["true".to_owned()]);
        let exec = v1::ExecRequest { container_id, cmd, stdout: true, ..Default::default() };
        daemon.runtime().exec(exec).await.unwrap();
        kill(pod.shim_pid());
        wait_for("the shim is counted as lost", async || scrape(port).await.sum("peapod_shims_lost_total", &[]) == 1.0)
            .await;
        let other = daemon.pod("ends").run().await;
        other.remove().await.unwrap();
        assert_eq!(scrape(port).await.sum("peapod_streaming_server_starts_total", &[]), 1.0);
        for pid in daemon.streaming_servers() {
            kill(pid);
        }
        wait_for("another streaming server", async || {
            let now = scrape(port).await;
            now.sum("peapod_streaming_server_starts_total", &[]) == 2.0
                && now.sum("peapod_streaming_server_up", &[]) == 1.0
        })
        .await;
        let last = scrape(port).await;
        assert_eq!(last.sum("peapod_shims_lost_total", &[]), 1.0);
        assert_eq!(last.sum("peapod_shim_start_duration_seconds_count", &[]), 2.0);
        assert_eq!(last.sum("peapod_sessions_pending", &[]), 0.0, "nobody can come any more");
    });
}

#[test]
fn calls_that_go_on_or_are_given_up_are_told() {
    with_port(async |daemon, port| {
        let pod = daemon.pod("long").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let in_flight = |method: &'static str| async move {
            scrape(port).await.sum("peapod_rpcs_in_flight", &[("method", method)])
        };
        let events = daemon.runtime().get_container_events(v1::GetEventsRequest {}).await.unwrap();
        let exec = container.try_exec(&["sleep", "1000"], 1000);
        let seen = wait_for("the command is under way", async || in_flight("ExecSync").await == 1.0);
        tokio::select! {
            done = exec => panic!("{done:?}"),
            () = seen => {}
        }
        // Dropped: its client has left.
        wait_for("the command was given up", async || {
            let now = scrape(port).await;
            now.sum("peapod_rpcs_total", &[("method", "ExecSync"), ("code", "Canceled")]) == 1.0
        })
        .await;
        let now = scrape(port).await;
        assert_eq!(now.sum("peapod_event_streams", &[]), 1.0);
        assert_eq!(now.sum("peapod_rpcs_in_flight", &[("method", "GetContainerEvents")]), 1.0);
        assert_eq!(now.sum("peapod_rpcs_in_flight", &[]), 1.0);
        drop(events);
        wait_for("the stream is over", async || in_flight("GetContainerEvents").await == 0.0).await;
        wait_for("its place is free", async || scrape(port).await.sum("peapod_event_streams", &[]) == 0.0).await;
    });
}

#[test]
fn hostile_clients_keep_nobody_from_asking() {
    with_port(async |daemon, port| {
        let connect = async || TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        for (request, wanted) in [
            (get("/"), "404 Not Found"),
            (get("/metrics/"), "404 Not Found"),
            ("POST /metrics HTTP/1.1\r\nHost: p\r\nContent-Length: 0\r\n\r\n".to_owned(), "405 Method Not Allowed"),
            ("DELETE /metrics HTTP/1.1\r\nHost: p\r\n\r\n".to_owned(), "405 Method Not Allowed"),
            ("no HTTP at all\r\n\r\n".to_owned(), "400 Bad Request"),
            (format!("GET /metrics HTTP/1.1\r\nHost: p\r\nX: {}\r\n\r\n", "x".repeat(64 << 10)), "431 Request Header"),
            (format!("GET /metrics HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000)), "431 Request Header"),
        ] {
            let (head, _) = ask(connect().await, &request).await;
            let start: String = request.chars().take(60).collect();
            assert!(head.starts_with(&format!("HTTP/1.1 {wanted}")), "{start}: {head}");
            assert!(!wanted.starts_with("405") || head.contains("allow: GET, HEAD"), "{head}");
        }
        let (head, body) = ask(connect().await, "HEAD /metrics HTTP/1.1\r\nHost: p\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK") && body.is_empty(), "{head}\n{body}");

        // Many that say nothing, and many that say it slowly: whoever asks is answered, in between and afterwards.
        let began = Instant::now();
        let mut silent = Vec::new();
        for number in 0..200 {
            let mut stream = connect().await;
            if number % 2 == 0 {
                stream.write_all(b"GET /metr").await.unwrap();
            }
            silent.push(stream);
            if number % 20 == 0 {
                scrape(port).await;
            }
        }
        let answered = scrape(port).await;
        assert!(answered.sum("process_open_fds", &[]) < 200.0, "{}", answered.sum("process_open_fds", &[]));
        daemon.pods().await;
        for mut stream in silent {
            // An end, or a reset with what was not read; before that the words for a request that came too late.
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
        }
        assert!(began.elapsed() < at_most(Duration::from_secs(12)), "{:?}", began.elapsed());
        scrape(port).await;

        // Many at once are answered one after the other, or refused.
        let many = (0..64).map(|_| async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            stream.write_all(get("/metrics").as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            answer.ends_with("# EOF\n").then_some(())
        });
        let answered = futures_util::future::join_all(many).await.into_iter().flatten().count();
        assert!(answered >= 16, "{answered}");
        scrape(port).await;
    });
}
