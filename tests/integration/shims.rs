//! A pod's own processes are killed.

use std::time::{Duration, Instant};

use peapod_tests::{Pod, at_most, kill, on_each_runtime, v1, wait_for};
use v1::ContainerState::ContainerExited;

async fn broken_within_a_second(pod: &Pod<'_>) {
    let start = Instant::now();
    wait_for("the pod is not ready", async || !pod.is_ready().await).await;
    assert!(start.elapsed() < at_most(Duration::from_secs(1)), "took {:?}", start.elapsed());
}

/// A kubelet's next steps: the old one is ended, another attempt takes its place.
async fn replaced(pod: &Pod<'_>) {
    pod.stop().await.unwrap();
    let next = pod.daemon.pod("hit").config(|config| config.metadata.as_mut().unwrap().attempt = 1).run().await;
    let container = next.container("main").sh("echo new").start().await;
    assert_eq!(container.wait_exit().await.exit_code, 0);
    next.remove().await.unwrap();
    pod.remove().await.unwrap();
    pod.daemon.nothing_left().await;
}

#[test]
fn a_pod_without_its_shim_is_over() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("hit").run().await;
        let ended = pod.container("ended").sh("exit 5").start().await;
        ended.wait_exit().await;
        let running = pod.container("running").sh("sleep 45671 & sleep 45671").start().await;
        let waiting = pod.container("waiting").sh("true").create().await;
        kill(pod.shim_pid());
        broken_within_a_second(&pod).await;
        let status = running.wait_exit().await;
        assert_eq!((status.exit_code, status.reason.as_str()), (255, "Unknown"), "{status:?}");
        assert_eq!(ended.status().await.exit_code, 5);
        assert_eq!(peapod_tests::processes("sleep 45671"), 0);
        assert_eq!(waiting.start().await.unwrap_err().code(), tonic::Code::FailedPrecondition);
        replaced(&pod).await;
    });
}

#[test]
fn a_pod_without_its_init_is_over() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("hit").run().await;
        let shares = pod.container("shares").sh("sleep 1000").start().await;
        let own = pod
            .container("own")
            .sh("sleep 1000")
            .security(|security| {
                security.namespace_options.get_or_insert_default().pid = v1::NamespaceMode::Container.into();
            })
            .start()
            .await;
        kill(pod.init_pid());
        broken_within_a_second(&pod).await;
        for container in [&shares, &own] {
            let status = container.wait_exit().await;
            assert_eq!(status.exit_code, 137, "{status:?}");
        }
        replaced(&pod).await;
    });
}

#[test]
fn a_shim_may_die_at_any_call() {
    on_each_runtime(async |daemon| {
        // They appear one after the other while a container is created.
        for file in ["config.json", "runtime", "pid", "cgroup"] {
            let pod = daemon.pod(file).run().await;
            let container = pod.container("main").sh("sleep 1000").create().await;
            let shim = pod.shim_pid();
            let bundle = daemon.run_root().join("pods").join(&pod.id).join("containers").join(&container.id);
            let killed = async {
                wait_for(file, async || bundle.join(file).exists()).await;
                kill(shim);
            };
            let (_, ()) = tokio::join!(container.start(), killed);
            broken_within_a_second(&pod).await;
            wait_for("nothing runs", async || container.state().await == ContainerExited).await;
            pod.remove().await.unwrap();
            daemon.nothing_left().await;
        }
    });
}
