//! The pod itself: shared namespaces, pod init, stopping, and cleaning up after a shim that died.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

mod support;

use std::path::Path;
use std::process::Command;

use peapod_shim_protocol::PROTOCOL;
use peapod_shim_protocol::containerd::protobuf::Message;
use peapod_shim_protocol::containerd::{api, protobuf, sandbox_api};
use peapod_shim_protocol::extension::event::Kind;
use peapod_shim_protocol::extension::{self, SandboxOptions};
use serde_json::json;
use support::{Pod, context, refusal, sh, wait_for, with_runtimes};

const OWNER: u32 = 65_532;

fn options() -> SandboxOptions {
    SandboxOptions {
        hostname: "pea".to_owned(),
        new_uts: true,
        new_ipc: true,
        init: true,
        init_uid: OWNER,
        init_gid: OWNER,
        init_groups: vec![7],
        sysctls: [("kernel.msgmax".to_owned(), "4096".to_owned())].into(),
        ..Default::default()
    }
}

async fn hello(pod: &Pod) -> extension::HelloResponse {
    let request = extension::HelloRequest { protocol: PROTOCOL, ..Default::default() };
    pod.extension.hello(context(), &request).await.unwrap()
}

/// The namespaces of the pod, as a container's config.json names them.
async fn namespaces(pod: &Pod) -> Vec<serde_json::Value> {
    let namespaces = hello(pod).await.namespaces.unwrap();
    let all = [("ipc", namespaces.ipc), ("uts", namespaces.uts), ("pid", namespaces.pid)];
    all.into_iter().map(|(kind, path)| json!({"type": kind, "path": path})).collect()
}

#[test]
#[ignore = "needs root"]
fn containers_share_namespaces() {
    with_runtimes(async |pod| {
        let shm = pod.path().join("shm");
        let mut options = options();
        options.mounts = vec![extension::Mount {
            type_: "tmpfs".to_owned(),
            source: "shm".to_owned(),
            target: shm.to_string_lossy().into_owned(),
            options: ["nosuid", "nodev", "noexec", "mode=1777", "size=65536k"].map(str::to_owned).into(),
            ..Default::default()
        }];
        pod.create("", options).await.unwrap();
        let mount = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert!(mount.lines().any(|line| line.contains("/shm ") && line.contains("nosuid,nodev,noexec")), "{mount}");
        let answer = hello(&pod).await;
        assert_eq!((answer.pid, answer.protocol), (pod.shim.id(), PROTOCOL));
        let mut first = sh("c1", "hostname; cat /proc/sys/kernel/msgmax; cat /proc/1/comm; ( sleep 0.1 & ); sleep 600");
        first.namespaces = namespaces(&pod).await;
        pod.run(&first).await;
        wait_for("lines", || pod.lines("c1").len() == 3);
        assert_eq!(pod.lines("c1")[..2], ["stdout F pea", "stdout F 4096"]);
        // Another container sees the first one's processes, and pod init reaps what nobody else does.
        let mut second = sh(
            "c2",
            "while ps -eo comm,ppid | grep -q '^sleep *1$'; do sleep 0.02; done; \
             ps -eo stat= | grep -c Z; ps -eo args= | grep -c '[s]leep 600'; echo done",
        );
        second.namespaces = namespaces(&pod).await;
        pod.run(&second).await;
        assert_eq!(pod.exited("c2").await.code, 0);
        assert_eq!(pod.lines("c2"), ["stdout F 0", "stdout F 2", "stdout F done"]);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn setting_up_answers_what_came_of_it() {
    with_runtimes(async |pod| {
        let request = extension::SetUpRequest {
            sandbox_id: pod.id.clone(),
            options: protobuf::MessageField::some(options()),
            ..Default::default()
        };
        // Twice at once: one makes it, the other one is told so.
        let (a, b) = tokio::join!(pod.extension.set_up(context(), &request), pod.extension.set_up(context(), &request));
        let (made, refused) = if a.is_ok() { (a, b) } else { (b, a) };
        assert_eq!(refusal(refused).0, ttrpc::Code::ALREADY_EXISTS);
        let (made, asked) = (made.unwrap(), hello(&pod).await);
        assert_eq!((made.protocol, made.pid, &made.namespaces), (PROTOCOL, pod.shim.id(), &asked.namespaces));
        let namespaces = made.namespaces.unwrap();
        assert!(Path::new(&namespaces.ipc).exists() && Path::new(&namespaces.pid).exists(), "{namespaces}");
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_score_that_the_runtime_leaves_is_settled() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let own = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", pod.shim.id())).unwrap();
        // Its configuration has none, so runtimes leave it with the shim's. Higher than that may always be asked for.
        let wanted = own.trim().parse::<i32>().unwrap() + 7;
        let mut request = pod.create_request(&sh("c1", "exec sleep 600"));
        let mut options = extension::TaskOptions::parse_from_bytes(&request.options.value).unwrap();
        options.oom_score_adj = Some(wanted);
        options.cgroup = pod.cgroup("c1").path().to_owned();
        request.options = support::any(peapod_shim_protocol::TASK_OPTIONS_URL, options.write_to_bytes().unwrap());
        let pid = pod.task.create(context(), &request).await.unwrap().pid;
        let is = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        assert_eq!(is.trim(), wanted.to_string());
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn pod_init_is_no_way_out() {
    with_runtimes(async |pod| {
        pod.create("", options()).await.unwrap();
        let mut plan = sh(
            "c1",
            "ls -A /proc/1/root/ | wc -l; ls -A /proc/1/cwd/ | wc -l; ls /proc/1/fd | wc -l; \
             wc -c < /proc/1/environ; wc -l < /proc/1/mountinfo; tr '\\0' ' ' < /proc/1/cmdline; echo; \
             (: >> /proc/1/exe) 2>/dev/null && echo writable; (: > /proc/1/root/x) 2>/dev/null && echo writable; \
             grep -E '^(Uid|Gid|Groups|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/1/status | tr -s '\\t ' ' '; \
             cat /proc/1/mountinfo | cut -d' ' -f4-6",
        );
        plan.namespaces = namespaces(&pod).await;
        plan.capabilities = vec!["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN"];
        pod.run(&plan).await;
        pod.exited("c1").await;
        let lines: Vec<String> =
            pod.lines("c1").iter().map(|line| line.trim_start_matches("stdout F ").to_owned()).collect();
        let ids = format!("{OWNER} {OWNER} {OWNER} {OWNER}");
        let none = "0000000000000000";
        let wanted = [
            "0".to_owned(),
            "0".to_owned(),
            "0".to_owned(),
            "0".to_owned(),
            "1".to_owned(),
            "peapod-init ".to_owned(),
            format!("Uid: {ids}"),
            format!("Gid: {ids}"),
            "Groups: 7 ".to_owned(),
            format!("CapPrm: {none}"),
            format!("CapEff: {none}"),
            format!("CapBnd: {none}"),
            format!("CapAmb: {none}"),
            "NoNewPrivs: 1".to_owned(),
            "Seccomp: 2".to_owned(),
        ];
        assert_eq!(lines[..wanted.len()], wanted);
        assert!(lines[wanted.len()].starts_with("/ / ro,nosuid,nodev,noexec"), "{lines:?}");
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn pod_init_starts_later_and_is_missed() {
    with_runtimes(async |pod| {
        pod.plain().await;
        assert_eq!(hello(&pod).await.namespaces.unwrap().pid, "");
        let request = extension::EnsureInitRequest { uid: OWNER, gid: OWNER, ..Default::default() };
        let (a, b) = tokio::join!(
            pod.extension.ensure_init(context(), &request),
            pod.extension.ensure_init(context(), &request)
        );
        let path = a.unwrap().namespaces.unwrap().pid;
        assert_eq!(path, b.unwrap().namespaces.unwrap().pid);
        assert!(Path::new(&path).exists());
        let mut plan = sh("c1", "sleep 600");
        plan.namespaces = vec![json!({"type": "pid", "path": path})];
        pod.run(&plan).await;
        let request = sandbox_api::StartSandboxRequest { sandbox_id: pod.id.clone(), ..Default::default() };
        let init = pod.sandbox.start_sandbox(context(), &request).await.unwrap().pid;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(init as i32), nix::sys::signal::Signal::SIGTERM).unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.extend(pod.events().await.into_iter().map(|event| match event.kind.unwrap() {
                Kind::InitExited(exited) => format!("init {}", exited.code),
                Kind::Exited(exited) => format!("{} {}", event.container_id, exited.code),
                other => format!("{other:?}"),
            }));
        }
        seen.sort();
        assert_eq!(seen, ["c1 137", "init 0"]);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn refuses_what_can_not_be() {
    with_runtimes(async |pod| {
        let mut bad = options();
        bad.sysctls = [("kernel.shm_nothing".to_owned(), "1".to_owned())].into();
        let (code, words) = refusal(pod.create("", bad).await);
        assert_eq!(code, ttrpc::Code::INVALID_ARGUMENT);
        assert!(words.contains("kernel.shm_nothing"), "{words}");
        let mut bad = options();
        bad.mounts = vec![
            extension::Mount {
                type_: "tmpfs".into(),
                target: pod.path().join("shm").to_string_lossy().into(),
                ..Default::default()
            },
            extension::Mount {
                type_: "nonsense".into(),
                target: pod.path().join("x").to_string_lossy().into(),
                ..Default::default()
            },
        ];
        let (_, words) = refusal(pod.create("", bad).await);
        assert!(words.contains("nonsense"), "{words}");
        pod.assert_clean();
        // Nothing of it stays in the way.
        pod.create("", options()).await.unwrap();
        assert_eq!(refusal(pod.create("", options()).await).0, ttrpc::Code::ALREADY_EXISTS);
        let request = sandbox_api::SandboxMetricsRequest::new();
        assert_eq!(refusal(pod.sandbox.sandbox_metrics(context(), &request).await).0, ttrpc::Code::UNIMPLEMENTED);
        let request = sandbox_api::PingRequest { sandbox_id: "other".into(), ..Default::default() };
        assert_eq!(refusal(pod.sandbox.ping_sandbox(context(), &request).await).0, ttrpc::Code::NOT_FOUND);
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn stopping_ends_everything_and_keeps_the_ends() {
    with_runtimes(async |pod| {
        pod.create("", options()).await.unwrap();
        for id in ["c1", "c2"] {
            pod.run(&sh(id, "trap '' TERM; sleep 600 & wait; wait")).await;
        }
        // One that was never started.
        pod.task.create(context(), &pod.create_request(&sh("c3", "true"))).await.unwrap();
        let request = sandbox_api::StopSandboxRequest { sandbox_id: pod.id.clone(), ..Default::default() };
        pod.sandbox.stop_sandbox(context(), &request).await.unwrap();
        for id in ["c1", "c2"] {
            assert_eq!(pod.wait(id, "").await, 137);
            assert!(!pod.cgroup(id).exists());
        }
        let request = sandbox_api::SandboxStatusRequest { sandbox_id: pod.id.clone(), ..Default::default() };
        let status = pod.sandbox.sandbox_status(context(), &request).await.unwrap();
        assert_eq!(status.state, "SANDBOX_NOTREADY");
        assert!(status.exited_at.is_some());
        let refused = pod.task.create(context(), &pod.create_request(&sh("c4", "true"))).await;
        assert_eq!(refusal(refused).0, ttrpc::Code::UNAVAILABLE);
        pod.delete("c1", "").await.unwrap();
        pod.finish().await;
    });
}

#[test]
#[ignore = "needs root"]
fn a_dead_shim_is_cleaned_up_after() {
    with_runtimes(async |mut pod| {
        pod.create("", options()).await.unwrap();
        let mut plan = sh("c1", "sleep 601 & sleep 602");
        plan.namespaces = namespaces(&pod).await;
        pod.run(&plan).await;
        pod.run(&sh("c2", "sleep 603")).await;
        let init: i32 = std::fs::read_to_string(pod.path().join("init.pid")).unwrap().trim().parse().unwrap();
        pod.shim.kill().unwrap();
        pod.shim.wait().unwrap();
        // Pod init does not outlive its shim.
        let gone = || match std::fs::read_to_string(format!("/proc/{init}/stat")) {
            // Its new parent may take its time.
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        };
        wait_for("end of pod init", gone);
        for _ in 0..2 {
            let output = Command::new(support::shim())
                .args(["-namespace", "peapod", "-id", &pod.id, "-bundle"])
                .arg(pod.path())
                .arg("delete")
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        pod.assert_clean();
        assert!(!pod.cgroup("c1").exists() && !pod.cgroup("c2").exists());
    });
}

#[test]
#[ignore = "needs root"]
fn many_at_once() {
    with_runtimes(async |pod| {
        pod.plain().await;
        let ids: Vec<String> = (0..8).map(|number| format!("c{number}")).collect();
        let plans: Vec<_> = ids.iter().map(|id| sh(id, "echo $$; exit 5")).collect();
        let runs = plans.iter().map(|plan| {
            let (task, request) = (pod.task.clone(), pod.create_request(plan));
            tokio::spawn(async move {
                let id = request.id.clone();
                task.create(context(), &request).await.unwrap();
                task.start(context(), &api::StartRequest { id, ..Default::default() }).await.unwrap();
            })
        });
        for run in runs.collect::<Vec<_>>() {
            run.await.unwrap();
        }
        for id in &ids {
            assert_eq!(pod.wait(id, "").await, 5);
            assert_eq!(pod.lines(id), ["stdout F 1"]);
            pod.delete(id, "").await.unwrap();
        }
        pod.finish().await;
    });
}
