//! The daemon is killed at each stage of what it does; started again, it is asked for the same once more, and in the
//! end nothing is left of the pod. Pods have the stage's name, so that the daemon's log shows which one failed.
//!
//! The stages are the calls of `fail_point` in the code: a debug build dies there, as by `kill -9`.

use nix::sys::signal::Signal;
use peapod_tests::{Container, ContainerBuilder, Daemon, Pod, SHELL, on_each_runtime, peapod, processes, v1, wait_for};
use v1::ContainerState::{ContainerCreated, ContainerExited, ContainerRunning};

use crate::resources::memory;

const RUN_POD: &[&str] = &[
    "pod-intent",
    "pod-folder",
    "shim-socket",
    "shim-started",
    "network-recorded",
    "network-pinned",
    "network-linked",
    "network-made",
    "network-complete",
    "pod-equipped",
    "pod-files",
    "pod-isolated",
    "pod-ready",
];
const CREATE: &[&str] = &["container-leased", "container-checked", "container-kept", "container-recorded"];
const START: &[&str] = &["start-recorded", "start-laid-out", "start-created", "start-started", "start-running"];
const EXEC: &[&str] = &["exec-piped", "exec-asked", "exec-started", "exec-ended"];
const UPDATE: &[&str] = &["update-recorded", "update-made"];
const STOP: &[&str] = &["stop-asked", "stop-sent", "exit-recorded", "exit-cleaned"];
const REMOVE: &[&str] = &["container-deleted", "container-folder-gone", "container-released", "container-gone"];
const STOP_POD: &[&str] = &["pod-killed", "pod-shim-ended", "network-undone", "pod-released", "pod-stopped"];
const REMOVE_POD: &[&str] = &["exit-recorded", "container-released", "pod-files-gone", "pod-gone"];
const PULL: &[&str] =
    &["pull-manifest", "pull-scratch", "pull-unpacked", "pull-layers", "pull-placed", "pull-recorded"];

/// The daemon dies at the stage while `call` waits for its answer; then there is a new one.
pub(crate) async fn die_at<T>(daemon: &Daemon, stage: &str, call: impl AsyncFnOnce() -> Result<T, tonic::Status>) {
    daemon.kill().await;
    daemon.start_again_to_die_at(stage).await;
    // It may have been answered before the daemon died.
    let _ = call().await;
    wait_for(&format!("the daemon dies at {stage}"), async || !daemon.is_alive()).await;
    daemon.start_again().await;
}

fn main_container<'a>(pod: &Pod<'a>) -> ContainerBuilder<'a> {
    pod.container("main").sh("trap '' TERM; echo up; while :; do sleep 0.05; done")
}

/// A pod with a running container.
async fn running<'a>(daemon: &'a Daemon, stage: &str) -> (Pod<'a>, Container<'a>) {
    let pod = daemon.pod(stage).port(80, 31999).run().await;
    let container = main_container(&pod).start().await;
    (pod, container)
}

fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
}

async fn remove(pod: &Pod<'_>) {
    pod.remove().await.unwrap();
    assert!(pod.daemon.pods().await.is_empty() && pod.daemon.containers().await.is_empty());
    pod.daemon.nothing_left().await;
}

#[test]
fn while_limits_are_changed() {
    peapod(async |daemon| {
        for stage in UPDATE {
            let (pod, container) = running(daemon, stage).await;
            let update = async || container.update(|limits| limits.memory_limit_in_bytes = 64 << 20).await;
            die_at(daemon, stage, update).await;
            // Nobody has asked again.
            wait_for("the limit is recorded", async || {
                container.status().await.resources.unwrap().linux.unwrap().memory_limit_in_bytes == 64 << 20
            })
            .await;
            assert_eq!(memory(&container), (64 << 20).to_string());
            update().await.unwrap();
            remove(&pod).await;
        }
    });
}

#[test]
fn while_a_pod_is_made() {
    peapod(async |daemon| {
        for stage in RUN_POD {
            let pod = daemon.pod(stage).port(80, 31999);
            die_at(daemon, stage, async || pod.clone().try_run().await.map(drop)).await;
            let pod = pod.run().await;
            assert_eq!(daemon.pods().await.len(), 1);
            assert!(pod.is_ready().await);
            remove(&pod).await;
        }
    });
}

#[test]
fn while_a_half_made_pod_is_forgotten() {
    peapod(async |daemon| {
        // Nobody asks for it again.
        for stage in RUN_POD.iter().filter(|stage| **stage != "pod-ready") {
            let pod = daemon.pod(stage).port(80, 31999);
            die_at(daemon, stage, async || pod.try_run().await.map(drop)).await;
            daemon.nothing_left().await;
            assert!(daemon.pods().await.is_empty());
        }
    });
}

#[test]
fn while_a_container_is_created() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        for stage in CREATE {
            let pod = daemon.pod(stage).run().await;
            die_at(daemon, stage, async || main_container(&pod).try_create().await).await;
            // A retry after this one gets what nobody was told of.
            let container = main_container(&pod).create().await;
            assert_eq!(daemon.containers().await.len(), 1);
            container.start().await.unwrap();
            container.wait_log("up").await;
            remove(&pod).await;
        }
    });
}

#[test]
fn while_a_container_is_started() {
    on_each_runtime(async |daemon| {
        for stage in START {
            let pod = daemon.pod(stage).run().await;
            let container = main_container(&pod).create().await;
            die_at(daemon, stage, async || container.start().await).await;
            // Taken back or carried through, whatever came first; then it runs.
            wait_for("the container runs", async || {
                assert!([ContainerCreated, ContainerRunning].contains(&container.state().await));
                container.start().await.is_ok()
            })
            .await;
            container.wait_log("up").await;
            assert_eq!(container.exec("echo hi").await, "hi\n");
            container.stop(0).await.unwrap();
            container.remove().await.unwrap();
            remove(&pod).await;
        }
    });
}

#[test]
fn while_a_start_is_taken_back() {
    on_each_runtime(async |daemon| {
        // Deleted in the shim, or only killed there: that is held up, so that the daemon dies in the middle of it.
        for deleted in [true, false] {
            let pod = daemon.pod("twice").run().await;
            let container = main_container(&pod).create().await;
            let shim = pod.shim_pid();
            daemon.kill().await;
            daemon.start_again_to_die_at("start-created").await;
            container.start().await.unwrap_err();
            wait_for("the daemon dies", async || !daemon.is_alive()).await;
            signal(shim, Signal::SIGSTOP);
            if deleted {
                daemon.start_again_to_die_at("start-given-up").await;
                signal(shim, Signal::SIGCONT);
                wait_for("the daemon dies again", async || !daemon.is_alive()).await;
            } else {
                // As the call does it whose answer nobody hears: the exit is written down, of a container that never
                // started.
                signal(shim, Signal::SIGCONT);
                let bundle = daemon.run_root().join("pods").join(&pod.id).join("containers").join(&container.id);
                let pid = std::fs::read_to_string(bundle.join("pid")).unwrap();
                peapod_tests::kill(pid.trim().parse().unwrap());
                wait_for("its end is written down", async || bundle.join("exit").exists()).await;
            }
            daemon.start_again().await;
            container.start().await.unwrap();
            container.wait_log("up").await;
            assert_eq!(container.exec("echo hi").await, "hi\n");
            remove(&pod).await;
        }
    });
}

#[test]
fn while_a_command_runs() {
    on_each_runtime(async |daemon| {
        let (pod, container) = running(daemon, "exec").await;
        let folder = daemon.run_root().join("pods").join(&pod.id).join("containers").join(&container.id).join("exec");
        for stage in EXEC {
            // The last stage comes only when it has ended.
            let command = if *stage == "exec-ended" { "sleep 0" } else { "sleep 43210" };
            die_at(daemon, stage, async || container.try_exec(&["sh", "-c", command], 60).await).await;
            wait_for("nothing is left of the command", async || {
                processes("sleep 43210") == 0 && std::fs::read_dir(&folder).unwrap().count() == 0
            })
            .await;
            assert_eq!(container.exec("echo hi").await, "hi\n");
        }
        remove(&pod).await;
    });
}

#[test]
fn while_a_container_ends() {
    on_each_runtime(async |daemon| {
        for stage in STOP {
            let (pod, container) = running(daemon, stage).await;
            container.wait_log("up").await;
            die_at(daemon, stage, async || container.stop(1).await).await;
            container.stop(1).await.unwrap();
            let status = container.status().await;
            assert_eq!((status.state(), status.exit_code), (ContainerExited, 137));
            assert!(pod.is_ready().await);
            remove(&pod).await;
        }
    });
}

#[test]
fn while_a_container_is_removed() {
    on_each_runtime(async |daemon| {
        for stage in REMOVE {
            let (pod, container) = running(daemon, stage).await;
            die_at(daemon, stage, async || container.remove().await).await;
            container.remove().await.unwrap();
            assert!(daemon.containers().await.is_empty());
            // Its name is free.
            main_container(&pod).start().await;
            remove(&pod).await;
        }
    });
}

#[test]
fn while_a_pod_is_stopped() {
    on_each_runtime(async |daemon| {
        for stage in STOP_POD {
            let (pod, container) = running(daemon, stage).await;
            die_at(daemon, stage, async || pod.stop().await).await;
            pod.stop().await.unwrap();
            assert!(!pod.is_ready().await);
            assert_eq!(container.status().await.exit_code, 137);
            // Its address and port are free.
            let next = daemon.pod("next").port(80, 31999).run().await;
            pod.remove().await.unwrap();
            remove(&next).await;
        }
    });
}

/// No pod init ends there, so nothing but its shim tells that the pod was stopped.
#[test]
fn while_a_pod_without_init_is_stopped_and_nobody_asks_again() {
    peapod(async |daemon| {
        let pod = daemon.pod("own").pid(v1::NamespaceMode::Container).run().await;
        let own = |security: &mut v1::LinuxContainerSecurityContext| {
            security.namespace_options.get_or_insert_default().pid = v1::NamespaceMode::Container.into();
        };
        let container = pod.container("main").sh("sleep 1000").security(own).start().await;
        die_at(daemon, "pod-killed", async || pod.stop().await).await;
        wait_for("the pod is not ready", async || !pod.is_ready().await).await;
        assert_eq!(container.wait_exit().await.exit_code, 137);
        remove(&pod).await;
    });
}

#[test]
fn while_a_pod_is_removed() {
    peapod(async |daemon| {
        for stage in STOP_POD.iter().chain(REMOVE_POD) {
            let (pod, _) = running(daemon, stage).await;
            die_at(daemon, stage, async || pod.remove().await).await;
            remove(&pod).await;
        }
    });
}

#[test]
fn while_an_image_is_pulled_and_removed() {
    peapod(async |daemon| {
        for stage in PULL {
            die_at(daemon, stage, async || daemon.pull(SHELL).await).await;
            daemon.pull(SHELL).await.unwrap();
            let pod = daemon.pod(stage).run().await;
            assert_eq!(pod.container("main").sh("echo whole").output().await, "whole\n");
            remove(&pod).await;
            remove_image(daemon).await.unwrap();
        }
        daemon.pull(SHELL).await.unwrap();
        die_at(daemon, "sweep-recorded", async || remove_image(daemon).await).await;
        assert!(daemon.image(SHELL).await.is_none());
        daemon.nothing_left().await;
        daemon.pull(SHELL).await.unwrap();
    });
}

async fn remove_image(daemon: &Daemon) -> Result<(), tonic::Status> {
    let image = v1::ImageSpec { image: peapod_tests::fixture(SHELL), ..Default::default() };
    daemon.images().remove_image(v1::RemoveImageRequest { image: Some(image) }).await.map(drop)
}
