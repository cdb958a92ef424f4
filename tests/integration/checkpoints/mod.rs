//! Checkpoints of containers, with an OCI runtime that stands in for one with CRIU; `real` has them with CRIU itself,
//! as far as this kernel and CRIU get along.

mod pods;
mod real;
mod restored;
mod stand_in;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use peapod_tests::{Container, Daemon, Options, Pod, SHELL, peapod, peapod_with, v1, wait_for, wait_some};
use tonic::{Code, Status};

use stand_in::StandIn;

/// Counts as long as it lives.
const COUNTER: &str = "rm /bin/nc; rm -r /home/old; mkdir -p /home/old/new; echo changed >/home/file
    i=0; while :; do i=$((i + 1)); echo $i >/count; echo $i; sleep 0.02; done";

async fn running<'a>(daemon: &'a Daemon, name: &str, handler: &str) -> (Pod<'a>, Container<'a>) {
    daemon.pull(SHELL).await.unwrap();
    let pod = daemon.pod(name).handler(handler).run().await;
    let container = pod.container("main").sh(COUNTER).start().await;
    container.wait_log("3").await;
    (pod, container)
}

async fn checkpoint(container: &Container<'_>, location: &Path, timeout: i64) -> Result<(), Status> {
    let location = location.to_string_lossy().into_owned();
    let request = v1::CheckpointContainerRequest { container_id: container.id.clone(), location, timeout };
    container.pod.daemon.runtime().checkpoint_container(request).await.map(drop)
}

/// It is not frozen, and was not made anew.
async fn goes_on(container: &Container<'_>) {
    // It may be being written this moment.
    let count = async || container.exec("cat /count").await.trim().parse::<u64>().unwrap_or(0);
    let before = wait_some("a count", async || Some(count().await).filter(|count| *count > 0)).await;
    wait_for("the counter goes on", async || count().await > before).await;
}

/// Nothing of a checkpoint that failed is there.
async fn taken_back(container: &Container<'_>, folder: &Path) {
    goes_on(container).await;
    let writing = container.pod.daemon.state_root().join("containers").join(&container.id).join("checkpoint");
    wait_for("nothing is left of the checkpoint", async || {
        !writing.exists() && std::fs::read_dir(folder).unwrap().count() == 0
    })
    .await;
}

fn folder(daemon: &Daemon) -> PathBuf {
    let folder = daemon.path("checkpoints");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn tar(arguments: &[&str], archive: &Path) -> String {
    let output = Command::new("tar").args(arguments).arg("-f").arg(archive).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn member(archive: &Path, name: &str) -> String {
    let output = Command::new("tar").arg("-xOf").arg(archive).arg(name).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_running_container_becomes_an_archive_and_runs_on() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, container) = running(daemon, "whole", "standin").await;
        let archive = folder(daemon).join("a.tar");
        // Whatever a link there leads to is left alone.
        std::fs::write(daemon.path("victim"), "untouched").unwrap();
        std::os::unix::fs::symlink(daemon.path("victim"), &archive).unwrap();
        checkpoint(&container, &archive, 0).await.unwrap();
        goes_on(&container).await;
        assert_eq!(std::fs::read_to_string(daemon.path("victim")).unwrap(), "untouched");
        let found = archive.symlink_metadata().unwrap();
        assert!(found.is_file());
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, 0));
        assert_eq!(std::fs::read_dir(folder(daemon)).unwrap().count(), 1);

        let names = tar(&["-t"], &archive);
        for name in ["config.dump", "spec.dump", "status", "checkpoint/inventory.img", "rootfs-diff.tar", "dump.log"] {
            assert!(names.lines().any(|line| line == name), "no {name} in:\n{names}");
        }
        // It was paused while it was written.
        let seen: serde_json::Value = serde_json::from_str(&member(&archive, "checkpoint/inventory.img")).unwrap();
        assert_eq!(seen["status"], "paused");
        let dump: serde_json::Value = serde_json::from_str(&member(&archive, "config.dump")).unwrap();
        assert_eq!((&dump["id"], &dump["name"]), (&container.id.clone().into(), &"main".into()));
        assert!(dump["rootfsImageName"].as_str().unwrap().ends_with("peapod/shell:1"), "{dump}");
        let spec: serde_json::Value = serde_json::from_str(&member(&archive, "spec.dump")).unwrap();
        assert_eq!(spec["annotations"]["io.kubernetes.cri.sandbox-name"], "whole");
        let deleted: Vec<String> = serde_json::from_str(&member(&archive, "deleted.files")).unwrap();
        assert!(deleted.contains(&"bin/nc".to_owned()), "{deleted:?}");
        let call = runtime.calls();
        for word in ["--leave-running", "--file-locks", "--tcp-established", &container.id] {
            assert!(call.contains(word), "{call}");
        }
        // Once more, in its place.
        checkpoint(&container, &archive, 10).await.unwrap();
        goes_on(&container).await;
        let why = daemon.client(&["why", &container.id]).output().await.unwrap();
        let why = String::from_utf8_lossy(&why.stdout).into_owned();
        assert!(why.contains("CheckpointContainer") && why.contains("runtime checkpoint"), "{why}");
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

#[test]
fn what_can_not_be_written_is_refused_and_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, container) = running(daemon, "refused", "standin").await;
        let folder = folder(daemon);
        for bad in ["relative.tar", "/", "/nonexistent/a.tar", &folder.to_string_lossy()] {
            let refused = checkpoint(&container, Path::new(bad), 0).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().starts_with("location: "), "{refused}");
        }
        let refused = checkpoint(&container, &folder.join("a.tar"), -1).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        let created = pod.container("created").sh("sleep 1000").create().await;
        let refused = checkpoint(&created, &folder.join("a.tar"), 0).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        let nobody =
            v1::CheckpointContainerRequest { container_id: "none".to_owned(), location: "/a".to_owned(), timeout: 0 };
        assert_eq!(daemon.runtime().checkpoint_container(nobody).await.unwrap_err().code(), Code::NotFound);

        runtime.fail("checkpoint");
        let failed = checkpoint(&container, &folder.join("a.tar"), 0).await.unwrap_err();
        for words in ["criu failed: type NOTIFY errno 0", "CRIU said: (criu/made.c:1): made to fail by its test"] {
            assert!(failed.message().contains(words), "{failed}");
        }
        taken_back(&container, &folder).await;
        runtime.heal();

        runtime.hang("checkpoint");
        let late = checkpoint(&container, &folder.join("a.tar"), 1).await.unwrap_err();
        assert!(matches!(late.code(), Code::DeadlineExceeded | Code::Unknown), "{late}");
        taken_back(&container, &folder).await;
        runtime.heal();
        checkpoint(&container, &folder.join("a.tar"), 0).await.unwrap();
    });
}

#[test]
fn one_at_a_time_and_a_stop_waits_for_none() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (_pod, container) = running(daemon, "busy", "standin").await;
        let folder = folder(daemon);
        runtime.hang("checkpoint");
        let (first, second) = (folder.join("first.tar"), folder.join("second.tar"));
        let others = async {
            wait_for("the first one hangs", async || runtime.hangs()).await;
            let refused = checkpoint(&container, &second, 0).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
            assert!(refused.message().contains("another checkpoint"), "{refused}");
            container.stop(0).await.unwrap();
        };
        let (stopped, ()) = tokio::join!(checkpoint(&container, &first, 600), others);
        assert_eq!(stopped.unwrap_err().code(), Code::FailedPrecondition);
        wait_for("nothing is left", async || std::fs::read_dir(&folder).unwrap().count() == 0).await;
    });
}

#[test]
fn the_client_leaves_and_the_container_runs_on() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (_pod, container) = running(daemon, "left", "standin").await;
        let folder = folder(daemon);
        runtime.hang("checkpoint");
        let archive = folder.join("a.tar");
        tokio::select! {
            outcome = checkpoint(&container, &archive, 600) => panic!("{outcome:?}"),
            () = wait_for("it hangs", async || runtime.hangs()) => {}
        }
        // CRIU is not killed at its work; what comes of that is for nobody.
        runtime.heal();
        taken_back(&container, &folder).await;
        checkpoint(&container, &archive, 0).await.unwrap();
        goes_on(&container).await;
    });
}

#[test]
fn the_daemon_dies_and_the_container_runs_on() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let folder = folder(daemon);
        for stage in ["checkpoint-begun", "checkpoint-paused", "checkpoint-resumed", "checkpoint-written"] {
            let (pod, container) = running(daemon, stage, "standin").await;
            daemon.kill().await;
            daemon.start_again_to_die_at(stage).await;
            let _ = checkpoint(&container, &folder.join("a.tar"), 0).await;
            wait_for(&format!("the daemon dies at {stage}"), async || !daemon.is_alive()).await;
            daemon.start_again().await;
            taken_back(&container, &folder).await;
            pod.remove().await.unwrap();
        }
        // While CRIU is at it.
        let (_pod, container) = running(daemon, "at-work", "standin").await;
        runtime.hang("checkpoint");
        let archive = folder.join("a.tar");
        tokio::select! {
            outcome = checkpoint(&container, &archive, 600) => panic!("{outcome:?}"),
            () = wait_for("it hangs", async || runtime.hangs()) => {}
        }
        daemon.kill().await;
        daemon.start_again().await;
        runtime.heal();
        taken_back(&container, &folder).await;
    });
}

#[test]
fn a_node_without_criu_says_what_to_install() {
    let tmp = tempfile::tempdir().unwrap();
    let empty = tmp.path().join("bin");
    std::fs::create_dir(&empty).unwrap();
    for program in ["sh", "env", "iptables", "ip", "modprobe"] {
        // What a daemon may look for, but no criu.
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        let found = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if !found.is_empty() {
            std::os::unix::fs::symlink(found, empty.join(program)).unwrap();
        }
    }
    let options = Options::new().started_by(format!("PATH={}; exec", empty.display()));
    peapod_with(&options, async |daemon| {
        let (_pod, container) = running(daemon, "without", "runc").await;
        let folder = folder(daemon);
        let refused = checkpoint(&container, &folder.join("a.tar"), 0).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
        assert!(refused.message().contains("install the package criu"), "{refused}");
        taken_back(&container, &folder).await;
    });
}

#[test]
fn a_runtime_without_criu_is_named() {
    peapod(async |daemon| {
        let (_pod, container) = running(daemon, "crun", "crun").await;
        let folder = folder(daemon);
        let answer = checkpoint(&container, &folder.join("a.tar"), 0).await;
        let has = Command::new(&peapod_tests::Programs::get().crun).arg("--version").output().unwrap();
        // Debian's has none.
        if !String::from_utf8_lossy(&has.stdout).contains("+CRIU") {
            let refused = answer.unwrap_err();
            assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
            assert!(refused.message().contains("crun features") && refused.message().contains("runc"), "{refused}");
        }
        goes_on(&container).await;
    });
}
