//! What an OCI runtime says when it fails, word for word, whatever it was called for and whoever called it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use peapod_shim_protocol::containerd::api;
use support::{Pod, context, refusal, sh, with_runtimes};

/// A script around the runtime, which fails an action for which there is a script of that name beside it.
fn wrapped(runtime: &Path, dir: &Path) -> PathBuf {
    let path = dir.join("runtime-that-fails");
    let script = format!(
        "#!/bin/sh\nlog=\nprevious=\nfor argument in \"$@\"; do\n  [ \"$previous\" = --log ] && log=$argument\n  \
         [ -e {dir}/fail.\"$argument\" ] && {{ . {dir}/fail.\"$argument\"; exit 3; }}\n  previous=$argument\ndone\n\
         exec {runtime} \"$@\"\n",
        dir = dir.display(),
        runtime = runtime.display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn fail(dir: &Path, action: &str, script: &str) {
    std::fs::write(dir.join(format!("fail.{action}")), script).unwrap();
}

#[test]
#[ignore = "needs root"]
fn a_runtimes_message_arrives_word_for_word() {
    with_runtimes(async |mut pod| {
        let scripts = tempfile::tempdir().unwrap();
        pod.runtime = wrapped(&pod.runtime, scripts.path());
        pod.plain().await;
        fail(scripts.path(), "create", r#"echo '{"level":"error","msg":"no \"way\" to create"}' >>"$log""#);
        let request = pod.create_request(&sh("c1", "exec sleep 600"));
        let (code, text) = refusal(pod.task.create(context(), &request).await);
        assert_eq!((code, text.as_str()), (ttrpc::Code::INTERNAL, "runtime-that-fails create: no \"way\" to create"));
        std::fs::remove_file(scripts.path().join("fail.create")).unwrap();
        pod.run(&sh("c1", "exec sleep 600")).await;

        fail(scripts.path(), "pause", "echo said aloud >&2; echo and more >&2");
        let request = api::PauseRequest { id: "c1".into(), ..Default::default() };
        let (_, text) = refusal(pod.task.pause(context(), &request).await);
        assert_eq!(text, "runtime-that-fails pause: said aloud\nand more");

        fail(scripts.path(), "update", "");
        let request = api::UpdateTaskRequest {
            id: "c1".into(),
            resources: support::any(peapod_shim_protocol::RESOURCES_URL, b"{}".to_vec()),
            ..Default::default()
        };
        let (_, text) = refusal(pod.task.update(context(), &request).await);
        assert_eq!(text, "runtime-that-fails update: exit code 3, without a message");

        fail(scripts.path(), "exec", r#"echo '{"level":"error","msg":"not in there"}' >>"$log""#);
        let _output = pod.prepare("c1", "e1", "true").await;
        assert_eq!(refusal(pod.start_exec("c1", "e1").await).1, "runtime-that-fails exec: not in there");
        // None of its files is left.
        let left = std::fs::read_dir(pod.bundle("c1")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| Path::new(name).extension().is_some_and(|end| end == "log")).collect();
        assert!(left.is_empty(), "{left:?}");
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_message_after_a_dead_shim_is_in_the_pods_log() {
    with_runtimes(async |mut pod| {
        let scripts = tempfile::tempdir().unwrap();
        pod.runtime = wrapped(&pod.runtime, scripts.path());
        pod.plain().await;
        pod.run(&sh("c1", "exec sleep 600")).await;
        pod.shim.kill().unwrap();
        pod.shim.wait().unwrap();
        fail(scripts.path(), "delete", r#"echo '{"level":"error","msg":"it is mine"}' >>"$log""#);
        delete(&pod);
        let log = std::fs::read_to_string(pod.path().join("shim.log")).unwrap();
        assert!(log.contains("runtime-that-fails delete: it is mine"), "{log}");
        // What it did not do was done without it.
        assert!(!pod.cgroup("c1").exists());
        assert!(!pod.path().join("runtime/c1").exists());
        pod.assert_clean();
    });
}

fn delete(pod: &Pod) {
    let mut command = Command::new(support::shim());
    command.args(["-namespace", "peapod", "-id", &pod.id, "-bundle"]).arg(pod.path()).arg("delete");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
