//! How containers end, and what is told about it.

use std::time::{Duration, Instant};

use peapod_tests::{Container, on_each_runtime, peapod, v1};
use v1::ContainerState::ContainerExited;

fn told(status: &v1::ContainerStatus) -> (i32, &str) {
    (status.exit_code, status.reason.as_str())
}

#[test]
fn codes_reasons_and_times() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("codes").run().await;
        for (script, code, reason) in [
            ("exit 0", 0, "Completed"),
            ("exit 3", 3, "Error"),
            ("exit 255", 255, "Error"),
            ("kill -9 $$", 137, "Error"),
            ("kill -TERM $$", 143, "Error"),
            ("kill -SEGV $$", 139, "Error"),
        ] {
            let name = format!("c{}", script.replace([' ', '$', '-'], ""));
            // A PID 1 would ignore the signals: it is not one, pod init is.
            let status = pod.container(&name).sh(script).start().await.wait_exit().await;
            assert_eq!(told(&status), (code, reason), "{script}");
            let times = [status.created_at, status.started_at, status.finished_at];
            assert!(times[0] > 0 && times.is_sorted(), "{times:?}");
        }
    });
}

#[test]
fn a_program_that_cannot_be_executed() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("nothing").run().await;
        for (name, program, words) in
            [("missing", "/no/such/program", "o such file"), ("data", "/etc/passwd", "ermission denied")]
        {
            let container = pod.container(name).command(&[program]).create().await;
            let refused = container.start().await.unwrap_err();
            assert!(refused.message().contains(words), "not the runtime's words: {refused}");
            let status = container.status().await;
            assert_eq!(status.state(), ContainerExited);
            assert_eq!(told(&status), (128, "StartError"));
            assert!(status.message.contains(words), "{}", status.message);
        }
    });
}

async fn up(container: Container<'_>) -> Container<'_> {
    container.wait_log("up").await;
    container
}

#[test]
fn stop_sends_the_right_signal() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("signals").run().await;
        let trap = |signal: &str| format!("trap 'exit 5' {signal}; echo up; while :; do sleep 0.05; done");
        let term = up(pod.container("term").sh(&trap("TERM")).start().await).await;
        term.stop(20).await.unwrap();
        assert_eq!(told(&term.status().await), (5, "Error"));
        // The image's own.
        let usr1 = pod.container("usr1").image("peapod/test-entrypoint:1").sh(&trap("USR1")).start().await;
        up(usr1.clone()).await.stop(20).await.unwrap();
        assert_eq!(usr1.status().await.exit_code, 5);
        // The request's wins.
        let quit = pod
            .container("quit")
            .image("peapod/test-entrypoint:1")
            .sh(&trap("QUIT"))
            .config(|config| config.stop_signal = v1::Signal::Sigquit.into())
            .start()
            .await;
        up(quit.clone()).await.stop(20).await.unwrap();
        let status = quit.status().await;
        assert_eq!((status.exit_code, status.stop_signal()), (5, v1::Signal::Sigquit));
    });
}

#[test]
fn after_the_grace_everything_is_killed() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("grace").run().await;
        // A session of its own, out of reach of any process group.
        let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' & echo up; while :; do sleep 0.1; done";
        let container = up(pod.container("main").sh(script).start().await).await;
        let start = Instant::now();
        container.stop(1).await.unwrap();
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(900), "killed too early: {took:?}");
        let status = container.status().await;
        assert_eq!((status.state(), status.exit_code), (ContainerExited, 137));
        // Nobody of it is left in the pod: EXITED means that the cgroup is empty.
        let rest = pod.container("rest").sh("ps -o args | grep -c '[s]leep 0.1' || true");
        assert_eq!(rest.output().await, "0\n");
    });
}

#[test]
fn the_end_of_the_first_process_is_the_end_of_all() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("first").run().await;
        let container = pod.container("main").sh("setsid sleep 4321 & sleep 0.1; exit 7").start().await;
        assert_eq!(container.wait_exit().await.exit_code, 7);
        let rest = pod.container("rest").sh("ps -o args | grep -c '[s]leep 4321' || true");
        assert_eq!(rest.output().await, "0\n");
    });
}

#[test]
fn no_memory_left() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("oom").run().await;
        let limit = |limits: &mut v1::LinuxContainerResources| limits.memory_limit_in_bytes = 32 << 20;
        // `tail` keeps what has no line end.
        let container = pod.container("main").sh("exec tail /dev/zero").resources(limit).start().await;
        assert_eq!(told(&container.wait_exit().await), (137, "OOMKilled"));
        // Killed, but not for that.
        let other = pod.container("other").sh("exec sleep 1000").resources(limit).start().await;
        other.stop(0).await.unwrap();
        assert_eq!(told(&other.status().await), (137, "Error"));
    });
}

#[test]
fn a_stop_is_remembered_by_what_it_met() {
    peapod(async |daemon| {
        let pod = daemon.pod("already").run().await;
        let done = pod.container("done").sh("exit 4").start().await;
        done.wait_exit().await;
        done.stop(10).await.unwrap();
        assert_eq!(told(&done.status().await), (4, "Error"));
        // Created and never started: nothing to end, and no failure.
        let never = pod.container("never").sh("true").create().await;
        never.stop(10).await.unwrap();
        never.remove().await.unwrap();
    });
}

#[test]
fn many_short_containers_end_each_as_its_own() {
    peapod(async |daemon| {
        let pod = daemon.pod("many").run().await;
        let mut running = Vec::new();
        for code in 0..12 {
            running.push(pod.container(&format!("c{code}")).sh(&format!("exit {code}")).start().await);
        }
        for (code, container) in running.iter().enumerate() {
            assert_eq!(container.wait_exit().await.exit_code, i32::try_from(code).unwrap());
        }
    });
}
