//! A pod's and a container's life, from one end to the other.

use std::time::{Duration, Instant};

use peapod_tests::{at_most, on_each_runtime, peapod, v1, wait_for};
use tonic::Code;
use v1::ContainerState::{ContainerCreated, ContainerExited, ContainerRunning};

#[test]
fn a_pod_lives_and_dies() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("life").run().await;
        assert!(pod.is_ready().await);
        let container = pod.container("main").sh("echo up; exec sleep 1000").create().await;
        assert_eq!(container.state().await, ContainerCreated);
        container.start().await.unwrap();
        assert_eq!(container.state().await, ContainerRunning);
        container.wait_log("up").await;
        container.stop(0).await.unwrap();
        assert_eq!(container.state().await, ContainerExited);
        pod.stop().await.unwrap();
        assert!(!pod.is_ready().await);
        container.remove().await.unwrap();
        pod.remove().await.unwrap();
        assert!(daemon.pods().await.is_empty() && daemon.containers().await.is_empty());
        assert_eq!(pod.try_status().await.unwrap_err().code(), Code::NotFound);
    });
}

#[test]
fn a_status_tells_what_was_asked_for() {
    peapod(async |daemon| {
        let pod = daemon
            .pod("told")
            .handler("runc")
            .config(|config| {
                config.labels.insert("app".to_owned(), "told".to_owned());
                config.annotations.insert("note".to_owned(), "as it is\n".to_owned());
            })
            .run()
            .await;
        let status = pod.status().await;
        assert_eq!(status.metadata, pod.config.metadata);
        assert_eq!((&status.labels, &status.annotations), (&pod.config.labels, &pod.config.annotations));
        assert_eq!(status.runtime_handler, "runc");
        assert!(status.created_at > 1_700_000_000_000_000_000);

        let container = pod
            .container("main")
            .sh("exec sleep 1000")
            .config(|config| drop(config.labels.insert("part".to_owned(), "main".to_owned())))
            .mount(daemon.path("logs-told"), "/mnt")
            .start()
            .await;
        let status = container.status().await;
        assert_eq!(status.metadata, container.config.metadata);
        assert_eq!(status.labels, container.config.labels);
        assert_eq!(status.log_path, container.log_file().to_string_lossy());
        assert_eq!(status.mounts[0].container_path, "/mnt");
        assert_eq!(status.image_id, daemon.image(peapod_tests::SHELL).await.unwrap().id);
        assert!(status.created_at <= status.started_at && status.finished_at == 0);
    });
}

#[test]
fn stopping_a_pod_ends_its_containers() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("stop").run().await;
        let stubborn = pod.container("stubborn").sh("trap '' TERM; while :; do sleep 0.1; done").start().await;
        let waiting = pod.container("waiting").sh("true").create().await;
        pod.stop().await.unwrap();
        let status = stubborn.status().await;
        assert_eq!((status.state(), status.exit_code), (ContainerExited, 137));
        // Again, as the kubelet does until it hears success.
        pod.stop().await.unwrap();
        let refused = waiting.start().await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        let refused = pod.container("late").sh("true").try_create().await.err().unwrap();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    });
}

#[test]
fn removing_a_running_pod_takes_everything() {
    peapod(async |daemon| {
        let pod = daemon.pod("gone").run().await;
        pod.container("main").sh("sleep 1000").start().await;
        pod.remove().await.unwrap();
        assert!(daemon.pods().await.is_empty() && daemon.containers().await.is_empty());
        // The same name and uid again.
        daemon.pod("gone").run().await;
    });
}

#[test]
fn unknown_ids_are_ended_already() {
    peapod(async |daemon| {
        let mut runtime = daemon.runtime();
        let id = "0123456789abcdef".to_owned();
        runtime.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: id.clone() }).await.unwrap();
        runtime.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: id.clone() }).await.unwrap();
        runtime.stop_container(v1::StopContainerRequest { container_id: id.clone(), timeout: 1 }).await.unwrap();
        runtime.remove_container(v1::RemoveContainerRequest { container_id: id.clone() }).await.unwrap();
        let answers = [
            runtime
                .pod_sandbox_status(v1::PodSandboxStatusRequest { pod_sandbox_id: id.clone(), verbose: false })
                .await
                .map(drop),
            runtime
                .container_status(v1::ContainerStatusRequest { container_id: id.clone(), verbose: false })
                .await
                .map(drop),
            runtime.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.map(drop),
            runtime.reopen_container_log(v1::ReopenContainerLogRequest { container_id: id.clone() }).await.map(drop),
            runtime.container_stats(v1::ContainerStatsRequest { container_id: id.clone() }).await.map(drop),
        ];
        for answer in answers {
            assert_eq!(answer.unwrap_err().code(), Code::NotFound);
        }
    });
}

#[test]
fn a_container_starts_once() {
    peapod(async |daemon| {
        let pod = daemon.pod("once").run().await;
        let container = pod.container("main").sh("true").start().await;
        container.wait_exit().await;
        assert_eq!(container.start().await.unwrap_err().code(), Code::FailedPrecondition);
    });
}

#[test]
fn a_long_stop_delays_nothing_else() {
    peapod(async |daemon| {
        let pod = daemon.pod("busy").run().await;
        let slow = pod.container("slow").sh("trap '' TERM; echo up; while :; do sleep 0.1; done").start().await;
        let other = pod.container("other").sh("sleep 1000").start().await;
        slow.wait_log("up").await;
        let start = Instant::now();
        let stop = slow.stop(600);
        let others = async {
            assert_eq!(other.exec("echo hi").await, "hi\n");
            assert_eq!(slow.exec("echo still here").await, "still here\n");
            let third = pod.container("third").sh("echo third").start().await;
            assert_eq!(third.wait_exit().await.exit_code, 0);
            other.stop(1).await.unwrap();
            // A later stop may only bring the end forward, and waits for the same end.
            slow.stop(900).await
        };
        let forward = async {
            wait_for("the other container has stopped", async || other.state().await == ContainerExited).await;
            assert!(start.elapsed() < at_most(Duration::from_secs(15)), "the others took {:?}", start.elapsed());
            slow.stop(0).await.unwrap();
        };
        let (first, later, ()) = tokio::join!(stop, others, forward);
        first.unwrap();
        later.unwrap();
        assert!(
            start.elapsed() < at_most(Duration::from_secs(20)),
            "the stop was not brought forward: {:?}",
            start.elapsed()
        );
        assert_eq!(slow.status().await.exit_code, 137);
    });
}

#[test]
fn a_stop_that_nobody_waits_for_goes_on() {
    peapod(async |daemon| {
        let pod = daemon.pod("left").run().await;
        let container = pod.container("main").sh("trap '' TERM; echo up; while :; do sleep 0.1; done").start().await;
        container.wait_log("up").await;
        tokio::time::timeout(Duration::from_millis(200), container.stop(1)).await.unwrap_err();
        assert_eq!(container.wait_exit().await.exit_code, 137);
    });
}
