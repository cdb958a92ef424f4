//! Handlers whose OCI runtime is slow to tell what it can do, is replaced, or is not configured any more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use peapod_tests::{Container, Daemon, Options, Programs, SHELL, peapod_with, v1, wait_for};
use tonic::Code;
use v1::ContainerState::{ContainerCreated, ContainerRunning};

use crate::resources::memory;

/// A program that is runc, but answers `--version` by that script.
fn write_runtime(path: &Path, version: &str) {
    let new = path.with_extension("new");
    let runc = Programs::get().runc.display();
    let script = format!("#!/bin/sh\nif [ \"$1\" = --version ]; then {version}; exit; fi\nexec {runc} \"$@\"\n");
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, path).unwrap();
}

fn with_handler(path: &Path) -> Options {
    Options::new().set(format!("runtimes.handlers.other.path={path:?}"))
}

fn is_limited(container: &Container<'_>) -> bool {
    memory(container).parse::<u64>().is_ok_and(|limit| limit < 1 << 60)
}

/// runc writes what it was told last with each update: one that was not told of -1 sets the old limit again.
async fn take_limit_off(container: &Container<'_>) {
    container.update(|limits| limits.memory_limit_in_bytes = -1).await.unwrap();
    assert!(!is_limited(container), "{}", memory(container));
    container.update(|limits| limits.cpu_shares = 512).await.unwrap();
    assert!(!is_limited(container), "{}", memory(container));
}

#[test]
fn minus_one_is_in_force_once_a_slow_runtime_has_told() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("other");
    write_runtime(&path, "exec sleep 600");
    peapod_with(&with_handler(&path), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("slow").handler("other").run().await;
        let limited =
            pod.container("main").sh("sleep 1000").resources(|limits| limits.memory_limit_in_bytes = 64 << 20);
        let container = limited.start().await;
        let refused = container.update(|limits| limits.memory_limit_in_bytes = -1).await.unwrap_err();
        assert!(refused.message().contains("--version"), "{refused:?}");
        assert_eq!(memory(&container), (64 << 20).to_string());
        // Other limits need no answer.
        container.update(|limits| limits.memory_limit_in_bytes = 32 << 20).await.unwrap();
        assert_eq!(memory(&container), (32 << 20).to_string());
        write_runtime(&path, "echo runc version 1.1.5");
        take_limit_off(&container).await;
    });
}

#[test]
fn a_handler_that_is_not_configured_any_more_spends_no_container() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("other");
    write_runtime(&path, "echo runc version 1.1.5");
    peapod_with(&with_handler(&path), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("gone").handler("other").run().await;
        let limited =
            pod.container("main").sh("sleep 1000").resources(|limits| limits.memory_limit_in_bytes = 64 << 20);
        let running = limited.start().await;
        let created = pod.container("created").sh("sleep 1000").create().await;
        daemon.kill().await;
        daemon.start_again_with(&Options::new()).await;
        let refused = [
            created.start().await.unwrap_err(),
            pod.container("other").sh("sleep 1000").try_create().await.err().expect("a handler that is gone"),
        ];
        for refused in refused {
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
            assert!(refused.message().contains("\"other\", which is not configured"), "{refused:?}");
        }
        assert_eq!(created.state().await, ContainerCreated);
        // What runs is gone on with by the runtime that made it.
        take_limit_off(&running).await;
        assert_eq!(running.exec("echo here").await, "here\n");
        daemon.kill().await;
        daemon.start_again().await;
        created.start().await.unwrap();
        assert_eq!(created.state().await, ContainerRunning);
    });
}

/// A folder that only root can change, and the daemon that has it in its PATH.
fn with_path(dir: &Path) -> Options {
    Options::new().started_by(format!("PATH={}:$PATH; exec", dir.display()))
}

fn write_program(path: &Path, script: &str, mode: u32) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What a kubelet hears of a handler of that name.
async fn is_offered(daemon: &Daemon, name: &str) -> bool {
    let status = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner();
    status.runtime_handlers.iter().any(|handler| handler.name == name)
}

/// Of such a handler, and of what is none, with the reasons.
async fn checked(daemon: &Daemon) -> String {
    let output = daemon.client(&["check", "handlers"]).output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn programs_in_path_are_handlers_as_soon_as_they_answer() {
    let tmp = tempfile::tempdir_in("/run").unwrap();
    let dir = tmp.path();
    let runc = Programs::get().runc.display();
    write_program(&dir.join("youki"), &format!("exec {runc} \"$@\""), 0o755);
    write_program(&dir.join("crun-wasm"), "exit 1", 0o755);
    write_program(&dir.join("nvidia-container-runtime"), &format!("exec {runc} \"$@\""), 0o777);
    write_program(&dir.join("containerd-shim-kata-v2"), "exit 1", 0o755);
    peapod_with(&with_path(dir), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        assert!(is_offered(daemon, "youki").await && is_offered(daemon, "crun").await);
        for name in ["crun-wasm", "nvidia", "kata"] {
            assert!(!is_offered(daemon, name).await, "{name}");
        }
        let pod = daemon.pod("found").handler("youki").run().await;
        let container = pod.container("main").sh("echo ran; sleep 1000").start().await;
        container.wait_log("ran").await;
        let refused = daemon.pod("silent").handler("crun-wasm").try_run().await.err().expect("it does not answer");
        assert!(refused.message().contains("answers neither"), "{refused:?}");
        let refused = daemon.pod("unsafe").handler("nvidia").try_run().await.err().expect("it is no handler");
        assert!(refused.message().contains("not configured"), "{refused:?}");

        let shown = checked(daemon).await;
        let youki = dir.join("youki").display().to_string();
        for part in [
            &youki[..],
            "can be changed by others than root",
            "containerd-shim-kata-v2 is none",
            "answers neither",
            "configuration   offered",
            "PATH",
        ] {
            assert!(shown.contains(part), "{part}:\n{shown}");
        }

        // Looked for again: one is mended, one is gone, and its pod stays.
        fs::set_permissions(dir.join("nvidia-container-runtime"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(dir.join("youki")).unwrap();
        daemon.reload();
        wait_for("what has changed is offered", async || {
            is_offered(daemon, "nvidia").await && !is_offered(daemon, "youki").await
        })
        .await;
        write_program(&dir.join("crun-wasm"), &format!("exec {runc} \"$@\""), 0o755);
        daemon.pod("answers").handler("crun-wasm").run().await;
        write_program(&dir.join("youki"), &format!("exec {runc} \"$@\""), 0o755);
        daemon.reload();
        wait_for("it is back", async || is_offered(daemon, "youki").await).await;
        pod.stop().await.unwrap();
    });
}

#[test]
fn nothing_is_found_where_nothing_is_looked_for() {
    let tmp = tempfile::tempdir_in("/run").unwrap();
    let runc = Programs::get().runc.display();
    write_program(&tmp.path().join("youki"), &format!("exec {runc} \"$@\""), 0o755);
    peapod_with(&with_path(tmp.path()).set("runtimes.discover=false"), async |daemon| {
        assert!(!is_offered(daemon, "youki").await && is_offered(daemon, "crun").await);
        let refused = daemon.pod("none").handler("youki").try_run().await.err().expect("it is no handler");
        assert!(refused.message().contains("configured are crun, runc"), "{refused:?}");
    });
}
