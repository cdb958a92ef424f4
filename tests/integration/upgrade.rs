//! Daemons and shims of different age.

use std::path::Path;

use async_trait::async_trait;
use nix::sys::signal::Signal;
use peapod_shim_protocol::OLDEST_SHIM;
use peapod_shim_protocol::containerd::ttrpc::asynchronous::{Client, Server, TtrpcContext, transport};
use peapod_shim_protocol::containerd::ttrpc::{self, context};
use peapod_shim_protocol::extension::{HelloRequest, HelloResponse};
use peapod_shim_protocol::extension_ttrpc::{Extension, ExtensionClient, create_extension};
use peapod_tests::{Daemon, Options, Pod, Programs, peapod, peapod_with, processes, v1, wait_for};
use tonic::Code::FailedPrecondition;
use v1::ContainerState::{ContainerExited, ContainerRunning};

/// As a package does it: the old file lives on only in the processes that run it.
fn install(from: &Path, to: &Path) {
    let new = to.with_extension("new");
    std::fs::copy(from, &new).unwrap();
    std::fs::rename(new, to).unwrap();
}

/// Where it is kept while somebody else has that name.
fn kept(pod: &Pod<'_>) -> std::path::PathBuf {
    pod.daemon.run_root().join("kept.sock")
}

/// What a shim says of itself.
async fn hello(pod: &Pod<'_>) -> HelloResponse {
    let stream = tokio::net::UnixStream::connect(pod.shim_socket()).await.unwrap();
    let client = ExtensionClient::new(Client::new(transport::Socket::new(stream)));
    client
        .hello(context::Context::default(), &HelloRequest { protocol: OLDEST_SHIM, ..Default::default() })
        .await
        .unwrap()
}

#[test]
fn an_older_shim_serves_a_newer_daemon() {
    let tmp = tempfile::tempdir().unwrap();
    let shim = tmp.path().join("containerd-shim-peapod-v1");
    let (oldest, todays) = (&Programs::get().old_shim, &Programs::get().shim);
    for (old, handler) in [(oldest, "crun"), (oldest, "runc"), (todays, "crun")] {
        install(old, &shim);
        let options = Options::new().handler(handler).set(format!("shim.path={:?}", shim.to_str().unwrap()));
        peapod_with(&options, async |daemon| driven(daemon, &shim, old == oldest).await);
    }
}

/// Pods that begin with one shim and go on after another is installed.
async fn driven(daemon: &Daemon, shim: &Path, oldest: bool) {
    // Each of them is asked for something else afterwards.
    let shared = daemon.pod("shared").port(80, 31666).run().await;
    let late = daemon.pod("late").pid(v1::NamespaceMode::Container).run().await;
    let hit = daemon.pod("hit").run().await;
    if oldest {
        assert_eq!(hello(&shared).await.protocol, OLDEST_SHIM);
    }
    let first = shared.container("first").sh("trap '' TERM; echo up; while :; do sleep 0.05; done").start().await;
    let waiting = shared.container("waiting").sh("echo at last; exit 5").create().await;
    let stubborn = hit.container("stubborn").sh("trap '' TERM; while :; do sleep 0.05; done").start().await;
    first.wait_log("up").await;
    daemon.kill().await;
    install(&Programs::get().shim, shim);
    daemon.start_again().await;
    assert!(
        std::fs::read_link(format!("/proc/{}/exe", shared.shim_pid()))
            .unwrap()
            .ends_with("containerd-shim-peapod-v1 (deleted)")
    );

    assert!(shared.is_ready().await && late.is_ready().await);
    assert_eq!(first.exec("echo hi").await, "hi\n");
    assert_eq!(first.try_exec(&["sleep", "600"], 1).await.unwrap_err().code(), tonic::Code::DeadlineExceeded);
    let (container_id, cmd) = (first.id.clone(), vec!["true".to_owned()]);
    let request = v1::ExecRequest { container_id, cmd, stdout: true, ..Default::default() };
    match daemon.runtime().exec(request).await {
        Ok(_) => assert!(!oldest, "the oldest shim opens no sessions"),
        Err(refused) => {
            assert_eq!((oldest, refused.code()), (true, FailedPrecondition), "{refused}");
            assert!(refused.message().contains("make the pod anew"), "{refused}");
        }
    }
    waiting.start().await.unwrap();
    assert_eq!(waiting.wait_exit().await.exit_code, 5);
    let mounting = shared.container("mounting").sh("/image/bin/true").config(|config| {
        let (image, container_path) = (config.image.clone(), "/image".to_owned());
        config.mounts.push(v1::Mount { image, container_path, readonly: true, ..Default::default() });
    });
    let mounting = mounting.create().await;
    match mounting.start().await {
        Ok(()) => assert!(!oldest && mounting.wait_exit().await.exit_code == 0),
        Err(refused) => assert!(oldest && refused.message().contains("run another sandbox"), "{refused}"),
    }
    mounting.remove().await.unwrap();
    waiting.wait_log("at last").await;
    waiting.remove().await.unwrap();
    let log = first.log_file();
    std::fs::rename(&log, log.with_extension("old")).unwrap();
    let request = v1::ReopenContainerLogRequest { container_id: first.id.clone() };
    daemon.runtime().reopen_container_log(request).await.unwrap();
    assert!(log.exists());
    let second = shared.container("second").sh("exit 6").start().await;
    assert_eq!(second.wait_exit().await.exit_code, 6);
    // Pod init comes only now, from a binary that is not there any more.
    let wants_init = late.container("shares").sh("sleep 1000").security(|security| {
        security.namespace_options.get_or_insert_default().pid = v1::NamespaceMode::Pod.into();
    });
    let wants_init = wants_init.start().await;
    assert_eq!(wants_init.exec("echo hi").await, "hi\n");
    first.stop(1).await.unwrap();
    assert_eq!(first.status().await.exit_code, 137);
    shared.remove().await.unwrap();
    hit.stop().await.unwrap();
    assert_eq!(stubborn.status().await.exit_code, 137);
    hit.remove().await.unwrap();
    // The newer one cleans up after the older one.
    peapod_tests::kill(late.shim_pid());
    assert_eq!(wants_init.wait_exit().await.exit_code, 255);
    late.remove().await.unwrap();
}

/// Says who it is, and nothing else.
struct Stranger {
    protocol: u32,
    oldest_master: u32,
}

#[async_trait]
impl Extension for Stranger {
    async fn hello(&self, _: &TtrpcContext, _: HelloRequest) -> ttrpc::Result<HelloResponse> {
        let (protocol, oldest_master) = (self.protocol, self.oldest_master);
        Ok(HelloResponse { protocol, oldest_master, version: "77.8.9".to_owned(), ..HelloResponse::default() })
    }
}

/// Where a pod's shim listens somebody else does.
async fn replace(pod: &Pod<'_>, stranger: Stranger) -> Server {
    let path = pod.shim_socket();
    std::fs::rename(&path, kept(pod)).unwrap();
    let service = create_extension(std::sync::Arc::new(stranger));
    let mut server = Server::new().bind(&format!("unix://{}", path.display())).unwrap().register_service(service);
    server.start().await.unwrap();
    server
}

#[test]
fn a_shim_that_can_not_be_driven_keeps_its_pod_until_that_is_stopped() {
    for (protocol, oldest_master) in [(0, 0), (99, 98)] {
        peapod(async |daemon| {
            let stranger = Stranger { protocol, oldest_master };
            let pod = daemon.pod("foreign").port(80, 31555).run().await;
            let other = daemon.pod("other").run().await;
            let running = pod.container("running").sh("sleep 34567").start().await;
            let waiting = pod.container("waiting").sh("true").create().await;
            daemon.kill().await;
            let mut server = replace(&pod, stranger).await;
            daemon.start_again().await;
            wait_for("the pod is not ready", async || !pod.is_ready().await).await;
            assert!(other.is_ready().await);
            assert_eq!((running.state().await, processes("sleep 34567")), (ContainerRunning, 1));
            let refused = waiting.start().await.unwrap_err();
            assert_eq!(refused.code(), FailedPrecondition);
            for word in [&pod.id, "77.8.9", "run another sandbox"] {
                assert!(refused.message().contains(word), "{refused}");
            }
            for refused in [running.stop(1).await.unwrap_err(), running.remove().await.unwrap_err()] {
                assert!(refused.message().contains("stop the sandbox"), "{refused}");
            }
            pod.container("new").try_create().await.err().unwrap();
            assert_eq!(processes("sleep 34567"), 1);

            // A daemon that can drive it finds it as it was.
            daemon.kill().await;
            server.disconnect().await;
            server.shutdown().await.unwrap();
            std::fs::rename(kept(&pod), pod.shim_socket()).unwrap();
            daemon.start_again().await;
            assert!(pod.is_ready().await);
            assert_eq!(running.exec("echo hi").await, "hi\n");

            // One that can't takes it away.
            daemon.end(Signal::SIGKILL).await;
            let _server = replace(&pod, Stranger { protocol: 0, oldest_master: 0 }).await;
            daemon.start_again().await;
            wait_for("the pod is not ready", async || !pod.is_ready().await).await;
            pod.stop().await.unwrap();
            assert_eq!((running.state().await, processes("sleep 34567")), (ContainerExited, 0));
            std::fs::remove_file(kept(&pod)).unwrap();
            pod.remove().await.unwrap();
            // Address and port are free again.
            daemon.pod("foreign").port(80, 31555).run().await.remove().await.unwrap();
            other.remove().await.unwrap();
            daemon.nothing_left().await;
        });
    }
}
