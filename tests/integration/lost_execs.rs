//! Commands whose OCI runtime has succeeded, but that can't be taken over: nobody knows their process, or their
//! terminal.

use std::time::Instant;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use peapod_shim_protocol::PROCESS_URL;
use peapod_shim_protocol::containerd::api::{DeleteRequest, ExecProcessRequest, StartRequest};
use peapod_shim_protocol::containerd::protobuf::well_known_types::any::Any;
use peapod_shim_protocol::containerd::ttrpc::{self, context};
use peapod_tests::{Container, Fault, FaultyRuntime, Options, SHELL, at_most, peapod_with, processes, wait_for};
use serde_json::json;
use tonic::Code;

use crate::overriding::SOON;

/// The files of a container's commands.
fn files(container: &Container<'_>) -> Vec<String> {
    let pod = container.pod.daemon.run_root().join("pods").join(&container.pod.id);
    let bundle = pod.join("containers").join(&container.id);
    let folders = [bundle.join("exec"), bundle];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with("exec-") || name.ends_with(".out") || name.ends_with(".err"));
    names.sort();
    names
}

/// Runs a command with a terminal, past the daemon, whose CRI has none for commands yet.
async fn with_terminal(container: &Container<'_>, script: &str) -> ttrpc::Result<u32> {
    let output = container.pod.daemon.path("terminal");
    mkfifo(&output, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let reader = tokio::net::unix::pipe::OpenOptions::new().open_receiver(&output).unwrap();
    let process = json!({
        "terminal": true, "cwd": "/", "args": ["sh", "-c", script], "user": {"uid": 0, "gid": 0},
        "env": ["PATH=/bin:/usr/bin"],
    });
    let value = serde_json::to_vec(&process).unwrap();
    let (task, (id, exec_id)) = (container.pod.task().await, (container.id.clone(), "lost".to_owned()));
    let request = ExecProcessRequest {
        id: id.clone(),
        exec_id: exec_id.clone(),
        terminal: true,
        stdout: output.to_string_lossy().into_owned(),
        spec: Some(Any { type_url: PROCESS_URL.to_owned(), value, ..Default::default() }).into(),
        ..Default::default()
    };
    task.exec(context::Context::default(), &request).await?;
    let start = StartRequest { id: id.clone(), exec_id: exec_id.clone(), ..Default::default() };
    let started = task.start(context::Context::default(), &start).await;
    let delete = DeleteRequest { id, exec_id, ..Default::default() };
    let forget = async || task.delete(context::Context::default(), &delete).await;
    match &started {
        Ok(_) => wait_for("it has ended", async || forget().await.is_ok()).await,
        // The shim has forgotten it already.
        Err(_) => drop(forget().await.unwrap_err()),
    }
    drop(reader);
    std::fs::remove_file(output).unwrap();
    started.map(|started| started.pid)
}

#[test]
fn a_command_whose_number_is_lost_does_not_run_on() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = FaultyRuntime::new(tmp.path());
    peapod_with(&Options::new().handler("faulty").set(runtime.setting()), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("lost").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        // Beside it one that is not lost.
        let other = container.try_exec(&["sh", "-c", "sleep 54321 & wait"], 0);
        let lost = async {
            wait_for("the other one runs", async || processes("sleep 54321") == 1).await;
            let before = files(&container);
            for fault in [Fault::NoPid, Fault::EmptyPid] {
                runtime.on("exec", fault);
                // All of it: also what has a session of its own.
                let script = "sleep 54322 & setsid sleep 54322 & exec sleep 54322";
                let refused = container.try_exec(&["sh", "-c", script], 0).await.unwrap_err();
                assert_eq!(refused.code(), Code::Unknown, "{refused:?}");
                assert!(refused.message().contains("can't read what OCI runtime wrote to"), "{refused:?}");
                wait_for("it is ended", async || processes("sleep 54322") == 0).await;
                wait_for("its files are gone", async || files(&container) == before).await;
            }
            runtime.heal("exec");
            assert_eq!(container.exec("echo on").await, "on\n");
            assert_eq!(processes("sleep 54321"), 1);
            container.stop(0).await.unwrap();
        };
        let (ended, ()) = futures_util::future::join(other, lost).await;
        assert_eq!(ended.unwrap().code, 137);
    });
}

#[test]
fn a_command_whose_terminal_is_lost_does_not_run_on() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = FaultyRuntime::new(tmp.path());
    peapod_with(&Options::new().handler("faulty").set(runtime.setting()), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("lost").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let script = "sleep 54323 & exec sleep 54323";
        for (fault, wanted) in [
            (Fault::NoPid, "can't read what OCI runtime wrote to"),
            (Fault::EmptyPid, "can't read what OCI runtime wrote to"),
            (Fault::NoTerminal, "can't receive a terminal"),
        ] {
            runtime.on("exec", fault);
            let began = Instant::now();
            let refused = with_terminal(&container, script).await.unwrap_err().to_string();
            assert!(began.elapsed() < at_most(SOON), "{fault:?}: what does not come is waited for");
            assert!(refused.contains(wanted), "{refused}");
            wait_for("it is ended", async || processes("sleep 54323") == 0).await;
            assert_eq!(files(&container), Vec::<String>::new());
            runtime.heal("exec");
            with_terminal(&container, "exit 0").await.unwrap();
        }
    });
}

#[test]
fn a_container_whose_number_is_lost_does_not_run_on() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = FaultyRuntime::new(tmp.path());
    peapod_with(&Options::new().handler("faulty").set(runtime.setting()), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("lost").run().await;
        for fault in [Fault::NoPid, Fault::EmptyPid] {
            runtime.on("create", fault);
            let container = pod.container("main").sh("sleep 1000").create().await;
            let refused = container.start().await.unwrap_err();
            assert_eq!(refused.code(), Code::Unknown, "{refused:?}");
            assert!(refused.message().contains("can't read what OCI runtime wrote to"), "{refused:?}");
            assert_eq!(container.status().await.reason, "StartError");
            container.remove().await.unwrap();
            crate::overriding::nothing_of(&container, &runtime);
            runtime.heal("create");
        }
        pod.container("main").sh("sleep 1000").start().await;
    });
}
