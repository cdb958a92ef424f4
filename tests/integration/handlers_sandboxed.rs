//! gVisor's runsc, which keeps a pod's containers in a sandbox that a root container begins. It is the distribution's
//! package `runsc`; of 2022, it takes today's network namespaces for the node's own, so that these pods use the
//! kernel's network, in the pod's namespace. Where it is not installed these tests say so and do nothing.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_tests::{Daemon, Options, Pod, SHELL, peapod_with, v1, wait_for};
use tonic::Code;
use v1::ContainerState::{ContainerExited, ContainerRunning};

const RUNSC: &str = "/usr/bin/runsc";

/// A daemon whose handler `runsc` has these arguments.
#[allow(clippy::print_stderr, reason = "says what was not tested")]
fn with_gvisor(arguments: &str, test: impl AsyncFnOnce(&Daemon)) {
    if !Path::new(RUNSC).is_file() {
        eprintln!("NOT TESTED: {RUNSC} is not installed (`apt-get install runsc`)");
        return;
    }
    let options = Options::new().set(format!("runtimes.handlers.runsc.arguments=[{arguments}]"));
    peapod_with(&options, test);
}

const KERNELS_NETWORK: &str = "\"--network=host\"";

/// The process of the pod's sandbox.
async fn sandbox(daemon: &Daemon, pod: &str) -> Pid {
    let process = peapod_tests::wait_some("the sandbox", async || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok()).find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.starts_with("runsc-sandbox")
                && line.contains(pod)
                && line.contains(&*daemon.run_root().to_string_lossy())
        })
    });
    Pid::from_raw(process.await)
}

fn page(ip: &str) -> String {
    let mut connection = std::net::TcpStream::connect((ip, 8080)).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

/// Bytes of memory and nanoseconds of processor time that a pod has used.
async fn used(daemon: &Daemon, pod: &Pod<'_>) -> (u64, u64) {
    let request = v1::PodSandboxStatsRequest { pod_sandbox_id: pod.id.clone() };
    let stats = daemon.runtime().pod_sandbox_stats(request).await.unwrap().into_inner().stats.unwrap().linux.unwrap();
    let (cpu, memory) = (stats.cpu.unwrap(), stats.memory.unwrap());
    (memory.usage_bytes.unwrap().value, cpu.usage_core_nano_seconds.unwrap().value)
}

#[test]
fn a_pod_of_two_containers_lives_in_a_sandbox() {
    with_gvisor(KERNELS_NETWORK, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon
            .pod("sandboxed")
            .handler("runsc")
            .config(|config| {
                config.hostname = "inside".into();
                let memory = v1::LinuxContainerResources { memory_limit_in_bytes: 1 << 30, ..Default::default() };
                config.linux.get_or_insert_default().resources = Some(memory);
            })
            .run()
            .await;
        let serve = "mkdir /tmp/www; echo a page >/tmp/www/index.html; echo began; \
                     trap 'echo told to end; exit 3' TERM; httpd -p 8080 -h /tmp/www; while :; do sleep 0.1; done";
        let web = pod.container("web").sh(serve).env("SAID", "yes").start().await;
        let other = pod.container("other").sh("echo out; echo err >&2; exec sleep 1000").start().await;
        web.wait_log("began").await;
        other.wait_log("err").await;
        assert_eq!((other.stdout(), other.stderr()), ("out\n".to_owned(), "err\n".to_owned()));

        // It is another kernel.
        assert!(web.exec("dmesg").await.contains("Starting gVisor"));
        assert_eq!(web.exec("hostname; echo $SAID").await, "inside\nyes\n");
        let failing = other.try_exec(&["/bin/sh", "-c", "echo no >&2; exit 7"], 20).await.unwrap();
        assert_eq!((failing.code, &*failing.stderr), (7, "no\n"));
        let late = other.try_exec(&["sleep", "45672"], 1).await.unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}");
        wait_for("the end of the command that took too long", async || !other.exec("ps").await.contains("sleep 45672"))
            .await;
        // The network is the pod's.
        assert!(page(&pod.ip().await).ends_with("a page\n"));
        assert!(other.exec("ip addr 2>/dev/null || ifconfig").await.contains(&pod.ip().await));
        // Of the sandbox, of which containers are a part: some tens of MiB.
        let (memory, processor) = used(daemon, &pod).await;
        assert!(memory > 8 << 20 && processor > 0, "{memory} {processor}");

        // It outlives the daemon.
        daemon.kill().await;
        daemon.start_again().await;
        assert_eq!((web.state().await, other.state().await), (ContainerRunning, ContainerRunning));
        assert!(other.exec("echo again").await.contains("again"));
        let third = pod.container("third").sh("echo third; exit 5").start().await;
        assert_eq!(third.wait_exit().await.exit_code, 5);
        assert_eq!(third.stdout(), "third\n");
        third.remove().await.unwrap();

        web.stop(20).await.unwrap();
        let status = web.status().await;
        assert_eq!((status.exit_code, status.state()), (3, ContainerExited), "{status:?}");
        web.wait_log("told to end").await;
        other.stop(0).await.unwrap();
        assert_eq!(other.status().await.exit_code, 137);
        assert!(pod.is_ready().await);
        pod.stop().await.unwrap();
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

#[test]
fn what_a_sandbox_can_not_have_is_refused_by_name() {
    with_gvisor(KERNELS_NETWORK, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let status = daemon.runtime().status(v1::StatusRequest::default()).await.unwrap().into_inner();
        let offered = status.runtime_handlers.iter().find(|handler| handler.name == "runsc").unwrap();
        let features = offered.features.unwrap();
        assert!(!features.recursive_read_only_mounts && !features.user_namespaces, "{features:?}");

        let pod = || daemon.pod("refused").handler("runsc");
        let host = v1::NamespaceMode::Node;
        for (refused, field) in [
            (pod().host_network(), "namespace_options.network"),
            (pod().pid(host), "namespace_options.pid"),
            (pod().namespaces(|namespaces| namespaces.ipc = host.into()), "namespace_options.ipc"),
            (
                pod().config(|config| {
                    let sysctls = &mut config.linux.get_or_insert_default().sysctls;
                    sysctls.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned());
                }),
                "linux.sysctls",
            ),
        ] {
            let refused = refused.try_run().await.err().expect("a sandbox has no such thing");
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
            assert!(refused.message().contains(field), "{field}: {refused:?}");
            assert!(refused.message().contains(RUNSC), "{refused:?}");
        }

        let pod = daemon.pod("rest").handler("runsc").run().await;
        let container = || pod.container("main").sh("sleep 1000");
        let device =
            v1::Device { container_path: "/dev/x".into(), host_path: "/dev/null".into(), ..Default::default() };
        let shares = v1::MountPropagation::PropagationHostToContainer;
        for (refused, field) in [
            (container().config(|config| config.devices.push(device)), "devices"),
            (container().mount_with("/tmp", "/x", |mount| mount.propagation = shares.into()), "propagation"),
        ] {
            let refused = refused.try_create().await.err().expect("a sandbox has no such thing");
            assert!(refused.message().contains(field) && refused.message().contains(RUNSC), "{refused:?}");
        }
        let running = container().start().await;
        let refused = running.update(|limits| limits.cpu_shares = 512).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
        assert!(refused.message().contains("limits of the pod"), "{refused:?}");
    });
}

#[test]
fn a_sandbox_that_ends_takes_its_containers_and_the_pod_with_it() {
    with_gvisor(KERNELS_NETWORK, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("lost").handler("runsc").run().await;
        let containers = [
            pod.container("one").sh("exec sleep 1000").start().await,
            pod.container("two").sh("exec sleep 1000").start().await,
        ];
        kill(sandbox(daemon, &pod.id).await, Signal::SIGKILL).unwrap();
        for container in &containers {
            assert_eq!(container.wait_exit().await.exit_code, 137);
        }
        wait_for("the pod is not ready", async || !pod.is_ready().await).await;
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

#[test]
fn without_an_argument_that_it_needs_the_error_says_so() {
    with_gvisor("", async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("as-it-is").handler("runsc").run().await;
        let container = pod.container("main").sh("sleep 1000").create().await;
        match container.start().await {
            // A newer one.
            Ok(()) => assert_eq!(container.exec("echo here").await, "here\n"),
            Err(error) => assert!(error.message().contains("arguments = [\"--network=host\"]"), "{error:?}"),
        }
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}

#[test]
fn what_runs_is_ended_after_its_shim_was_killed() {
    with_gvisor(KERNELS_NETWORK, async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("shimless").handler("runsc").run().await;
        let container = pod.container("main").sh("exec sleep 1000").start().await;
        let sandbox = sandbox(daemon, &pod.id).await;
        let of_pod = |line: &str| line.contains("-bundle") && line.contains(&pod.id);
        let shims = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            of_pod(&String::from_utf8_lossy(&line)).then(|| entry.file_name().to_string_lossy().parse::<i32>().ok())?
        });
        shims.for_each(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap());
        assert_eq!(container.wait_exit().await.reason, "Unknown");
        wait_for("the sandbox has ended", async || kill(sandbox, None).is_err()).await;
        pod.remove().await.unwrap();
        daemon.nothing_left().await;
    });
}
