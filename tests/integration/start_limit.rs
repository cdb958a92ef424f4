//! Starts of containers are limited, and none that hangs keeps others from starting.

use futures_util::future::join_all;
use peapod_tests::{Fault, FaultyRuntime, Options, SHELL, peapod_with, v1};

#[test]
fn starts_that_hang_hold_up_no_other_and_end_well() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = FaultyRuntime::new(tmp.path());
    runtime.on("create", Fault::Hang);
    // More than there are permits on this machine.
    let many = 3 * std::thread::available_parallelism().map_or(1, usize::from) + 3;
    peapod_with(&Options::new().set(runtime.setting()), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let sick = daemon.pod("sick").handler("faulty").run().await;
        let well = daemon.pod("well").run().await;
        let names: Vec<_> = (0..many).map(|number| format!("hangs-{number}")).collect();
        let hanging = join_all(names.iter().map(|name| sick.container(name).sh("sleep 1000").start()));
        let beside = async {
            runtime.wait_hanging("create", many).await;
            let other = well.container("main").sh("sleep 1000").start().await;
            assert_eq!(other.exec("echo here").await, "here\n");
            other.stop(0).await.unwrap();
            other.remove().await.unwrap();
            runtime.heal("create");
        };
        let (started, ()) = futures_util::future::join(hanging, beside).await;
        for container in started {
            assert_eq!(container.try_status().await.unwrap().state(), v1::ContainerState::ContainerRunning);
        }
    });
}
