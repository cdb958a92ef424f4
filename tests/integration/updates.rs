//! Updates of limits whose OCI runtime hangs: others come meanwhile, and the daemon dies.

use futures_util::future::join;
use peapod_tests::Fault;

use crate::overriding::{pod, with_faults};
use crate::resources::memory;

#[test]
fn updates_at_once_build_on_each_other() {
    with_faults(async |daemon, runtime| {
        let pod = pod(daemon, "updates").await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        runtime.on("update", Fault::Hang);
        let shares = container.update(|linux| linux.cpu_shares = 512);
        let period = container.update(|linux| (linux.cpu_period, linux.cpu_quota) = (50_000, 25_000));
        let memory = container.update(|linux| linux.memory_limit_in_bytes = 64 << 20);
        let heal = async {
            runtime.wait_hanging("update", 1).await;
            runtime.heal("update");
        };
        let (first, second, third, ()) = futures_util::join!(shares, period, memory, heal);
        for answer in [first, second, third] {
            answer.unwrap();
        }
        let linux = container.status().await.resources.unwrap().linux.unwrap();
        assert_eq!((linux.cpu_shares, linux.cpu_quota, linux.memory_limit_in_bytes), (512, 25_000, 64 << 20));
    });
}

/// Whether it had only begun when the daemon died, or had been made and not been told.
#[test]
fn an_update_that_outlives_its_daemon_is_recorded_as_it_is_in_force() {
    with_faults(async |daemon, runtime| {
        for fault in [Fault::Hang, Fault::HangAfterwards] {
            let pod = pod(daemon, "updated").await;
            let container = pod.container("main").sh("sleep 1000");
            let container = container.resources(|limits| limits.memory_limit_in_bytes = 64 << 20).start().await;
            let before = runtime.hanging("update");
            runtime.on("update", fault);
            let update = container.update(|limits| (limits.memory_limit_in_bytes, limits.cpu_shares) = (32 << 20, 512));
            let die = async {
                runtime.wait_hanging("update", before + 1).await;
                daemon.kill().await;
            };
            let (answer, ()) = join(update, die).await;
            answer.unwrap_err();
            daemon.start_again().await;
            // What the dead daemon asked for is ended: it would change limits at any later time.
            runtime.wait_hanging("update", before + 2).await;
            assert_eq!(runtime.hang_now("update"), 1, "a call that nobody waits for");
            // Others wait for it, and build on it.
            let period = container.update(|limits| (limits.cpu_period, limits.cpu_quota) = (50_000, 25_000));
            let heal = async { runtime.heal("update") };
            join(async { period.await.unwrap() }, heal).await;
            let linux = container.status().await.resources.unwrap().linux.unwrap();
            assert_eq!((linux.memory_limit_in_bytes, linux.cpu_shares, linux.cpu_quota), (32 << 20, 512, 25_000));
            assert_eq!(memory(&container), (32 << 20).to_string());
            pod.remove().await.unwrap();
        }
    });
}
