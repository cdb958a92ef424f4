//! Retries join what runs, and make nothing twice.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::v1::{
    ContainerState, CreateContainerRequest, PodSandboxState, StartContainerRequest, VersionRequest,
};
use peapod_tests::{Daemon, Options, Programs, SHELL, insist, peapod, peapod_with, wait_for, wait_some};
use tonic::Code;

#[test]
fn two_equal_requests_make_one_pod() {
    peapod(async |daemon| {
        let request = daemon.pod("twice").request();
        std::fs::create_dir_all(daemon.path("logs-twice")).unwrap();
        let (mut first, mut second) = (daemon.runtime(), daemon.runtime());
        let (first, second) =
            tokio::join!(first.run_pod_sandbox(request.clone()), second.run_pod_sandbox(request.clone()));
        let id = first.unwrap().into_inner().pod_sandbox_id;
        assert_eq!(second.unwrap().into_inner().pod_sandbox_id, id);
        assert_eq!(daemon.pods().await.len(), 1);
    });
}

#[test]
fn a_pod_is_given_again_until_something_is_made_in_it() {
    peapod(async |daemon| {
        let builder = daemon.pod("again");
        let request = builder.request();
        let pod = builder.run().await;
        // What was sent may not have arrived. That somebody reads it tells nothing: lists have it too.
        pod.status().await;
        let again = daemon.runtime().run_pod_sandbox(request.clone()).await.unwrap().into_inner();
        assert_eq!(again.pod_sandbox_id, pod.id);
        daemon.kill().await;
        daemon.start_again().await;
        let again = daemon.runtime().run_pod_sandbox(request.clone()).await.unwrap().into_inner();
        assert_eq!(again.pod_sandbox_id, pod.id);

        pod.container("main").sh("sleep 1000").create().await;
        refused(daemon, &request, &pod.id).await;
        daemon.kill().await;
        daemon.start_again().await;
        refused(daemon, &request, &pod.id).await;
        assert_eq!(daemon.pods().await.len(), 1);
    });
}

async fn refused(daemon: &Daemon, request: &peapod_tests::v1::RunPodSandboxRequest, id: &str) {
    let refused = daemon.runtime().run_pod_sandbox(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    assert!(refused.message().contains(&id[..12]), "does not name the pod: {refused}");
}

#[test]
fn a_stopped_pod_is_given_to_nobody() {
    peapod(async |daemon| {
        let builder = daemon.pod("stopped");
        let request = builder.request();
        let pod = builder.run().await;
        pod.stop().await.unwrap();
        refused(daemon, &request, &pod.id).await;
    });
}

#[test]
fn answers_that_get_lost_are_given_again() {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 8;
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        // Some leave before the work is done, some in the very moment of the answer.
        let clients = (0..CLIENTS).map(async |client| {
            for round in 0..ROUNDS {
                let timeout = Duration::from_micros(700 + 137 * u64::try_from(client * ROUNDS + round).unwrap());
                let builder = daemon.pod(&format!("lost-{client}-{round}"));
                let pod = insist(timeout, async || builder.clone().try_run().await).await.unwrap();
                let builder = pod.container("main").sh("sleep 1000");
                let container = insist(timeout, async || builder.clone().try_create().await).await.unwrap();
                insist(timeout, async || container.start().await).await.unwrap();
                assert_eq!(container.state().await, ContainerState::ContainerRunning);
                insist(timeout, async || container.stop(0).await).await.unwrap();
                insist(timeout, async || container.remove().await).await.unwrap();
                insist(timeout, async || pod.stop().await).await.unwrap();
                insist(timeout, async || pod.remove().await).await.unwrap();
            }
        });
        join_all(clients).await;
        assert!(daemon.pods().await.is_empty(), "a retry made another one");
    });
}

/// A setting: shims come up only when that file is there.
fn shims_that_wait_for(gate: &Path) -> String {
    let (script, shim) = (gate.with_file_name("shim"), Programs::get().shim.display());
    let text = format!("#!/bin/sh\nwhile [ ! -e {} ]; do sleep 0.02; done\nexec {shim} \"$@\"\n", gate.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("shim.path={script:?}")
}

#[test]
fn a_result_that_nobody_received_waits_for_the_retry() {
    let tmp = tempfile::tempdir().unwrap();
    let gate = tmp.path().join("gate");
    peapod_with(&Options::new().set(shims_that_wait_for(&gate)), async |daemon| {
        let request = daemon.pod("lost").request();
        std::fs::create_dir_all(daemon.path("logs-lost")).unwrap();
        let mut runtime = daemon.runtime();
        let begun = || std::fs::read_dir(daemon.run_root().join("pods")).is_ok_and(|pods| pods.count() == 1);
        // Given up while the pod is being made, as after a client's deadline.
        tokio::select! {
            answer = runtime.run_pod_sandbox(request.clone()) => panic!("it can't be done yet: {answer:?}"),
            () = wait_for("the pod is begun", async || begun()) => {}
        }
        std::fs::write(&gate, "").unwrap();
        let made = async || daemon.pods().await.pop().filter(|pod| pod.state() == PodSandboxState::SandboxReady);
        let made = wait_some("the pod is made for nobody", made).await;
        let id = daemon.runtime().run_pod_sandbox(request).await.unwrap().into_inner().pod_sandbox_id;
        assert_eq!(id, made.id);
        assert_eq!(daemon.pods().await.len(), 1);
    });
}

#[test]
fn clients_that_leave_all_at_once_disturb_nobody() {
    const AT_ONCE: usize = 500;
    peapod(async |daemon| {
        let pod = daemon.pod("calm").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        // All on one connection, as a kubelet has it.
        let patient = container.exec("sleep 1; echo calm");
        let leaving = async {
            // On a busy node the daemon may not run for a while.
            kill(Pid::from_raw(daemon.pid()), Signal::SIGSTOP).unwrap();
            let calls = (0..AT_ONCE).map(async |_| daemon.runtime().version(VersionRequest::default()).await);
            let gave_up = tokio::time::timeout(Duration::from_millis(200), join_all(calls)).await.is_err();
            // Their going is on the wire, too.
            tokio::task::yield_now().await;
            kill(Pid::from_raw(daemon.pid()), Signal::SIGCONT).unwrap();
            assert!(gave_up);
        };
        let (said, ()) = tokio::join!(patient, leaving);
        assert_eq!(said, "calm\n");
    });
}

#[test]
fn another_request_of_the_same_name_is_refused() {
    peapod(async |daemon| {
        let pod = daemon.pod("name").run().await;
        let other = daemon.pod("name").config(|config| config.hostname = "other".to_owned());
        let refused = other.try_run().await.err().unwrap();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        assert!(refused.message().contains(&pod.id[..12]), "{refused}");
        // Another attempt of the same pod is another pod.
        let next = daemon.pod("name").config(|config| config.metadata.as_mut().unwrap().attempt = 1).run().await;
        assert_ne!(next.id, pod.id);
    });
}

#[test]
fn two_equal_requests_make_one_container() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("twice").run().await;
        let request = pod.container("main").sh("sleep 1000").request();
        let (mut first, mut second) = (daemon.runtime(), daemon.runtime());
        let (first, second) =
            tokio::join!(first.create_container(request.clone()), second.create_container(request.clone()));
        let [first, second] = [first, second].map(|answer| answer.unwrap().into_inner().container_id);
        assert_eq!(first, second);
        assert_eq!(daemon.containers().await.len(), 1);
        // Whoever starts it knows it.
        daemon.runtime().start_container(StartContainerRequest { container_id: first.clone() }).await.unwrap();
        let refused = daemon.runtime().create_container(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        assert!(refused.message().contains(&first), "does not name the container: {refused}");
        let other = change(request, |config| config.working_dir = "/tmp".to_owned());
        let refused = daemon.runtime().create_container(other).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    });
}

fn change(
    mut request: CreateContainerRequest,
    change: impl FnOnce(&mut peapod_tests::v1::ContainerConfig),
) -> CreateContainerRequest {
    change(request.config.as_mut().unwrap());
    request
}

#[test]
fn a_start_is_confirmed_again_until_something_is_done_with_the_container() {
    peapod(async |daemon| {
        let pod = daemon.pod("start").run().await;
        let container = pod.container("main").sh("trap '' TERM; echo up; sleep 1000").start().await;
        container.wait_log("up").await;
        container.start().await.unwrap();
        daemon.kill().await;
        daemon.start_again().await;
        container.start().await.unwrap();
        assert_eq!(container.stdout(), "up\n", "it was started twice");
        container.stop(0).await.unwrap();
        assert_eq!(container.start().await.unwrap_err().code(), Code::FailedPrecondition);

        // That it could not be started is no success, and the retry hears why.
        let wrong = pod.container("wrong").config(|config| config.command = vec!["/no/such/program".to_owned()]);
        let wrong = wrong.create().await;
        let first = wrong.start().await.unwrap_err();
        let again = wrong.start().await.unwrap_err();
        assert_eq!(again.code(), Code::FailedPrecondition);
        assert!(again.message().contains("/no/such/program"), "{again} after {first}");
    });
}

#[test]
fn a_failed_attempt_leaves_the_name_free() {
    peapod(async |daemon| {
        let sysctl = |name: &'static str| {
            move |config: &mut peapod_tests::v1::PodSandboxConfig| {
                config.linux.get_or_insert_default().sysctls.insert(name.to_owned(), "1".to_owned());
            }
        };
        let refused = daemon.pod("again").config(sysctl("net.ipv4.no_such_thing")).try_run().await.err().unwrap();
        assert!(refused.message().contains("net.ipv4.no_such_thing"), "does not name the sysctl: {refused}");
        assert!(daemon.pods().await.is_empty());
        daemon.pod("again").config(sysctl("net.ipv4.ip_forward")).run().await;
    });
}
