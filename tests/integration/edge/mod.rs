//! What clients of the socket can do to the daemon, and to each other.

mod memory;
mod raw;

use peapod_tests::{Client, Daemon, Options, peapod, peapod_with, v1, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tonic::Code;

use self::raw::{END_HEADERS, END_STREAM, HEADERS, RESET, Raw, VERSION, call, call_to, field, frame};

/// Somebody who came later is served.
async fn serves(daemon: &Daemon) {
    let client = Client::new(daemon.socket());
    client.runtime().version(v1::VersionRequest::default()).await.expect("Version");
    client.pods().await.expect("ListPodSandbox");
}

/// Descriptors that the daemon has open.
fn descriptors(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

#[test]
fn every_authority_is_answered() {
    peapod(async |daemon| {
        let socket = daemon.socket().to_string_lossy().into_owned();
        let encoded = socket.replace('/', "%2F");
        let long = format!("/{}", "x".repeat(120));
        let mut raw = Raw::connect(&daemon.socket()).await;
        let mut stream = 1;
        for authority in
            ["localhost", "", "unix", "peapod", ":", "unix:/x", "a b", "%", "[", "é", &socket, &encoded, &long]
        {
            let value = [&[u8::try_from(authority.len()).unwrap()], authority.as_bytes()].concat();
            // Not remembered, under its own name, and remembered: then again, from the table.
            let plain = field(":authority", authority);
            let indexed = [&[0x01], &value[..]].concat();
            let remembered = [&[0x41], &value[..]].concat();
            for written in [plain, indexed, remembered, vec![0xbe]] {
                raw.ask(stream, &call_to(VERSION, &written)).await;
                let answer = raw.outcome(stream).await;
                let answer = answer.unwrap_or_else(|ended| panic!("{authority:?}, {written:x?}: {ended:?}"));
                assert!(String::from_utf8_lossy(&answer).contains("peapod"), "{authority:?}: {answer:x?}");
                stream += 2;
            }
        }
        // None, and the empty one of the fixed table.
        for written in [&[][..], &[0x81]] {
            raw.ask(stream, &call_to(VERSION, written)).await;
            raw.outcome(stream).await.expect("an answer");
            stream += 2;
        }
    });
}

#[test]
fn too_many_fields_are_the_requests_trouble() {
    peapod(async |daemon| {
        let mut raw = Raw::connect(&daemon.socket()).await;
        // A field of 4 KB that is remembered, then 50 000 times again in as many bytes.
        let entry = [b"\x40\x04name\x7f\xd1\x1e".as_slice(), &[b'v'; 4048]].concat();
        raw.ask(1, &[call(VERSION), entry].concat()).await;
        raw.outcome(1).await.expect("an answer");
        raw.send(&frame(HEADERS, END_STREAM, 3, &call(VERSION))).await;
        for last in [0, 0, END_HEADERS] {
            raw.send(&frame(9, last, 3, &[0xbe; 16_384])).await;
        }
        let ended = raw.outcome(3).await.expect_err("answered");
        assert!(ended.is_some_and(|frame| matches!(frame.kind, HEADERS | RESET)));
        // The connection goes on, and the table is still the client's.
        raw.ask(5, &[call(VERSION), vec![0xbe]].concat()).await;
        raw.outcome(5).await.expect("an answer");
        serves(daemon).await;
    });
}

#[test]
fn broken_rules_end_the_connection_and_nothing_else() {
    peapod(async |daemon| {
        let fields = call(VERSION);
        let cases = [
            frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            frame(HEADERS, END_HEADERS | 8, 1, &[255, 0]),
            frame(9, END_HEADERS, 1, &fields),
            [frame(HEADERS, 0, 1, &fields), frame(0, 0, 1, b"x")].concat(),
            [frame(HEADERS, 0, 1, &fields), frame(9, 0, 1, &[]).repeat(10_000)].concat(),
            frame(5, END_HEADERS, 1, &fields),
            [&[0xff, 0xff, 0xff, HEADERS, END_HEADERS, 0, 0, 0, 1][..], &[0; 64]].concat(),
        ];
        for (number, case) in cases.iter().enumerate() {
            let mut raw = Raw::connect(&daemon.socket()).await;
            raw.send(case).await;
            assert!(tokio::time::timeout(peapod_tests::default_timeout(), raw.ended()).await.is_ok(), "case {number}");
        }
        let mut other = UnixStream::connect(daemon.socket()).await.unwrap();
        other.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        // By an end or a reset: it may not have read all.
        let _ = other.read_to_end(&mut rest).await;
        serves(daemon).await;
        assert!(daemon.is_alive());
    });
}

#[test]
fn connections_without_calls_end() {
    let options = Options::new().set("grpc.idle_timeout=400ms");
    peapod_with(&options, async |daemon| {
        // One that says nothing, one that only says hello, and one that had a call.
        let mut silent = UnixStream::connect(daemon.socket()).await.unwrap();
        let greeted = Raw::connect(&daemon.socket()).await;
        let mut called = Raw::connect(&daemon.socket()).await;
        called.ask(1, &call(VERSION)).await;
        called.outcome(1).await.expect("an answer");
        let gone = async {
            let mut rest = Vec::new();
            // By an end or a reset.
            let _ = silent.read_to_end(&mut rest).await;
        };
        tokio::time::timeout(peapod_tests::default_timeout(), gone).await.expect("the silent one stays");
        greeted.ended().await;
        called.ended().await;
        // A client that was away for so long does not notice.
        let client = Client::new(daemon.socket());
        client.pods().await.unwrap();
        let before = descriptors(daemon);
        wait_for("the client's connection ends", async || descriptors(daemon) < before).await;
        client.pods().await.unwrap();
    });
}

#[test]
fn a_place_is_found_for_whoever_asks() {
    let options = Options::new().set("grpc.max_connections=40");
    peapod_with(&options, async |daemon| {
        let client = Client::new(daemon.socket());
        client.pods().await.unwrap();
        let before = descriptors(daemon);
        let mut idle = Vec::new();
        for number in 0..300 {
            idle.push(UnixStream::connect(daemon.socket()).await.unwrap());
            if number % 100 == 0 {
                serves(daemon).await;
            }
        }
        serves(daemon).await;
        let over = descriptors(daemon).saturating_sub(before);
        assert!(over <= 45, "{over} more descriptors than before");
        client.pods().await.unwrap();
        drop(idle);
        wait_for("all is given back", async || descriptors(daemon) <= before + 2).await;
    });
}

#[test]
fn a_request_that_does_not_arrive_ends() {
    let options = Options::new().set("grpc.transfer_timeout=500ms");
    peapod_with(&options, async |daemon| {
        let mut raw = Raw::connect(&daemon.socket()).await;
        // No body, half a body, and one that comes byte by byte.
        for stream in [1, 3, 5] {
            raw.send(&frame(HEADERS, END_HEADERS, stream, &call(VERSION))).await;
        }
        raw.send(&frame(0, 0, 3, &[0, 0, 0, 1, 0, 1])).await;
        let mut over = [false; 3];
        while over != [true; 3] {
            raw.send(&frame(0, 0, 5, &[0])).await;
            let frame = raw.next().await.expect("the connection goes on");
            if matches!(frame.kind, HEADERS | RESET) && frame.flags & END_STREAM != 0 || frame.kind == RESET {
                over[usize::try_from(frame.stream / 2).unwrap()] = true;
            }
        }
        raw.ask(7, &call(VERSION)).await;
        raw.outcome(7).await.expect("an answer");
    });
}

#[test]
fn errors_are_short_and_one_line() {
    peapod(async |daemon| {
        let long = format!("x\n\u{1b}[2J{}", "é\u{202e}".repeat(100_000));
        let mut refused = Vec::new();
        let request = v1::ContainerStatusRequest { container_id: long.clone(), verbose: false };
        refused.push(daemon.runtime().container_status(request).await.unwrap_err());
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: long.clone(), verbose: false };
        refused.push(daemon.runtime().pod_sandbox_status(request).await.unwrap_err());
        let mut request = daemon.pod("long").request();
        request.runtime_handler = long.clone();
        refused.push(daemon.runtime().run_pod_sandbox(request).await.unwrap_err());
        let mut request = daemon.pod("long").request();
        request.config.as_mut().unwrap().hostname = long.clone();
        refused.push(daemon.runtime().run_pod_sandbox(request).await.unwrap_err());
        let image = Some(v1::ImageSpec { image: long.clone(), ..Default::default() });
        let request = v1::PullImageRequest { image, ..Default::default() };
        refused.push(daemon.images().pull_image(request).await.unwrap_err());
        for status in &refused {
            let message = status.message();
            assert!(!message.is_empty() && message.len() <= 2048, "{} bytes", message.len());
            assert!(!message.chars().any(|c| c.is_control() || c == '\u{202e}'), "{message:?}");
            assert_ne!(status.code(), Code::ResourceExhausted, "{message}");
        }
        let log = daemon.log_tail(1000);
        assert!(log.lines().all(|line| line.len() <= 17_000 && line.starts_with("20")), "{log}");
        assert!(!log.contains('\u{1b}'));
    });
}

#[test]
fn what_a_container_says_forges_no_line_of_the_log() {
    peapod(async |daemon| {
        let pod = daemon.pod("forger").run().await;
        let forged = "/no/such\n2026-01-01T00:00:00.000000Z  INFO forged: line\u{1b}[31m";
        let refused = pod.container("main").command(&[forged]).create().await.start().await.unwrap_err();
        assert!(!refused.message().contains(['\n', '\u{1b}']), "{:?}", refused.message());
        let log = daemon.log_tail(1000);
        assert!(log.contains("forged: line"), "the runtime's words are in the log:\n{log}");
        assert!(!log.lines().any(|line| line.starts_with("2026-01-01T00:00:00")), "{log}");
        assert!(!log.contains('\u{1b}'));
    });
}
