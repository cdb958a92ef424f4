//! The daemon is killed and started again; pods don't notice.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use peapod_tests::{Container, Daemon, cgroups, on_each_runtime, peapod, v1, wait_for};
use v1::ContainerState::{ContainerCreated, ContainerExited, ContainerRunning};

/// Counts into its log, ten lines a second.
const COUNT: &str = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done";

/// Where a container's shim writes down how it ended.
fn exit_file(container: &Container<'_>) -> PathBuf {
    let pod = container.pod.daemon.run_root().join("pods").join(&container.pod.id);
    pod.join("containers").join(&container.id).join("exit")
}

fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(Pid::from_raw(pid), signal).unwrap();
}

/// Whether the OCI runtime still has a container.
fn cgroup_exists(container: &Container<'_>) -> bool {
    let parents = cgroups::dirs(&container.pod.daemon.cgroup());
    parents.iter().any(|parent| parent.join(container.cgroup_name()).exists())
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

async fn everything(daemon: &Daemon) -> Vec<String> {
    let mut all = Vec::new();
    for pod in daemon.pods().await {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.id.clone(), verbose: false };
        let status = daemon.runtime().pod_sandbox_status(request).await.unwrap().into_inner().status;
        all.push(format!("{pod:?} {status:?}"));
    }
    for container in daemon.containers().await {
        let request = v1::ContainerStatusRequest { container_id: container.id.clone(), verbose: false };
        let status = daemon.runtime().container_status(request).await.unwrap().into_inner().status;
        all.push(format!("{container:?} {status:?}"));
    }
    all.sort();
    all
}

#[test]
fn a_killed_daemon_finds_everything_as_it_was() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("lasting").config(|config| config.hostname = "lasting".to_owned()).run().await;
        let alone = daemon.pod("alone").pid(v1::NamespaceMode::Container).run().await;
        let counting = pod.container("counting").sh(COUNT).start().await;
        let other = alone.container("other").sh("sleep 1000").start().await;
        let ended = pod.container("ended").sh("exit 3").start().await;
        let waiting = pod.container("waiting").sh("echo at last; sleep 1000").create().await;
        ended.wait_exit().await;
        counting.wait_log("3").await;
        let before = everything(daemon).await;
        daemon.kill().await;
        let lines = counting.log().len();
        wait_for("the log goes on", async || counting.log().len() > lines + 2).await;
        daemon.start_again().await;
        assert_eq!(everything(daemon).await, before);

        let lines = counting.log().len();
        wait_for("the log goes on", async || counting.log().len() > lines + 2).await;
        let numbers: Vec<usize> = counting.log().iter().map(|line| line.text.parse().unwrap()).collect();
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "lines are missing");
        assert_eq!(counting.exec("hostname").await, "lasting\n");
        assert_eq!(other.exec("echo hi").await, "hi\n");
        waiting.start().await.unwrap();
        waiting.wait_log("at last").await;
        counting.stop(1).await.unwrap();
        assert_eq!(counting.state().await, ContainerExited);
        // The names are taken as before.
        let taken = daemon.pod("alone").pid(v1::NamespaceMode::Container).config(|config| config.hostname.clear());
        assert_eq!(taken.try_run().await.err().unwrap().code(), tonic::Code::AlreadyExists);
    });
}

#[test]
fn exits_meanwhile_are_told_with_code_and_time() {
    peapod(async |daemon| {
        let gate = daemon.path("gate");
        std::fs::create_dir(&gate).unwrap();
        let wait = |code: u32| format!("while [ ! -e /gate/open ]; do sleep 0.02; done; exit {code}");
        let living = daemon.pod("living").run().await;
        let dying = daemon.pod("dying").run().await;
        let seven = living.container("seven").mount(&gate, "/gate").sh(&wait(7)).start().await;
        let eight = dying.container("eight").mount(&gate, "/gate").sh(&wait(8)).start().await;
        let lost = dying.container("lost").sh("sleep 1000").start().await;
        let shim = dying.shim_pid();
        daemon.kill().await;
        let from = now();
        std::fs::write(gate.join("open"), "").unwrap();
        wait_for("both have ended", async || exit_file(&seven).exists() && exit_file(&eight).exists()).await;
        let to = now();
        peapod_tests::kill(shim);
        // A shim that can't be asked: the first list does not need it.
        let held = living.shim_pid();
        signal(held, Signal::SIGSTOP);
        daemon.start_again().await;

        let ends = async || {
            for (container, code) in [(&seven, 7), (&eight, 8)] {
                let status = container.status().await;
                assert_eq!((status.state(), status.exit_code), (ContainerExited, code));
                assert_eq!(status.reason, "Error");
                assert!((from..=to).contains(&status.finished_at), "{from} {} {to}", status.finished_at);
            }
            assert!(living.is_ready().await && !dying.is_ready().await);
        };
        ends().await;
        // Recorded or not: the next daemon says the same.
        daemon.kill().await;
        daemon.start_again().await;
        ends().await;
        signal(held, Signal::SIGCONT);
        wait_for("the cgroup of the ended one is gone", async || !cgroup_exists(&seven)).await;
        ends().await;
        let status = lost.wait_exit().await;
        assert_eq!((status.exit_code, status.reason.as_str()), (255, "Unknown"));
        assert!(status.started_at > 0 && status.finished_at > status.started_at);
    });
}

#[test]
fn a_stop_goes_on_without_the_daemon() {
    peapod(async |daemon| {
        let stubborn = "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done";
        let pod = daemon.pod("stop").run().await;
        let short = pod.container("short").sh(stubborn).start().await;
        let long = pod.container("long").sh(stubborn).start().await;
        short.wait_log("up").await;
        long.wait_log("up").await;
        let both = async { tokio::join!(short.stop(1), long.stop(600)) };
        let asked = async {
            short.wait_log("asked").await;
            long.wait_log("asked").await;
            daemon.kill().await;
        };
        let (answers, ()) = tokio::join!(both, asked);
        assert!(answers.0.is_err() && answers.1.is_err(), "{answers:?}");
        wait_for("the shim has killed it at its time", async || exit_file(&short).exists()).await;
        daemon.start_again().await;
        assert_eq!(short.wait_exit().await.exit_code, 137);

        // The other one's end can only come nearer. It is not asked twice.
        assert_eq!(long.state().await, ContainerRunning);
        let later = tokio::time::timeout(Duration::from_millis(300), long.stop(3000)).await;
        assert!(later.is_err(), "{later:?}");
        long.stop(1).await.unwrap();
        assert_eq!(long.status().await.exit_code, 137);
        assert_eq!(long.log().iter().filter(|line| line.text == "asked").count(), 1);
    });
}

#[test]
fn commands_that_nobody_waits_for_are_ended() {
    peapod(async |daemon| {
        let pod = daemon.pod("exec").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let command = ["/bin/sh", "-c", "echo begun >/proc/1/root/tmp/begun 2>/dev/null; sleep 98765; true"];
        let running = || peapod_tests::processes("sleep 98765");
        let exec = container.try_exec(&command, 600);
        let killed = async {
            wait_for("the command runs", async || running() == 1).await;
            daemon.kill().await;
        };
        let (answer, ()) = tokio::join!(exec, killed);
        answer.unwrap_err();
        assert_eq!(running(), 1);
        daemon.start_again().await;
        wait_for("the command is gone", async || running() == 0).await;
        assert_eq!(container.exec("echo hi").await, "hi\n");
    });
}

#[test]
fn a_daemon_that_is_told_to_end_leaves_pods_alone() {
    peapod(async |daemon| {
        let pod = daemon.pod("left").run().await;
        let container = pod.container("main").sh(COUNT).start().await;
        let created = pod.container("created").sh("true").create().await;
        let before = everything(daemon).await;
        daemon.end_gracefully().await;
        let lines = container.log().len();
        wait_for("the log goes on", async || container.log().len() > lines + 2).await;
        daemon.start_again().await;
        assert_eq!(everything(daemon).await, before);
        assert_eq!(created.state().await, ContainerCreated);
    });
}
