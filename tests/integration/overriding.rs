//! Stop and remove override whatever a container or pod is doing: OCI runtimes that hang, fail, die and leave
//! processes.

use std::time::{Duration, Instant};

use futures_util::future::join;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use peapod_tests::{
    Container, Daemon, Fault, FaultyRuntime, Options, Pod, SHELL, at_most, cgroups, on_each_runtime, peapod_with, v1,
    wait_for,
};
use v1::ContainerState::{ContainerCreated, ContainerExited, ContainerRunning};

/// Longer than a call that is interrupted goes on, with some room; far shorter than a call of the runtime may take.
pub(crate) const SOON: Duration = Duration::from_secs(8);

pub(crate) fn with_faults(test: impl AsyncFnOnce(&Daemon, &FaultyRuntime)) {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = FaultyRuntime::new(tmp.path());
    peapod_with(&Options::new().set(runtime.setting()), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        test(daemon, &runtime).await;
        for command in ["create", "start", "exec", "delete", "update"] {
            runtime.heal(command);
        }
    });
}

/// The answer, which comes that soon.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = Result<T, tonic::Status>>) -> T {
    let began = Instant::now();
    let done = work.await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(began.elapsed() < at_most(SOON), "{what} took {:?}", began.elapsed());
    done
}

fn group_exists(container: &Container<'_>) -> bool {
    let parents = cgroups::dirs(&container.pod.daemon.cgroup());
    parents.iter().any(|parent| parent.join(container.cgroup_name()).exists())
}

fn state_exists(container: &Container<'_>) -> bool {
    container.pod.daemon.run_root().join("runtimes/faulty").join(&container.id).exists()
}

/// Neither processes of the runtime's calls nor what the runtime knows of the container are left.
pub(crate) fn nothing_of(container: &Container<'_>, runtime: &FaultyRuntime) {
    assert_eq!(runtime.processes(), 0, "of the runtime's calls something is left");
    assert!(!group_exists(container) && !state_exists(container), "its cgroup or its state is left");
}

pub(crate) async fn pod<'a>(daemon: &'a Daemon, name: &str) -> Pod<'a> {
    daemon.pod(name).handler("faulty").run().await
}

/// The start of a container in that pod hangs in that command while the rest happens.
async fn while_it_hangs(
    pod: &Pod<'_>,
    runtime: &FaultyRuntime,
    (command, fault): (&str, Fault),
    then: impl AsyncFnOnce(&Container<'_>),
) {
    let container = pod.container("hangs").sh("sleep 1000").create().await;
    let before = runtime.calls(command);
    runtime.on(command, fault);
    let rest = async {
        wait_for("it is called", async || runtime.calls(command) > before).await;
        runtime.wait_hanging(command, 1).await;
        then(&container).await;
        runtime.heal(command);
    };
    let (started, ()) = join(container.start(), rest).await;
    let refused = started.unwrap_err();
    assert!(refused.message().contains("stopped meanwhile"), "{refused:?}");
}

#[test]
fn a_stop_ends_a_start_that_hangs() {
    with_faults(async |daemon, runtime| {
        for step in [("create", Fault::Hang), ("create", Fault::HangAfterwards), ("start", Fault::Hang)] {
            let pod = pod(daemon, "stopped").await;
            while_it_hangs(&pod, runtime, step, async |container| {
                soon("StopContainer", container.stop(600)).await;
                wait_for("it has ended", async || container.state().await == ContainerExited).await;
                wait_for("nothing is left", async || runtime.processes() == 0 && !group_exists(container)).await;
                soon("RemoveContainer", container.remove()).await;
                nothing_of(container, runtime);
            })
            .await;
            // The pod is none the worse.
            let other = pod.container("other").sh("sleep 1000").start().await;
            assert_eq!(other.exec("echo here").await, "here\n");
            pod.remove().await.unwrap();
        }
    });
}

#[test]
fn removals_and_the_pods_stop_end_a_start_that_hangs() {
    with_faults(async |daemon, runtime| {
        for command in ["create", "start"] {
            let first = pod(daemon, "first").await;
            while_it_hangs(&first, runtime, (command, Fault::Hang), async |container| {
                soon("RemoveContainer", container.remove()).await;
                nothing_of(container, runtime);
            })
            .await;
            first.remove().await.unwrap();
            let second = pod(daemon, "second").await;
            while_it_hangs(&second, runtime, (command, Fault::Hang), async |container| {
                soon("StopPodSandbox", second.stop()).await;
                assert_eq!(container.state().await, ContainerExited);
                nothing_of(container, runtime);
            })
            .await;
            soon("RemovePodSandbox", second.remove()).await;
            let third = pod(daemon, "third").await;
            while_it_hangs(&third, runtime, (command, Fault::Hang), async |container| {
                soon("RemovePodSandbox", third.remove()).await;
                nothing_of(container, runtime);
            })
            .await;
        }
    });
}

#[test]
fn a_start_that_hung_when_the_daemon_died_is_taken_back() {
    with_faults(async |daemon, runtime| {
        let pod = pod(daemon, "died").await;
        let container = pod.container("hangs").sh("sleep 1000").create().await;
        runtime.on("create", Fault::Hang);
        let kill = async {
            runtime.wait_hanging("create", 1).await;
            daemon.kill().await;
        };
        let (started, ()) = join(container.start(), kill).await;
        started.unwrap_err();
        daemon.start_again().await;
        wait_for("the start is ended", async || runtime.processes() == 0).await;
        runtime.heal("create");
        wait_for("it can start", async || container.start().await.is_ok()).await;
        assert_eq!(container.state().await, ContainerRunning);
    });
}

#[test]
fn a_delete_that_hangs_or_fails_keeps_nobody() {
    with_faults(async |daemon, runtime| {
        for fault in [Fault::Hang, Fault::Fail, Fault::Die, Fault::HangAfterwards] {
            let pod = pod(daemon, "deleted").await;
            let ends = pod.container("ends").sh("sleep 1000").start().await;
            let stays = pod.container("stays").sh("sleep 1000").start().await;
            runtime.on("delete", fault);
            soon("StopContainer", ends.stop(0)).await;
            soon("StopPodSandbox", pod.stop()).await;
            for container in [&ends, &stays] {
                assert_eq!(container.state().await, ContainerExited);
                nothing_of(container, runtime);
            }
            soon("RemovePodSandbox", pod.remove()).await;
            runtime.heal("delete");
        }
    });
}

#[test]
fn a_command_that_hangs_in_the_runtime_ends_in_time() {
    with_faults(async |daemon, runtime| {
        let pod = pod(daemon, "commands").await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        runtime.on("exec", Fault::Hang);
        let began = Instant::now();
        let late = container.try_exec(&["true"], 1).await.unwrap_err();
        assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
        assert!(began.elapsed() < at_most(SOON), "took {:?}", began.elapsed());
        wait_for("its call is gone", async || runtime.processes() == 0).await;

        let hanging = container.try_exec(&["true"], 600);
        let stop = async {
            runtime.wait_hanging("exec", 2).await;
            soon("StopContainer", container.stop(0)).await;
            wait_for("its call is gone", async || runtime.processes() == 0).await;
        };
        let (answer, ()) = join(hanging, stop).await;
        answer.unwrap_err();
        soon("RemovePodSandbox", pod.remove()).await;
    });
}

#[test]
fn what_a_runtime_leaves_goes_with_the_pod() {
    with_faults(async |daemon, runtime| {
        let pod = pod(daemon, "left").await;
        for command in ["create", "start", "exec", "delete"] {
            runtime.on(command, Fault::Leave);
        }
        let container = pod.container("main").sh("sleep 1000").start().await;
        assert_eq!(container.exec("echo here").await, "here\n");
        container.stop(0).await.unwrap();
        wait_for("the runtime has deleted it", async || runtime.calls("delete") > 0).await;
        wait_for("there is one of each", async || runtime.processes() == 4).await;
        soon("StopPodSandbox", pod.stop()).await;
        nothing_of(&container, runtime);
    });
}

#[test]
fn what_a_runtime_has_started_goes_when_the_shim_was_killed() {
    let kill = |pod: &Pod<'_>| {
        let shim = nix::unistd::Pid::from_raw(pod.shim_pid());
        nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).unwrap();
    };
    with_faults(async |daemon, runtime| {
        for command in ["create", "start"] {
            let pod = pod(daemon, "hung").await;
            let container = pod.container("main").sh("sleep 1000").create().await;
            runtime.on(command, Fault::Hang);
            let killed = async {
                runtime.wait_hanging(command, 1).await;
                kill(&pod);
            };
            let (started, ()) = join(container.start(), killed).await;
            started.unwrap_err();
            soon("RemovePodSandbox", pod.remove()).await;
            nothing_of(&container, runtime);
            runtime.heal(command);
        }
        let pod = pod(daemon, "left").await;
        for command in ["create", "start", "exec", "delete"] {
            runtime.on(command, Fault::Leave);
        }
        let container = pod.container("main").sh("sleep 1000").start().await;
        assert_eq!(container.exec("echo here").await, "here\n");
        kill(&pod);
        soon("RemovePodSandbox", pod.remove()).await;
        nothing_of(&container, runtime);
    });
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    with_faults(async |daemon, runtime| {
        let pod = pod(daemon, "fails").await;
        for command in ["create", "start"] {
            for fault in [Fault::Fail, Fault::Die] {
                let container = pod.container("main").sh("sleep 1000").create().await;
                runtime.on(command, fault);
                let refused = container.start().await.unwrap_err();
                runtime.heal(command);
                assert!(matches!(fault, Fault::Die) || refused.message().contains("made to fail"), "{refused:?}");
                let status = container.status().await;
                assert_eq!((status.state(), status.exit_code), (ContainerExited, 128));
                assert_eq!(status.reason, "StartError");
                wait_for("nothing is left", async || !group_exists(&container) && !state_exists(&container)).await;
                container.remove().await.unwrap();
                nothing_of(&container, runtime);
            }
        }
    });
}

#[test]
fn a_pod_whose_shim_hangs_can_be_stopped() {
    with_faults(async |daemon, _| {
        let pod = daemon.pod("stuck").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let shim = nix::unistd::Pid::from_raw(pod.shim_pid());
        nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGSTOP).unwrap();
        let began = Instant::now();
        pod.stop().await.unwrap();
        assert!(began.elapsed() < at_most(Duration::from_secs(20)), "took {:?}", began.elapsed());
        assert_eq!(container.status().await.exit_code, 255);
        assert!(!group_exists(&container));
        pod.remove().await.unwrap();
    });
}

#[test]
fn what_was_stopped_before_it_started_does_not_start() {
    with_faults(async |daemon, _| {
        let pod = daemon.pod("late").run().await;
        let container = pod.container("main").sh("sleep 1000").create().await;
        assert_eq!(container.state().await, ContainerCreated);
        container.stop(5).await.unwrap();
        container.stop(0).await.unwrap();
        let refused = container.start().await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
        let status = container.status().await;
        assert_eq!((status.state(), status.exit_code, status.started_at), (ContainerExited, 137, 0));
        assert!(!group_exists(&container));
        container.remove().await.unwrap();
        pod.container("main").sh("sleep 1000").start().await;
    });
}

#[test]
fn the_time_of_a_start_is_the_same_after_the_end() {
    with_faults(async |daemon, _| {
        let pod = daemon.pod("time").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let running = container.status().await.started_at;
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!(container.status().await.started_at, running);
        container.stop(0).await.unwrap();
        let ended = container.status().await;
        assert_eq!(ended.started_at, running);
        assert!(ended.finished_at > ended.started_at);
    });
}

#[test]
fn a_fifo_in_the_place_of_passwd_keeps_nobody() {
    on_each_runtime(async |daemon| {
        let etc = daemon.path("etc");
        std::fs::create_dir(&etc).unwrap();
        for name in ["passwd", "group"] {
            mkfifo(&etc.join(name), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }
        let pod = daemon.pod("fifo").run().await;
        // From a volume, and made by the container itself.
        let mounted = pod.container("mounted").mount(&etc, "/etc").sh("sleep 1000").create().await;
        let script = "rm -f /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group; echo made; sleep 1000";
        let made = pod.container("made").sh(script).create().await;
        for container in [&mounted, &made] {
            soon("StartContainer", container.start()).await;
        }
        made.wait_log("made").await;
        for container in [&mounted, &made] {
            assert_eq!(container.exec("echo alive").await, "alive\n");
        }
        soon("RemovePodSandbox", pod.remove()).await;
        assert!(!group_exists(&mounted) && !group_exists(&made));
        daemon.nothing_left().await;
    });
}

#[test]
fn an_image_whose_passwd_is_no_file_is_refused() {
    peapod_with(&Options::new(), async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let layers = std::fs::read_dir(daemon.state_root().join("layers")).unwrap().flatten();
        let passwd = layers.map(|layer| layer.path().join("diff/etc/passwd")).find(|path| path.exists()).unwrap();
        let pod = daemon.pod("passwd").run().await;
        let fifo = || mkfifo(&passwd, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let link = |target: &str| std::os::unix::fs::symlink(target, &passwd).unwrap();
        let makers: [&dyn Fn(); 3] = [&fifo, &|| link("passwd"), &|| link(&"x".repeat(300))];
        for make in makers {
            std::fs::remove_file(&passwd).unwrap();
            make();
            let root = |security: &mut v1::LinuxContainerSecurityContext| security.run_as_username = "root".to_owned();
            let made = pod.container("main").sh("true").security(root);
            let refused = soon("CreateContainer", async { Ok(made.try_create().await.err().unwrap()) }).await;
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
            assert!(refused.message().contains("/etc/passwd"), "{refused:?}");
        }
    });
}
