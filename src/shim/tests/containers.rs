//! Containers with real OCI runtimes: run, log, stop, exec, end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use peapod_shim_protocol::containerd::api;
use peapod_shim_protocol::exit::Exit;
use peapod_shim_protocol::extension;
use support::{LIMIT, context, refusal, sh, wait_for, with_runtimes};

const TERM: u32 = 15;
const KILL: u32 = 9;

#[test]
#[ignore = "needs root"]
fn runs_logs_and_records() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let pid = pod.run(&sh("c1", "echo out; echo err >&2; sleep 0.05; printf tail; exit 3")).await;
        assert!(pid > 0);
        let exited = pod.exited("c1").await;
        assert_eq!((exited.code, exited.signal, exited.oom), (3, 0, false));
        assert!(exited.started_at > 0 && exited.finished_at >= exited.started_at);
        let record = std::fs::read_to_string(pod.bundle("c1").join(Exit::FILE)).unwrap();
        let record = Exit::parse(&record).unwrap();
        assert_eq!((record.code, record.started_at, record.finished_at), (3, exited.started_at, exited.finished_at));
        let mut lines = pod.lines("c1");
        assert_eq!(lines.pop().as_deref(), Some("stdout P tail"));
        lines.sort();
        assert_eq!(lines, ["stderr F err", "stdout F out"]);
        assert_eq!(pod.wait("c1", "").await, 3);
        let deleted = pod.delete("c1", "").await.unwrap();
        assert_eq!((deleted.pid, deleted.exit_status), (pid, 3));
        assert_eq!(refusal(pod.delete("c1", "").await).0, ttrpc::Code::NOT_FOUND);
        assert!(!pod.cgroup("c1").exists());
        pod.assert_clean();
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn stops_by_signal_and_kills_at_the_deadline() {
    with_runtimes(async |pod| {
        pod.plain().await;
        pod.run(&sh("gentle", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done")).await;
        wait_for("line", || pod.lines("gentle").len() == 1);
        pod.stop("gentle", TERM, Duration::from_secs(60)).await;
        assert_eq!(pod.exited("gentle").await.code, 7);

        // A deadline may only come nearer, and the children go too.
        pod.run(&sh("deaf", "trap '' TERM; sleep 600 & echo ready; wait; wait; sleep 600")).await;
        wait_for("line", || pod.lines("deaf").len() == 1);
        pod.stop("deaf", TERM, Duration::from_millis(300)).await;
        pod.stop("deaf", TERM, Duration::from_secs(600)).await;
        let start = Instant::now();
        let exited = pod.exited("deaf").await;
        assert!(start.elapsed() < LIMIT / 2);
        assert_eq!((exited.code, exited.signal), (137, KILL));
        assert!(pod.cgroup("deaf").is_empty().unwrap());
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn execs() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let refused = pod.start_exec("c1", "e0").await;
        assert_eq!(refusal(refused).0, ttrpc::Code::NOT_FOUND);
        pod.run(&sh("c1", "exec sleep 600")).await;
        let mut output = pod.prepare("c1", "e1", "echo hello; exit 4").await;
        let pid = pod.start_exec("c1", "e1").await.unwrap();
        assert_eq!(pod.wait("c1", "e1").await, 4);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello\n");
        assert_eq!(pod.delete("c1", "e1").await.unwrap().pid, pid);
        assert_eq!(refusal(pod.delete("c1", "e1").await).0, ttrpc::Code::NOT_FOUND);

        // On a time-out everything of the exec's session goes, and nothing else.
        let _output = pod.prepare("c1", "e2", "sleep 601 & sleep 602 & sleep 603; true").await;
        pod.start_exec("c1", "e2").await.unwrap();
        wait_for("children", || pod.cgroup("c1").pids().unwrap().len() == 5);
        let kill =
            api::KillRequest { id: "c1".into(), exec_id: "e2".into(), signal: KILL, all: true, ..Default::default() };
        pod.task.kill(context(), &kill).await.unwrap();
        assert_eq!(pod.wait("c1", "e2").await, 137);
        wait_for("killed children", || pod.cgroup("c1").pids().unwrap().len() == 1);
        pod.delete("c1", "e2").await.unwrap();

        // The runtime's words, and nothing left of it.
        let _output = pod.prepare("c1", "e3", "true").await;
        let mut bad = pod.prepare("c1", "e4", "x").await;
        pod.start_exec("c1", "e3").await.unwrap();
        let request = api::ExecProcessRequest {
            id: "c1".into(),
            exec_id: "e5".into(),
            spec: support::any(
                peapod_shim_protocol::PROCESS_URL,
                br#"{"args":["/no/such/program"],"cwd":"/","user":{"uid":0,"gid":0}}"#.to_vec(),
            ),
            ..Default::default()
        };
        pod.task.exec(context(), &request).await.unwrap();
        let (_, words) = refusal(pod.start_exec("c1", "e5").await);
        assert!(words.contains("/no/such/program"), "{words}");
        assert_eq!(refusal(pod.delete("c1", "e5").await).0, ttrpc::Code::NOT_FOUND);
        assert_eq!(bad.read(&mut [0; 8]).unwrap(), 0);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_command_that_is_killed_while_it_starts_is_killed() {
    with_runtimes(async |pod| {
        pod.plain().await;
        pod.run(&sh("c1", "exec sleep 600")).await;
        for round in 0..16 {
            let exec = format!("e{round}");
            let _output = pod.prepare("c1", &exec, "sleep 601 & sleep 602").await;
            // Who asked for it leaves at some moment of the start.
            let moment = Duration::from_micros(200 * (1 << (round / 2)));
            drop(tokio::time::timeout(moment, pod.start_exec("c1", &exec)).await);
            let (id, exec_id) = ("c1".to_owned(), exec.clone());
            let kill = api::KillRequest { id, exec_id, signal: KILL, all: true, ..Default::default() };
            drop(pod.task.kill(context(), &kill).await);
            // Nothing more is asked for: it ends and is reaped all the same.
            pod.delete("c1", &exec).await.unwrap();
            assert_eq!(refusal(pod.start_exec("c1", &exec).await).0, ttrpc::Code::NOT_FOUND);
        }
        wait_for("the end of all commands", || pod.children() == 1);
        // What the shim is not the parent of is still listed while it dies.
        wait_for("all processes but the first to go", || pod.cgroup("c1").pids().unwrap().len() == 1);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn failed_creates_and_starts_leave_nothing() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let mut plan = sh("c1", "true");
        plan.args = vec!["/no/such/program".to_owned()];
        let created = pod.task.create(context(), &pod.create_request(&plan)).await;
        let words = match created {
            Err(error) => refusal::<()>(Err(error)).1,
            Ok(_) => refusal(pod.start_exec("c1", "").await).1,
        };
        assert!(words.contains("/no/such/program"), "{words}");
        assert_eq!(refusal(pod.delete("c1", "").await).0, ttrpc::Code::NOT_FOUND);
        pod.assert_clean();
        assert!(!pod.bundle("c1").join(Exit::FILE).exists());
        // The same id is free again.
        pod.run(&sh("c1", "true")).await;
        assert_eq!(pod.exited("c1").await.code, 0);

        let mut request = pod.create_request(&sh("c2", "true"));
        request.stdout = "binary:///x".to_owned();
        let (code, words) = refusal(pod.task.create(context(), &request).await);
        assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT);
        assert!(words.contains("stdout") && words.contains("binary:///x"), "{words}");
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn out_of_memory_is_seen() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let mut plan = sh("c1", "head -c 200000000 /dev/zero | tail; exit 1");
        plan.memory = Some(20 << 20);
        pod.run(&plan).await;
        let exited = pod.exited("c1").await;
        assert!(exited.oom, "{exited:?}");
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn reopens_logs_without_losing_lines() {
    with_runtimes(async |pod| {
        pod.plain().await;
        pod.run(&sh("c1", "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done")).await;
        let old = pod.path().join("old.log");
        wait_for("line", || pod.lines("c1").len() > 10);
        std::fs::rename(pod.log("c1"), &old).unwrap();
        let request = extension::ReopenLogRequest { container_id: "c1".into(), ..Default::default() };
        pod.extension.reopen_log(context(), &request).await.unwrap();
        pod.exited("c1").await;
        let text = std::fs::read_to_string(&old).unwrap() + &std::fs::read_to_string(pod.log("c1")).unwrap();
        let numbers: Vec<usize> = text.lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..2000).collect::<Vec<_>>());
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn terminals_and_input() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let fifo = pod.path().join("in.fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut plan = sh("c1", "read line; echo got $line; cat; echo end");
        plan.stdin = fifo.to_string_lossy().into_owned();
        pod.run(&plan).await;
        std::fs::write(&fifo, "one\n").unwrap();
        wait_for("answer", || pod.lines("c1") == ["stdout F got one"]);
        // Another writer may come; the input ends when the master says so.
        std::fs::write(&fifo, "two\n").unwrap();
        wait_for("answer", || pod.lines("c1").len() == 2);
        let close = api::CloseIORequest { id: "c1".into(), stdin: true, ..Default::default() };
        pod.task.close_io(context(), &close).await.unwrap();
        assert_eq!(pod.exited("c1").await.code, 0);
        assert_eq!(pod.lines("c1"), ["stdout F got one", "stdout F two", "stdout F end"]);

        let mut plan = sh(
            "c2",
            "[ -t 0 ] && stty size; while [ \"$(stty size)\" = '0 0' ]; do sleep 0.01; done; stty size; echo err >&2",
        );
        plan.terminal = true;
        pod.run(&plan).await;
        wait_for("size", || pod.lines("c2").len() == 1);
        let resize = api::ResizePtyRequest { id: "c2".into(), width: 80, height: 25, ..Default::default() };
        pod.task.resize_pty(context(), &resize).await.unwrap();
        assert_eq!(pod.exited("c2").await.code, 0);
        assert_eq!(pod.lines("c2"), ["stdout F 0 0\r", "stdout F 25 80\r", "stdout F err\r"]);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn states_pauses_updates() {
    with_runtimes(async |pod| {
        pod.plain().await;
        pod.task.create(context(), &pod.create_request(&sh("c1", "sleep 600"))).await.unwrap();
        let state = async || {
            let request = api::StateRequest { id: "c1".into(), ..Default::default() };
            pod.task.state(context(), &request).await.unwrap().status.unwrap()
        };
        assert_eq!(state().await, api::Status::CREATED);
        assert_eq!(
            refusal(pod.task.create(context(), &pod.create_request(&sh("c1", ""))).await).0,
            ttrpc::Code::ALREADY_EXISTS
        );
        pod.start_exec("c1", "").await.unwrap();
        assert_eq!(state().await, api::Status::RUNNING);
        assert_eq!(refusal(pod.start_exec("c1", "").await).0, ttrpc::Code::FAILED_PRECONDITION);
        assert_eq!(refusal(pod.delete("c1", "").await).0, ttrpc::Code::FAILED_PRECONDITION);
        let pause = api::PauseRequest { id: "c1".into(), ..Default::default() };
        pod.task.pause(context(), &pause).await.unwrap();
        assert_eq!(state().await, api::Status::PAUSED);
        let resume = api::ResumeRequest { id: "c1".into(), ..Default::default() };
        pod.task.resume(context(), &resume).await.unwrap();
        let update = api::UpdateTaskRequest {
            id: "c1".into(),
            resources: support::any(peapod_shim_protocol::RESOURCES_URL, br#"{"memory":{"limit":67108864}}"#.to_vec()),
            ..Default::default()
        };
        pod.task.update(context(), &update).await.unwrap();
        assert_eq!(
            pod.cgroup("c1").open().stats(peapod_cgroup::StatsPart::Usage).unwrap().memory.limit,
            Some(64 << 20)
        );
        let checkpoint = api::CheckpointTaskRequest { id: "c1".into(), ..Default::default() };
        assert_eq!(refusal(pod.task.checkpoint(context(), &checkpoint).await).0, ttrpc::Code::INVALID_ARGUMENT);
        pod.stop("c1", TERM, Duration::ZERO).await;
        assert_eq!(pod.exited("c1").await.code, 137);
        assert_eq!(state().await, api::Status::STOPPED);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn memory_stays_flat() {
    with_runtimes(async |pod| {
        pod.plain().await;
        pod.run(&sh("c1", "exec sleep 600")).await;
        let mut early = 0;
        for round in 0..150 {
            let exec = format!("e{round}");
            drop(pod.prepare("c1", &exec, if round % 2 == 0 { "true" } else { "sleep 600 & sleep 600" }).await);
            pod.start_exec("c1", &exec).await.unwrap();
            if round % 2 == 1 {
                let (id, exec_id) = ("c1".to_owned(), exec.clone());
                let kill = api::KillRequest { id, exec_id, signal: KILL, all: true, ..Default::default() };
                pod.task.kill(context(), &kill).await.unwrap();
            }
            pod.wait("c1", &exec).await;
            pod.delete("c1", &exec).await.unwrap();
            if round == 50 {
                early = pod.memory();
            }
        }
        let late = pod.memory();
        println!("{early} kB after 50 execs, {late} kB after 150");
        assert!(late <= early + 128, "{early} kB became {late} kB");
        pod.finish().await;
    });
}
