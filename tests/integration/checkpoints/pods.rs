//! Several containers of a pod, written together, and pods that are made of them.

use std::path::Path;

use peapod_nri::stand_in::{HeardCall, StandIn as Plugin};
use peapod_shim_protocol::containerd::api::{KillRequest, WaitRequest};
use peapod_shim_protocol::containerd::ttrpc::context;
use peapod_tests::{Container, Daemon, Pod, SHELL, peapod_with, v1, wait_for};
use tonic::{Code, Status};
use v1::ContainerState::{ContainerCreated, ContainerExited, ContainerRunning};

use super::stand_in::StandIn;
use super::{COUNTER, folder, goes_on, member, taken_back};

async fn two<'a>(daemon: &'a Daemon, name: &str) -> (Pod<'a>, [Container<'a>; 2]) {
    daemon.pull(SHELL).await.unwrap();
    let pod = daemon.pod(name).handler("standin").run().await;
    let one = pod.container("one").sh(COUNTER).start().await;
    let two = pod.container("two").sh(COUNTER).start().await;
    for container in [&one, &two] {
        container.wait_log("3").await;
    }
    (pod, [one, two])
}

async fn checkpoint(pod: &Pod<'_>, ids: &[&str], folder: &Path, options: &[&str]) -> Result<(), Status> {
    let request = v1::CheckpointPodRequest {
        pod_sandbox_id: pod.id.clone(),
        output_path: folder.to_string_lossy().into_owned(),
        container_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        options: options.iter().map(|name| ((*name).to_owned(), String::new())).collect(),
    };
    pod.daemon.runtime().checkpoint_pod(request).await.map(drop)
}

fn restore(daemon: &Daemon, name: &str, folder: &Path, containers: &[&str]) -> v1::RestorePodRequest {
    let pod = daemon.pod(name).handler("standin").request();
    std::fs::create_dir_all(daemon.path(format!("logs-{name}"))).unwrap();
    let config = |name: &&str| v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: (*name).to_owned(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: peapod_tests::fixture(SHELL), ..Default::default() }),
        command: ["sh", "-c", "cat /home/file; exec sleep 1000"].map(str::to_owned).to_vec(),
        log_path: format!("{name}.log"),
        linux: Some(v1::LinuxContainerConfig::default()),
        ..Default::default()
    };
    v1::RestorePodRequest {
        checkpoint_path: folder.to_string_lossy().into_owned(),
        config: pod.config,
        runtime_handler: pod.runtime_handler,
        container_configs: containers.iter().map(config).collect(),
        ..Default::default()
    }
}

#[test]
fn a_pod_is_written_and_another_one_is_made_of_it() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, [one, two]) = two(daemon, "written").await;
        let folder = folder(daemon);
        checkpoint(&pod, &[&one.id, &two.id], &folder, &[]).await.unwrap();
        for container in [&one, &two] {
            goes_on(container).await;
            let archive = folder.join(format!("{}.tar", container.id));
            let seen: serde_json::Value = serde_json::from_str(&member(&archive, "checkpoint/inventory.img")).unwrap();
            assert_eq!(seen["status"], "paused");
        }
        let list = std::fs::read_to_string(folder.join("pod.options")).unwrap();
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        assert_eq!((&list["version"], &list["containers"]["one"]), (&1.into(), &one.id.clone().into()));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
        pod.remove().await.unwrap();

        let request = restore(daemon, "made", &folder, &["two", "one"]);
        let made = daemon.runtime().restore_pod(request).await.unwrap().into_inner();
        let names: Vec<_> = made.restored_containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(names, ["two", "one"]);
        assert_eq!(daemon.pods().await.len(), 1);
        let containers = daemon.containers().await;
        assert!(containers.iter().all(|container| container.state() == ContainerCreated), "{containers:?}");
        for container in &made.restored_containers {
            let request = v1::StartContainerRequest { container_id: container.container_id.clone() };
            daemon.runtime().start_container(request).await.unwrap();
            let log = daemon.path("logs-made").join(format!("{}.log", container.name));
            wait_for("its files are there", async || {
                std::fs::read_to_string(&log).is_ok_and(|text| text.contains("stdout F changed"))
            })
            .await;
        }
        assert!(daemon.containers().await.iter().all(|container| container.state() == ContainerRunning));
        let gone = v1::RemovePodSandboxRequest { pod_sandbox_id: made.pod_sandbox_id };
        daemon.runtime().remove_pod_sandbox(gone).await.unwrap();
        daemon.nothing_left().await;
    });
}

#[test]
fn what_is_not_asked_for_as_it_should_be_is_refused_and_all_go_on() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, [one, two]) = two(daemon, "refused").await;
        let other = daemon.pod("other").handler("standin").run().await;
        let foreign = other.container("main").sh("sleep 1000").start().await;
        let created = pod.container("created").sh("sleep 1000").create().await;
        let folder = folder(daemon);
        let ids = [one.id.as_str(), two.id.as_str()];
        for (ids, options, code, word) in [
            (&ids[..], &["leave"][..], Code::InvalidArgument, "leave"),
            (&[], &[], Code::InvalidArgument, "container_ids"),
            (&[ids[0], ids[0]], &[], Code::InvalidArgument, "twice"),
            (&[ids[0], &foreign.id], &[], Code::InvalidArgument, "another pod"),
            (&[ids[0], &created.id], &[], Code::FailedPrecondition, "created"),
            (&["none"], &[], Code::NotFound, "none"),
        ] {
            let refused = checkpoint(&pod, ids, &folder, options).await.unwrap_err();
            assert_eq!(refused.code(), code, "{refused}");
            assert!(refused.message().contains(word), "{refused}");
        }
        let full = daemon.path("full");
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("file"), "").unwrap();
        for bad in [&full, &daemon.path("none"), Path::new("relative")] {
            let refused = checkpoint(&pod, &ids, bad, &[]).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().starts_with("output_path: "), "{refused}");
        }
        runtime.fail("checkpoint");
        let failed = checkpoint(&pod, &ids, &folder, &[]).await.unwrap_err();
        assert!(failed.message().contains("CRIU said"), "{failed}");
        for container in [&one, &two] {
            taken_back(container, &folder).await;
        }
        runtime.heal();
        // The client leaves while the first is being paused.
        runtime.hang("pause");
        tokio::select! {
            outcome = checkpoint(&pod, &ids, &folder, &[]) => panic!("{outcome:?}"),
            () = wait_for("it hangs", async || runtime.hangs()) => {}
        }
        runtime.heal();
        for container in [&one, &two] {
            taken_back(container, &folder).await;
        }
        let waits = "checkpoint-waits";
        for stage in ["checkpoint-begun", waits, "checkpoint-paused", "checkpoint-resumed", "checkpoint-written"] {
            daemon.kill().await;
            daemon.start_again_to_die_at(stage).await;
            let _ = checkpoint(&pod, &ids, &folder, &[]).await;
            wait_for(&format!("the daemon dies at {stage}"), async || !daemon.is_alive()).await;
            daemon.start_again().await;
            for container in [&one, &two] {
                taken_back(container, &folder).await;
            }
        }
        // Once one is finished all are there, whatever comes.
        daemon.kill().await;
        daemon.start_again_to_die_at("checkpoint-finished").await;
        let _ = checkpoint(&pod, &ids, &folder, &[]).await;
        wait_for("the daemon dies", async || !daemon.is_alive()).await;
        daemon.start_again().await;
        for container in [&one, &two] {
            goes_on(container).await;
            let writing = daemon.state_root().join("containers").join(&container.id).join("checkpoint");
            wait_for("what was left is gone", async || !writing.exists()).await;
            let archive = folder.join(format!("{}.tar", container.id));
            assert!(member(&archive, "checkpoint/inventory.img").contains("paused"));
        }
        assert!(folder.join("pod.options").exists());
        let again = daemon.path("again");
        std::fs::create_dir(&again).unwrap();
        checkpoint(&pod, &ids, &again, &[]).await.unwrap();
    });
}

/// What the first container's folder says is others', too.
#[test]
fn one_that_ends_without_a_daemon_leaves_no_archives() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, [one, two]) = two(daemon, "ending").await;
        let folder = folder(daemon);
        daemon.kill().await;
        daemon.start_again_to_die_at("checkpoint-written").await;
        let _ = checkpoint(&pod, &[&one.id, &two.id], &folder, &[]).await;
        wait_for("the daemon dies", async || !daemon.is_alive()).await;
        let (task, id) = (pod.task().await, one.id.clone());
        let kill = KillRequest { id: id.clone(), signal: 9, all: true, ..Default::default() };
        task.kill(context::Context::default(), &kill).await.unwrap();
        let wait = WaitRequest { id, ..Default::default() };
        task.wait(context::Context::default(), &wait).await.unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        daemon.start_again().await;
        taken_back(&two, &folder).await;
        assert_eq!(one.state().await, ContainerExited);
    });
}

#[test]
fn of_a_pod_that_can_not_be_restored_nothing_is_left() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let (pod, [one, two]) = two(daemon, "good").await;
        let folder = folder(daemon);
        checkpoint(&pod, &[&one.id, &two.id], &folder, &[]).await.unwrap();
        pod.remove().await.unwrap();
        let ask = async |request| daemon.runtime().restore_pod(request).await.map(drop).unwrap_err();
        let mut options = restore(daemon, "bad", &folder, &["one", "two"]);
        options.options.insert("fast".to_owned(), String::new());
        for (request, word) in [
            (options, "fast"),
            (restore(daemon, "bad", &folder, &["one"]), "has no \"two\""),
            (restore(daemon, "bad", &folder, &["one", "two", "three"]), "three"),
            (restore(daemon, "bad", &daemon.path("none"), &["one"]), "pod.options"),
        ] {
            let refused = ask(request).await;
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains(word), "{refused}");
        }
        // One of the archives is none: the pod is there by then, and a container of it.
        std::fs::write(folder.join(format!("{}.tar", two.id)), "no archive").unwrap();
        let refused = ask(restore(daemon, "bad", &folder, &["one", "two"])).await;
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(daemon.pods().await.is_empty() && daemon.containers().await.is_empty());
        daemon.nothing_left().await;
    });
}

/// A checkpoint of two containers whose pod is gone.
async fn written(daemon: &Daemon) -> std::path::PathBuf {
    let (pod, [one, two]) = two(daemon, "written").await;
    let folder = folder(daemon);
    checkpoint(&pod, &[&one.id, &two.id], &folder, &[]).await.unwrap();
    pod.remove().await.unwrap();
    folder
}

#[test]
fn a_client_that_leaves_a_restore_leaves_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options().set("nri.request_timeout=\"100s\""), async |daemon| {
        let folder = written(daemon).await;
        let (open, gate) = tokio::sync::watch::channel(false);
        let answer = move |heard: HeardCall| {
            let mut gate = gate.clone();
            async move {
                if heard.method == "CreateContainer" && crate::nri::container_of(&heard) == "two" {
                    gate.wait_for(|open| *open).await.unwrap();
                }
                None
            }
        };
        let stream = crate::nri::connect(daemon).await;
        let mut plugin = Plugin::connect(stream, ("10", "gate"), crate::nri::ALL, answer).await.unwrap();
        let mut runtime = daemon.runtime();
        let leave =
            async { while crate::nri::container_of(&plugin.next("CreateContainer").await.unwrap()) != "two" {} };
        tokio::select! {
            made = runtime.restore_pod(restore(daemon, "left", &folder, &["one", "two"])) => panic!("{made:?}"),
            () = leave => {}
        }
        assert_eq!((daemon.pods().await.len(), daemon.containers().await.len()), (1, 1));
        open.send_replace(true);
        wait_for("the pod's end", async || daemon.pods().await.is_empty()).await;
        daemon.nothing_left().await;
    });
}

#[test]
fn an_equal_restore_goes_on_with_what_is_there_and_another_one_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = StandIn::new(tmp.path());
    peapod_with(&runtime.options(), async |daemon| {
        let folder = written(daemon).await;
        let request = restore(daemon, "again", &folder, &["one", "two"]);
        let ask = async |request: &v1::RestorePodRequest| {
            daemon.runtime().restore_pod(request.clone()).await.map(tonic::Response::into_inner)
        };
        // It dies between the pod and its first container.
        daemon.kill().await;
        daemon.start_again_to_die_at("restore-taken").await;
        ask(&request).await.unwrap_err();
        wait_for("the daemon's end", async || !daemon.is_alive()).await;
        daemon.start_again().await;
        let made = ask(&request).await.unwrap();
        assert_eq!((daemon.pods().await.len(), daemon.containers().await.len()), (1, 2));
        // Whoever lost the answer gets it again, also from the next daemon.
        assert_eq!(ask(&request).await.unwrap(), made);
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(ask(&request).await.unwrap(), made);
        let mut other = request.clone();
        other.container_configs[1].command.push("x".to_owned());
        let mut labelled = request.clone();
        labelled.config.as_mut().unwrap().labels.insert("a".to_owned(), "b".to_owned());
        for other in [other, labelled] {
            assert_eq!(ask(&other).await.unwrap_err().code(), Code::AlreadyExists);
        }
        // Once a container was started the answer was heard: what fails then removes nothing.
        let id = made.restored_containers[0].container_id.clone();
        daemon.runtime().start_container(v1::StartContainerRequest { container_id: id }).await.unwrap();
        assert_eq!(ask(&request).await.unwrap_err().code(), Code::AlreadyExists);
        assert_eq!((daemon.pods().await.len(), daemon.containers().await.len()), (1, 2));
    });
}
