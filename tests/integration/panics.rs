//! A driver or one of its steps panics: who waits hears of a defect, and the pod goes on from its record.

use peapod_tests::{Daemon, SHELL, peapod, v1, wait_for};
use tonic::Code::Internal;
use v1::ContainerState::{ContainerExited, ContainerRunning};

async fn panic_at(daemon: &Daemon, stage: &str) {
    daemon.kill().await;
    daemon.start_again_to_panic_at(stage).await;
}

#[test]
fn of_what_is_done_to_containers() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let beside = daemon.pod("beside").run().await;
        let calm = beside.container("main").sh("sleep 1000").start().await;
        let pod = daemon.pod("hit").run().await;
        let main = || pod.container("main").sh("trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done");

        panic_at(daemon, "container-checked").await;
        assert_eq!(main().try_create().await.err().unwrap().code(), Internal);
        for stage in ["start-recorded", "start-created", "start-started"] {
            let container = main().create().await;
            panic_at(daemon, stage).await;
            assert_eq!(container.start().await.unwrap_err().code(), Internal, "{stage}");
            wait_for("it runs after all", async || container.start().await.is_ok()).await;
            assert_eq!(container.state().await, ContainerRunning);
            assert_eq!(container.exec("echo here").await, "here\n");
            container.stop(0).await.unwrap();
            container.remove().await.unwrap();
        }
        let container = main().start().await;
        container.wait_log("up").await;
        panic_at(daemon, "stop-asked").await;
        assert_eq!(container.stop(20).await.unwrap_err().code(), Internal);
        container.stop(20).await.unwrap();
        let status = container.status().await;
        assert_eq!((status.state(), status.exit_code), (ContainerExited, 3));
        assert!(pod.is_ready().await);
        assert_eq!(calm.exec("echo here").await, "here\n");
    });
}

#[test]
fn of_what_is_done_to_pods() {
    peapod(async |daemon| {
        panic_at(daemon, "pod-files").await;
        let made = daemon.pod("hit").port(80, 31998);
        assert_eq!(made.clone().try_run().await.err().unwrap().code(), Internal);
        let pod = made.run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        for stage in ["pod-killed", "pod-shim-ended"] {
            panic_at(daemon, stage).await;
            assert_eq!(pod.stop().await.unwrap_err().code(), Internal, "{stage}");
            // It is there, and says so.
            assert_eq!(daemon.pods().await.len(), 1);
        }
        pod.stop().await.unwrap();
        assert_eq!(container.state().await, ContainerExited);
        panic_at(daemon, "pod-files-gone").await;
        assert_eq!(pod.remove().await.unwrap_err().code(), Internal);
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}
