//! The run root is wiped under a dead daemon while pods run: the records alone lead to what is left of them.

use std::path::Path;

use nix::mount::{MntFlags, umount2};
use peapod_tests::{Daemon, Pod, on_each_runtime, processes, v1, wait_for};
use v1::ContainerState::{ContainerCreated, ContainerExited};

/// A command line that nothing else has.
const SLEEP: &str = "sleep 56789";

/// Everything that is mounted there goes out of sight, the run root's own tmpfs too; processes that use it still do.
fn unmount_all(run_root: &Path) {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut below: Vec<&str> = text.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    below.retain(|target| target.starts_with(run_root.to_str().unwrap()));
    for target in below.iter().rev() {
        umount2(*target, MntFlags::MNT_DETACH).unwrap();
    }
}

/// As `rm -rf` does it: mount points stay.
fn remove_files(run_root: &Path) {
    for entry in std::fs::read_dir(run_root).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            let _ = std::process::Command::new("rm").arg("-rf").arg(entry.path()).output().unwrap();
        } else {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// A shim's number, unless there is none.
fn alive(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

async fn over(pod: &Pod<'_>, shims: &[i32]) {
    wait_for("all that ran is gone", async || processes(SLEEP) == 0 && !shims.iter().any(|pid| alive(*pid))).await;
    assert!(!pod.is_ready().await);
}

async fn wiped_by(daemon: &Daemon, wipe: impl Fn(&Path)) {
    let one = daemon.pod("one").port(80, 31777).run().await;
    let two = daemon.pod("two").pid(v1::NamespaceMode::Container).run().await;
    let running = one.container("running").sh(&format!("{SLEEP} & {SLEEP}")).start().await;
    let other = two.container("other").sh(SLEEP).start().await;
    let waiting = one.container("waiting").sh("true").create().await;
    let ended = one.container("ended").sh("exit 4").start().await;
    let before = ended.wait_exit().await;
    let shims = [one.shim_pid(), two.shim_pid()];
    // And one that was never finished.
    daemon.kill().await;
    daemon.start_again_to_die_at("pod-isolated").await;
    let half = daemon.pod("half");
    let _ = half.clone().try_run().await;
    wait_for("the daemon dies", async || !daemon.is_alive()).await;

    wipe(&daemon.run_root());
    daemon.start_again().await;
    // The first list.
    for pod in daemon.pods().await {
        assert_eq!(pod.state(), v1::PodSandboxState::SandboxNotready);
    }
    over(&one, &shims).await;
    over(&two, &shims).await;
    for container in [&running, &other] {
        let status = container.wait_exit().await;
        assert_eq!((status.state(), status.exit_code), (ContainerExited, 255));
        assert_eq!(status.reason, "Unknown");
    }
    assert_eq!((ended.status().await, waiting.state().await), (before, ContainerCreated));
    half.run().await.remove().await.unwrap();

    // As the kubelet goes on.
    one.stop().await.unwrap();
    let next = daemon.pod("one").config(|config| config.metadata.as_mut().unwrap().attempt = 1);
    let next = next.port(80, 31777).run().await;
    let container = next.container("main").sh("echo new").start().await;
    assert_eq!(container.wait_exit().await.exit_code, 0);
    for pod in [one, two, next] {
        pod.remove().await.unwrap();
    }
    daemon.nothing_left().await;
}

#[test]
fn pods_of_a_wiped_run_root_are_over() {
    on_each_runtime(async |daemon| {
        wiped_by(daemon, unmount_all).await;
        wiped_by(daemon, remove_files).await;
    });
}
