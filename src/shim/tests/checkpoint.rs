//! Checkpoints by an OCI runtime that only says what it was asked for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use peapod_shim_protocol::CHECKPOINT_OPTIONS_URL;
use peapod_shim_protocol::containerd::api;
use peapod_shim_protocol::containerd::protobuf::Message;
use peapod_shim_protocol::extension::{CheckpointOptions, PauseForRequest};
use support::{Pod, context, refusal, sh, with_runtimes};

/// A script around the runtime, whose `checkpoint` writes a file and ends as the file `ends` says. `pause` and `exec`
/// wait as long as there is a file `hold-` with their name, and say in `order` when they begin.
fn stand_in(runtime: &Path, dir: &Path) -> PathBuf {
    let path = dir.join("stand-in");
    let (runtime, dir) = (runtime.display(), dir.display());
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" != checkpoint ] || {{ : >{dir}/images/i; exit $(cat {dir}/ends); }}\n\
         case $word in pause|exec) echo $word >>{dir}/order; while [ -e {dir}/hold-$word ]; do :; done;; esac; done\n\
         exec {runtime} \"$@\"\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir(path.with_file_name("images")).unwrap();
    path
}

async fn checkpoint(pod: &Pod, dir: &Path) -> ttrpc::Result<api::Empty> {
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let options = CheckpointOptions { work: path(dir), limit_ms: 1, ..Default::default() };
    let request = api::CheckpointTaskRequest {
        id: "c1".into(),
        path: path(&dir.join("images")),
        options: support::any(CHECKPOINT_OPTIONS_URL, options.write_to_bytes().unwrap()),
        ..Default::default()
    };
    pod.task.checkpoint(context(), &request).await
}

async fn kill(pod: &mut Pod) {
    let kill = api::KillRequest { id: "c1".into(), signal: 9, all: true, ..Default::default() };
    pod.task.kill(context(), &kill).await.unwrap();
    pod.exited("c1").await;
}

/// What the stand-in's folder says of `pause` and `exec`.
struct Held<'a>(&'a Path);

impl Held<'_> {
    /// Holds the next ones, of which nothing is said yet.
    fn hold(&self, command: &str) {
        let _ = std::fs::remove_file(self.0.join("order"));
        std::fs::write(self.0.join(format!("hold-{command}")), "").unwrap();
    }

    fn release(&self, command: &str) {
        std::fs::remove_file(self.0.join(format!("hold-{command}"))).unwrap();
    }

    /// Which have begun, in their order.
    fn order(&self) -> Vec<String> {
        let order = std::fs::read_to_string(self.0.join("order")).unwrap_or_default();
        order.lines().map(str::to_owned).collect()
    }

    async fn begun(&self, commands: &[&str]) {
        while self.order() != commands {
            tokio::task::yield_now().await;
        }
    }
}

/// Long enough for a command to begin that does not wait.
async fn look_often(pod: &Pod, wanted: api::Status) {
    for _ in 0..200 {
        assert_eq!(state(pod).await, wanted);
    }
}

async fn state(pod: &Pod) -> api::Status {
    let request = api::StateRequest { id: "c1".into(), ..Default::default() };
    pod.task.state(context(), &request).await.unwrap().status.enum_value().unwrap()
}

#[test]
#[ignore = "needs root"]
fn nobody_stays_paused() {
    with_runtimes(async |mut pod| {
        let dir = tempfile::tempdir().unwrap();
        pod.runtime = stand_in(&pod.runtime, dir.path());
        pod.plain().await;
        pod.run(&sh("c1", "exec sleep 600")).await;
        std::fs::write(dir.path().join("ends"), "1").unwrap();
        let (code, text) = refusal(checkpoint(&pod, dir.path()).await);
        assert_eq!(code, ttrpc::Code::INTERNAL, "{text}");
        assert_eq!(state(&pod).await, api::Status::RUNNING);

        std::fs::write(dir.path().join("ends"), "0").unwrap();
        checkpoint(&pod, dir.path()).await.unwrap();
        assert_eq!(state(&pod).await, api::Status::PAUSED);
        assert!(dir.path().join("images/i").exists());
        // Its master says nothing more.
        while state(&pod).await != api::Status::RUNNING {
            tokio::task::yield_now().await;
        }
        checkpoint(&pod, dir.path()).await.unwrap();
        let resume = api::ResumeRequest { id: "c1".into(), ..Default::default() };
        pod.task.resume(context(), &resume).await.unwrap();
        // One that is paused stays so, whatever comes of it.
        let pause = api::PauseRequest { id: "c1".into(), ..Default::default() };
        pod.task.pause(context(), &pause).await.unwrap();
        std::fs::write(dir.path().join("ends"), "1").unwrap();
        checkpoint(&pod, dir.path()).await.unwrap_err();
        assert_eq!(state(&pod).await, api::Status::PAUSED);
        pod.task.resume(context(), &resume).await.unwrap();
        assert_eq!(state(&pod).await, api::Status::RUNNING);
        let kill = api::KillRequest { id: "c1".into(), signal: 9, all: true, ..Default::default() };
        pod.task.kill(context(), &kill).await.unwrap();
        assert_eq!(pod.exited("c1").await.code, 137);
        let (code, text) = refusal(checkpoint(&pod, dir.path()).await);
        assert_eq!(code, ttrpc::Code::FAILED_PRECONDITION, "{text}");
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn one_that_waits_for_others_does_not_wait_for_ever() {
    with_runtimes(async |mut pod| {
        let dir = tempfile::tempdir().unwrap();
        pod.runtime = stand_in(&pod.runtime, dir.path());
        pod.plain().await;
        pod.run(&sh("c1", "exec sleep 600")).await;
        let pause_for =
            |limit_ms| PauseForRequest { container_id: "c1".into(), limit_ms, ..PauseForRequest::default() };
        pod.extension.pause_for(context(), &pause_for(1)).await.unwrap();
        assert_eq!(state(&pod).await, api::Status::PAUSED);
        // Its master says nothing more.
        while state(&pod).await != api::Status::RUNNING {
            tokio::task::yield_now().await;
        }

        // Who lets it go on while it is being paused is not too early.
        let held = Held(dir.path());
        held.hold("pause");
        let resume = api::ResumeRequest { id: "c1".into(), ..Default::default() };
        let release = async {
            held.begun(&["pause"]).await;
            let resumed = pod.task.resume(context(), &resume);
            tokio::join!(resumed, async { held.release("pause") }).0
        };
        let request = pause_for(600_000);
        let (paused, resumed) = tokio::join!(pod.extension.pause_for(context(), &request), release);
        paused.unwrap();
        resumed.unwrap();
        assert_eq!(state(&pod).await, api::Status::RUNNING);

        kill(&mut pod).await;
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn no_command_begins_while_its_container_is_being_paused() {
    with_runtimes(async |mut pod| {
        let dir = tempfile::tempdir().unwrap();
        pod.runtime = stand_in(&pod.runtime, dir.path());
        pod.plain().await;
        pod.run(&sh("c1", "exec sleep 600")).await;
        let held = Held(dir.path());
        let resume = api::ResumeRequest { id: "c1".into(), ..Default::default() };
        let request = PauseForRequest { container_id: "c1".into(), limit_ms: 600_000, ..PauseForRequest::default() };
        // One that comes meanwhile begins when it goes on.
        held.hold("pause");
        drop(pod.prepare("c1", "e1", "true").await);
        let release = async {
            held.begun(&["pause"]).await;
            let goes_on = async {
                // It would have begun by then.
                look_often(&pod, api::Status::RUNNING).await;
                held.release("pause");
                while state(&pod).await != api::Status::PAUSED {
                    tokio::task::yield_now().await;
                }
                assert_eq!(held.order(), ["pause"]);
                pod.task.resume(context(), &resume).await
            };
            tokio::join!(pod.start_exec("c1", "e1"), goes_on)
        };
        let (paused, (begun, resumed)) = tokio::join!(pod.extension.pause_for(context(), &request), release);
        paused.unwrap();
        resumed.unwrap();
        begun.unwrap();
        pod.wait("c1", "e1").await;
        held.begun(&["pause", "exec"]).await;

        // A pause waits for a command that is being begun.
        held.hold("exec");
        drop(pod.prepare("c1", "e2", "true").await);
        let release = async {
            held.begun(&["exec"]).await;
            let goes_on = async {
                look_often(&pod, api::Status::RUNNING).await;
                assert_eq!(held.order(), ["exec"]);
                held.release("exec");
            };
            tokio::join!(pod.extension.pause_for(context(), &request), goes_on).0
        };
        let (begun, paused) = tokio::join!(pod.start_exec("c1", "e2"), release);
        begun.unwrap();
        paused.unwrap();
        assert_eq!(state(&pod).await, api::Status::PAUSED);
        pod.task.resume(context(), &resume).await.unwrap();
        pod.wait("c1", "e2").await;

        // But not for one that hangs.
        held.hold("exec");
        drop(pod.prepare("c1", "e3", "true").await);
        let release = async {
            held.begun(&["exec"]).await;
            let refused = refusal(pod.extension.pause_for(context(), &request).await);
            held.release("exec");
            refused
        };
        let (begun, (code, text)) = tokio::join!(pod.start_exec("c1", "e3"), release);
        begun.unwrap();
        assert_eq!(code, ttrpc::Code::ABORTED, "{text}");
        assert!(text.contains("a command is being begun"), "{text}");
        assert_eq!(state(&pod).await, api::Status::RUNNING);
        pod.wait("c1", "e3").await;
        kill(&mut pod).await;
        pod.finish().await;
    });
}
