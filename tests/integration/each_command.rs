//! Each command of an OCI runtime hangs, fails, dies, and leaves a process: what the caller hears, that other pods go
//! on meanwhile, and that the pod's stop and removal come to an end.

use std::time::Instant;

use futures_util::future::{join, join_all};
use peapod_shim_protocol::containerd::api::{PauseRequest, ResumeRequest};
use peapod_shim_protocol::containerd::ttrpc::{self, context};
use peapod_tests::{Container, Fault, FaultyRuntime, Options, Pod, SHELL, at_most, peapod_with, v1, wait_for};
use tonic::{Code, Status};
use v1::ContainerState::{ContainerExited, ContainerRunning};

use crate::overriding::{SOON, nothing_of, soon};

/// A handler for each, with its name. What hangs is ended by the pod's stop, and by its removal alone.
const FAULTS: [(&str, Fault); 5] = [
    ("hangs", Fault::Hang),
    ("hangs-removed", Fault::Hang),
    ("fails", Fault::Fail),
    ("dies", Fault::Die),
    ("leaves", Fault::Leave),
];

/// All faults of these commands, one command after the other, the faults side by side.
fn each_fault_of(commands: &[&str]) {
    let tmp = tempfile::tempdir().unwrap();
    let runtimes = FAULTS.map(|(name, fault)| (FaultyRuntime::named(tmp.path(), name), fault));
    let options = runtimes.iter().fold(Options::new(), |options, (runtime, _)| options.set(runtime.setting()));
    peapod_with(&options, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let well = daemon.pod("well").run().await;
        let well = well.container("main").sh("sleep 1000").start().await;
        for command in commands {
            let tries = runtimes.iter().map(async |(runtime, fault)| {
                let name = format!("{}-{command}", runtime.handler());
                let pod = daemon.pod(&name).handler(runtime.handler()).run().await;
                one_fault(&pod, &well, runtime, (command, *fault)).await;
                runtime.heal(command);
            });
            join_all(tries).await;
        }
    });
}

async fn one_fault(pod: &Pod<'_>, well: &Container<'_>, runtime: &FaultyRuntime, (command, fault): (&str, Fault)) {
    let container = prepared(pod, command).await;
    runtime.on(command, fault);
    let called = call(command, &container);
    match fault {
        Fault::Hang => {
            let end = async {
                runtime.wait_hanging(command, 1).await;
                assert_eq!(soon("ExecSync", well.try_exec(&["echo", "well"], 20)).await.stdout, "well\n");
                if runtime.handler() == "hangs" {
                    soon("StopPodSandbox", pod.stop()).await;
                    assert_eq!(container.state().await, ContainerExited);
                    nothing_of(&container, runtime);
                }
                soon("RemovePodSandbox", pod.remove()).await;
            };
            let (answer, ()) = join(called, end).await;
            // What was to end the container anyway has succeeded.
            assert_eq!(answer.is_ok(), command == "delete", "{command}: {answer:?}");
        }
        Fault::Leave => {
            called.await.unwrap_or_else(|error| panic!("{command}: {error}"));
            wait_for("one is left", async || runtime.processes() == 1).await;
        }
        _ => refused(&container, runtime, command, called.await).await,
    }
    soon("StopPodSandbox", pod.stop()).await;
    nothing_of(&container, runtime);
    soon("RemovePodSandbox", pod.remove()).await;
}

/// A container of which that command can be asked.
async fn prepared<'a>(pod: &Pod<'a>, command: &str) -> Container<'a> {
    let container = pod.container("main").sh("sleep 1000").create().await;
    if !matches!(command, "create" | "start") {
        container.start().await.unwrap();
    }
    if command == "resume" {
        call("pause", &container).await.unwrap();
    }
    container
}

/// Asks for something that the runtime's command is needed for.
async fn call(command: &str, container: &Container<'_>) -> Result<(), Status> {
    match command {
        "create" | "start" => container.start().await,
        "exec" => container.try_exec(&["true"], 0).await.map(drop),
        "update" => container.update(|linux| linux.cpu_shares = 512).await,
        "delete" => container.stop(0).await,
        // No call of CRI leads there.
        "pause" | "resume" => {
            let (task, id) = (container.pod.task().await, container.id.clone());
            let answer = if command == "pause" {
                let request = PauseRequest { id, ..Default::default() };
                task.pause(context::Context::default(), &request).await
            } else {
                let request = ResumeRequest { id, ..Default::default() };
                task.resume(context::Context::default(), &request).await
            };
            answer.map(drop).map_err(|error| match error {
                ttrpc::Error::RpcStatus(status) => Status::new(Code::from(status.code.value()), status.message),
                error => Status::unavailable(error.to_string()),
            })
        }
        _ => panic!("nothing leads to {command}"),
    }
}

/// The command has failed: the caller hears which, of which runtime, and why; the rest is as it was.
async fn refused(container: &Container<'_>, runtime: &FaultyRuntime, command: &str, answer: Result<(), Status>) {
    if command == "delete" {
        answer.unwrap();
        return wait_for("it is called", async || runtime.calls("delete") > 0).await;
    }
    let refused = answer.unwrap_err();
    let code = if matches!(command, "pause" | "resume") { Code::Internal } else { Code::Unknown };
    let why = if runtime.handler() == "dies" { "exit code 137" } else { "made to fail by its test" };
    assert_eq!(refused.code(), code, "{command}: {refused:?}");
    let wanted = format!("{} {command}: {why}", runtime.handler());
    assert!(refused.message().contains(&wanted), "{refused:?} without {wanted:?}");
    runtime.heal(command);
    if matches!(command, "create" | "start") {
        let status = container.status().await;
        assert_eq!((status.state(), status.reason.as_str()), (ContainerExited, "StartError"));
        let next = container.pod.container("next").sh("sleep 1000").start().await;
        assert_eq!(next.exec("echo on").await, "on\n");
    } else {
        call(command, container).await.unwrap();
        assert_eq!(container.state().await, ContainerRunning);
    }
}

#[test]
fn create_and_start() {
    each_fault_of(&["create", "start"]);
}

#[test]
fn exec_and_update() {
    each_fault_of(&["exec", "update"]);
}

#[test]
fn pause_and_resume() {
    each_fault_of(&["pause", "resume"]);
}

#[test]
fn delete() {
    each_fault_of(&["delete"]);
}

/// Signals go without the runtime, and what state a container is in the shim knows.
#[test]
fn kill_and_state_are_never_called() {
    let tmp = tempfile::tempdir().unwrap();
    let runtime = FaultyRuntime::new(tmp.path());
    for command in ["kill", "state"] {
        runtime.on(command, Fault::Hang);
    }
    peapod_with(&Options::new().handler("faulty").set(runtime.setting()), async |daemon| {
        let pod = daemon.pod("signals").run().await;
        let container = pod.container("main").sh("trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done");
        let container = container.start().await;
        container.wait_log("up").await;
        soon("StopContainer", container.stop(600)).await;
        assert_eq!(container.status().await.exit_code, 3);
        let killed = pod.container("killed").sh("sleep 1000").start().await;
        soon("RemovePodSandbox", pod.remove()).await;
        nothing_of(&killed, &runtime);
        for command in ["kill", "state"] {
            assert_eq!(runtime.calls(command), 0, "{command}");
        }
    });
}

/// The daemon asks each runtime at its start, and serves meanwhile.
#[test]
fn features() {
    let tmp = tempfile::tempdir().unwrap();
    let runtimes = FAULTS.map(|(name, fault)| {
        let runtime = FaultyRuntime::named(tmp.path(), name);
        runtime.on("features", fault);
        runtime
    });
    let options = runtimes.iter().fold(Options::new(), |options, runtime| options.set(runtime.setting()));
    let began = Instant::now();
    peapod_with(&options, async |daemon| {
        assert!(began.elapsed() < at_most(SOON), "took {:?}", began.elapsed());
        let pods = runtimes.iter().map(async |runtime| {
            wait_for("it is asked", async || runtime.calls("features") > 0).await;
            let pod = daemon.pod(runtime.handler()).handler(runtime.handler()).run().await;
            assert_eq!(pod.container("main").sh("echo works").output().await, "works\n");
        });
        join_all(pods).await;
        for runtime in &runtimes {
            let left = usize::from(runtime.handler() == "leaves");
            wait_for("what was asked is gone", async || runtime.processes() == left).await;
        }
    });
}
