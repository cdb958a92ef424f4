//! Small requests that are built to explode: each costs the daemon little memory and time, other pods go on meanwhile,
//! and nothing is left.

use std::time::{Duration, Instant};

use peapod_tests::{Daemon, SHELL, at_most, peapod, v1};
use tonic::{Code, Status};

/// For one request of a few megabytes, refused or not. In a debug build.
const TIME: Duration = Duration::from_secs(8);
/// What the daemon may grow by, all of them after each other, in KiB.
const MEMORY: u64 = 160 << 10;

fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Asks, beside a pod that comes and goes, and holds the answer to the budget.
async fn costs_little<T>(
    daemon: &Daemon,
    case: &str,
    ask: impl AsyncFnOnce() -> Result<T, Status>,
) -> Result<T, Status> {
    let begun = Instant::now();
    let beside = async {
        let pod = daemon.pod("beside").run().await;
        pod.container("main").sh("echo beside").output().await;
        pod.remove().await.unwrap();
        begun.elapsed()
    };
    let asked = async {
        let answer = ask().await;
        (answer, begun.elapsed())
    };
    let (beside, (answer, took)) = tokio::join!(beside, asked);
    assert!(took < at_most(TIME), "{case} took {took:?}");
    assert!(beside < at_most(TIME), "{case}: a pod beside took {beside:?}");
    if let Err(refused) = &answer {
        let message = refused.message();
        assert!(message.len() < 1000 && !message.contains(char::is_control), "{case}: {message:.2000}");
        assert!(
            matches!(refused.code(), Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented),
            "{case}: {refused}"
        );
    }
    answer
}

type ContainerChange = fn(&mut v1::ContainerConfig);

fn security(config: &mut v1::ContainerConfig) -> &mut v1::LinuxContainerSecurityContext {
    config.linux.get_or_insert_default().security_context.get_or_insert_default()
}

fn limits(config: &mut v1::ContainerConfig) -> &mut v1::LinuxContainerResources {
    config.linux.get_or_insert_default().resources.get_or_insert_default()
}

fn variable(key: String, value: impl Into<Vec<u8>>) -> v1::KeyValue {
    v1::KeyValue { key, value: value.into().into() }
}

fn mount(number: usize) -> v1::Mount {
    v1::Mount { host_path: "/tmp".to_owned(), container_path: format!("/m/{number}"), ..Default::default() }
}

fn device(host: &str, number: usize) -> v1::Device {
    let container_path = format!("/dev/d{number}");
    v1::Device { host_path: host.to_owned(), container_path, permissions: "r".to_owned() }
}

const CONTAINERS: &[(&str, ContainerChange)] = &[
    ("100 000 variables", |c| c.envs = (0..100_000).map(|n| variable(format!("V{n}"), "x")).collect()),
    ("one variable 100 000 times", |c| c.envs = (0..100_000).map(|_| variable("V".to_owned(), "x")).collect()),
    ("a long variable", |c| c.envs = vec![variable("V".to_owned(), vec![b'x'; 4 << 20])]),
    ("a long name", |c| c.envs = vec![variable("=V\n".repeat(1 << 20), "")]),
    ("a million arguments", |c| c.args = vec![String::new(); 1_000_000]),
    ("a long argument", |c| c.args = vec!["x".repeat(8 << 20)]),
    ("many labels", |c| c.labels = (0..200_000).map(|n| (n.to_string(), String::new())).collect()),
    ("many annotations", |c| c.annotations = (0..200_000).map(|n| (n.to_string(), String::new())).collect()),
    ("many mounts", |c| c.mounts = (0..50_000).map(mount).collect()),
    ("many devices", |c| c.devices = (0..50_000).map(|n| device("/dev/null", n)).collect()),
    ("folders of no devices", |c| c.devices = (0..1000).map(|n| device("/usr", n)).collect()),
    ("many capabilities", |c| {
        let add_capabilities = vec!["CHOWN".to_owned(); 500_000];
        security(c).capabilities = Some(v1::Capability { add_capabilities, ..Default::default() });
    }),
    ("many unknown capabilities", |c| {
        let drop_capabilities = (0..200_000).map(|n| format!("X{n}")).collect();
        security(c).capabilities = Some(v1::Capability { drop_capabilities, ..Default::default() });
    }),
    ("many groups", |c| security(c).supplemental_groups = (0..1_000_000).collect()),
    ("many masked paths", |c| security(c).masked_paths = (0..200_000).map(|n| format!("/m{n}")).collect()),
    ("many read-only paths", |c| security(c).readonly_paths = (0..200_000).map(|n| format!("/m{n}")).collect()),
    ("a long path", |c| c.working_dir = "/../x".repeat(1 << 20)),
    ("a long user", |c| security(c).run_as_username = "x\n".repeat(1 << 20)),
    ("a profile that never ends", |c| {
        security(c).seccomp = Some(v1::SecurityProfile { profile_type: 2, localhost_ref: "/dev/zero".to_owned() });
    }),
    ("many page sizes", |c| {
        let limit = |n: u64| v1::HugepageLimit { page_size: format!("{n}KB"), limit: n };
        limits(c).hugepage_limits = (1..200_000).map(limit).collect();
    }),
    ("many files of the cgroup", |c| {
        limits(c).unified = (0..200_000).map(|n| (format!("memory.f{n}"), "1".to_owned())).collect();
    }),
    ("a long name of an image", |c| c.image.get_or_insert_default().image = "x/".repeat(1 << 20)),
    ("a long name", |c| c.metadata.get_or_insert_default().name = "x".repeat(4 << 20)),
];

#[test]
fn create_container() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("budget").run().await;
        let before = resident(daemon);
        for (case, change) in CONTAINERS {
            let mut request = pod.container("main").sh("true").request();
            change(request.config.as_mut().unwrap());
            let refused =
                costs_little(daemon, case, async || daemon.runtime().create_container(request).await).await.err();
            assert!(refused.is_some(), "{case}: accepted");
        }
        let grown = resident(daemon).saturating_sub(before);
        assert!(grown < MEMORY, "the daemon grew by {grown} KiB");
        assert!(daemon.containers().await.is_empty());
        // Nothing of them holds the pod up.
        let begun = Instant::now();
        pod.stop().await.unwrap();
        assert!(begun.elapsed() < at_most(TIME), "{:?}", begun.elapsed());
    });
}

#[test]
fn as_much_as_a_container_can_have() {
    peapod(async |daemon| {
        let pod = daemon.pod("much").run().await;
        let mut big = pod.container("big").sh("echo $(set | grep -c ^V)");
        for number in 0..16_000 {
            big = big.env(&format!("V{number}"), "x");
        }
        let request = big.clone();
        let container = costs_little(daemon, "16 000 variables", async || request.try_create().await).await.unwrap();
        costs_little(daemon, "its start", async || container.start().await).await.unwrap();
        container.wait_exit().await;
        assert_eq!(container.stdout(), "16000\n");
    });
}

#[test]
fn a_client_that_leaves_leaves_no_work_behind() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("left").run().await;
        let mut request = pod.container("main").sh("true").request();
        let config = request.config.as_mut().unwrap();
        config.envs = (0..16_000).map(|n| variable(format!("V{n}"), "x")).collect();
        config.mounts = (0..500).map(mount).collect();
        for _ in 0..10 {
            let mut runtime = daemon.runtime();
            let call = runtime.create_container(request.clone());
            let _ = tokio::time::timeout(Duration::from_millis(20), call).await;
        }
        let begun = Instant::now();
        pod.remove().await.unwrap();
        assert!(begun.elapsed() < at_most(TIME), "{:?}", begun.elapsed());
        assert!(daemon.containers().await.is_empty());
    });
}

type PodChange = fn(&mut v1::PodSandboxConfig);

fn linux(config: &mut v1::PodSandboxConfig) -> &mut v1::LinuxPodSandboxConfig {
    config.linux.get_or_insert_default()
}

fn dns(config: &mut v1::PodSandboxConfig) -> &mut v1::DnsConfig {
    config.dns_config.get_or_insert_default()
}

const PODS: &[(&str, PodChange)] = &[
    ("many labels", |c| c.labels = (0..200_000).map(|n| (n.to_string(), String::new())).collect()),
    ("many annotations", |c| c.annotations = (0..200_000).map(|n| (n.to_string(), String::new())).collect()),
    ("many sysctls", |c| linux(c).sysctls = (0..200_000).map(|n| (format!("net.x{n}"), "1".to_owned())).collect()),
    ("a long sysctl", |c| drop(linux(c).sysctls.insert("net.".repeat(1 << 20), "1".to_owned()))),
    ("a long value", |c| drop(linux(c).sysctls.insert("net.core.x".to_owned(), "1".repeat(4 << 20)))),
    ("many servers", |c| dns(c).servers = vec!["192.0.2.1".to_owned(); 200_000]),
    ("a long search list", |c| dns(c).searches = vec!["x".repeat(1000); 1000]),
    ("a long option", |c| dns(c).options = vec!["x".repeat(8 << 20)]),
    ("a long host name", |c| c.hostname = "x".repeat(8 << 20)),
    ("a long name", |c| c.metadata.get_or_insert_default().name = "x\n".repeat(2 << 20)),
    ("a long parent", |c| linux(c).cgroup_parent = "/x".repeat(2 << 20)),
    ("many groups", |c| {
        linux(c).security_context.get_or_insert_default().supplemental_groups = (0..1_000_000).collect();
    }),
];

#[test]
fn run_pod_sandbox() {
    peapod(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let before = resident(daemon);
        for (case, change) in PODS {
            let mut request = daemon.pod("main").request();
            change(request.config.as_mut().unwrap());
            let refused =
                costs_little(daemon, case, async || daemon.runtime().run_pod_sandbox(request).await).await.err();
            assert!(refused.is_some(), "{case}: accepted");
        }
        let handler = daemon.pod("main").handler(&"x\n".repeat(1 << 20)).request();
        let refused = costs_little(daemon, "a long handler", async || daemon.runtime().run_pod_sandbox(handler).await);
        assert!(refused.await.is_err());
        let grown = resident(daemon).saturating_sub(before);
        assert!(grown < MEMORY, "the daemon grew by {grown} KiB");
        assert!(daemon.pods().await.is_empty());
    });
}

#[test]
fn exec_sync() {
    peapod(async |daemon| {
        let pod = daemon.pod("execs").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let before = resident(daemon);
        for (case, cmd) in [
            ("a million arguments", vec!["x".to_owned(); 1_000_000]),
            ("empty arguments", vec![String::new(); 1_000_000]),
            ("a long argument", vec!["x\n".repeat(4 << 20)]),
            ("a longer one than the kernel takes", vec!["x".repeat(200_000)]),
            ("a NUL", vec!["a\0".repeat(1 << 20)]),
        ] {
            let request = v1::ExecSyncRequest { container_id: container.id.clone(), cmd, timeout: 10 };
            let refused = costs_little(daemon, case, async || daemon.runtime().exec_sync(request).await).await.err();
            assert!(refused.is_some(), "{case}: accepted");
        }
        // As much as it takes, and each byte six in JSON.
        let cmd = vec!["/bin/true".to_owned(), "\u{1}".repeat(100_000), "\u{1}".repeat(100_000)];
        let request = v1::ExecSyncRequest { container_id: container.id.clone(), cmd, timeout: 10 };
        costs_little(daemon, "escapes", async || daemon.runtime().exec_sync(request).await).await.unwrap();
        let grown = resident(daemon).saturating_sub(before);
        assert!(grown < MEMORY, "the daemon grew by {grown} KiB");
        assert_eq!(container.exec("echo alive").await, "alive\n");
        let id = "x\n".repeat(1 << 20);
        let request = v1::ExecSyncRequest { container_id: id, cmd: vec!["true".to_owned()], timeout: 1 };
        let refused = daemon.runtime().exec_sync(request).await.unwrap_err();
        assert!(refused.message().len() < 600, "{} bytes", refused.message().len());
    });
}
