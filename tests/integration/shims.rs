//! A pod's own processes are killed.

use std::path::Path;
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
        // They appear one after the other while a container is started.
        for file in ["runtime", "pid", "cgroup"] {
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

/// A container left the node no room for another process, and the one that could end it is gone.
#[test]
fn a_pod_that_leaves_no_room_for_processes_is_ended_without_its_shim() {
    // A limit of a test's own on the daemon needs a hierarchy of its own for that.
    let hierarchy = Path::new("/sys/fs/cgroup/pids");
    if !hierarchy.exists() {
        return;
    }
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("hit").run().await;
        let attack = ["/attack", "processes", "hold"];
        let hostile = pod.container("hostile").image("peapod/test-attack:1").command(&attack).create().await;
        let above = hierarchy.join(daemon.cgroup().trim_start_matches('/'));
        let (daemons, limit) = (above.join("daemon"), above.join("pids.max"));
        std::fs::create_dir(&daemons).unwrap();
        std::fs::write(daemons.join("cgroup.procs"), daemon.pid().to_string()).unwrap();
        let current: u32 = std::fs::read_to_string(above.join("pids.current")).unwrap().trim().parse().unwrap();
        // Room for the runtime, and for threads of the daemon.
        std::fs::write(&limit, (current + 100).to_string()).unwrap();
        hostile.start().await.unwrap();
        // EAGAIN.
        hostile.wait_log("processes last 11").await;
        kill(pod.shim_pid());
        broken_within_a_second(&pod).await;
        hostile.wait_exit().await;
        pod.stop().await.unwrap();
        std::fs::write(&limit, "max").unwrap();
        std::fs::write(hierarchy.join("cgroup.procs"), daemon.pid().to_string()).unwrap();
        std::fs::remove_dir(&daemons).unwrap();
        replaced(&pod).await;
    });
}
