//! Calls of an OCI runtime that hangs end with what they are made for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peapod_shim_protocol::containerd::api;
use support::{Pod, context, refusal, sh, wait_for, with_runtimes};

/// Longer than an interrupted call goes on, far shorter than one that is not.
const SOON: Duration = Duration::from_secs(20);

/// A script around the runtime, in which `update` says so and hangs.
fn hanging(runtime: &Path, dir: &Path) -> PathBuf {
    let (path, called) = (dir.join("runtime-that-hangs"), dir.join("called"));
    let (runtime, called) = (runtime.display(), called.display());
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" != update ] || {{ : >{called}; sleep 1000; }}; done\nexec {runtime} \"$@\"\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

async fn update(pod: &Pod) -> (ttrpc::Code, String) {
    let request = api::UpdateTaskRequest {
        id: "c1".into(),
        resources: support::any(peapod_shim_protocol::RESOURCES_URL, br#"{"memory":{"limit":67108864}}"#.to_vec()),
        ..Default::default()
    };
    let began = Instant::now();
    let refused = refusal(pod.task.update(context(), &request).await);
    assert!(began.elapsed() < SOON, "{refused:?} after {:?}", began.elapsed());
    refused
}

#[test]
#[ignore = "needs root"]
fn an_update_that_hangs_ends_with_its_container() {
    with_runtimes(async |mut pod| {
        let scripts = tempfile::tempdir().unwrap();
        pod.runtime = hanging(&pod.runtime, scripts.path());
        pod.plain().await;
        pod.run(&sh("c1", "exec sleep 600")).await;
        let end = async {
            let called = scripts.path().join("called");
            tokio::task::spawn_blocking(move || wait_for("update is called", || called.exists())).await.unwrap();
            let request = api::KillRequest { id: "c1".into(), signal: 9, all: true, ..Default::default() };
            pod.task.kill(context(), &request).await.unwrap();
        };
        let ((code, text), ()) = tokio::join!(update(&pod), end);
        assert_eq!(code, ttrpc::Code::FAILED_PRECONDITION, "{text}");
        assert_eq!(pod.exited("c1").await.code, 137);
        // One that comes late does not begin.
        let (code, text) = update(&pod).await;
        assert_eq!(
            (code, text.as_str()),
            (ttrpc::Code::FAILED_PRECONDITION, "container \"c1\" is exited, not running")
        );
        pod.finish().await;
    });
}
