//! What the containers of a pod share, with each other and with the node.

use peapod_tests::{Container, on_each_runtime, peapod, v1, wait_for};
use v1::NamespaceMode::{self, Node, Target};

async fn namespace(container: &Container<'_>, kind: &str) -> String {
    container.exec(&format!("readlink /proc/self/ns/{kind}")).await.trim().to_owned()
}

fn of_node(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().to_string_lossy().into_owned()
}

#[test]
fn network_ipc_and_uts_are_the_pods() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("shared").run().await;
        let one = pod.container("one").sh("sleep 1000").start().await;
        let two = pod.container("two").sh("sleep 1000").start().await;
        for kind in ["net", "ipc", "uts", "pid"] {
            let found = namespace(&one, kind).await;
            assert_eq!(found, namespace(&two, kind).await, "{kind}");
            assert_ne!(found, of_node(kind), "{kind}");
        }
        assert_ne!(namespace(&one, "mnt").await, namespace(&two, "mnt").await);
        // They outlive their containers.
        let before = namespace(&two, "net").await;
        one.stop(0).await.unwrap();
        two.stop(0).await.unwrap();
        let three = pod.container("three").sh("sleep 1000").start().await;
        assert_eq!(namespace(&three, "net").await, before);
    });
}

#[test]
fn the_nodes_namespaces_on_request() {
    on_each_runtime(async |daemon| {
        let pod = daemon
            .pod("host")
            .host_network()
            .namespaces(|options| {
                options.ipc = Node.into();
                options.pid = Node.into();
            })
            .run()
            .await;
        let same = |options: &mut v1::NamespaceOption| {
            (options.network, options.ipc, options.pid) = (Node.into(), Node.into(), Node.into());
        };
        let container = pod
            .container("main")
            .sh("sleep 1000")
            .security(|security| same(security.namespace_options.get_or_insert_default()))
            .start()
            .await;
        for kind in ["net", "ipc", "pid"] {
            assert_eq!(namespace(&container, kind).await, of_node(kind), "{kind}");
        }
        assert_eq!(pod.ip().await, "");
        assert_eq!(
            container.exec("hostname").await.trim(),
            std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim()
        );
    });
}

fn pid(mode: NamespaceMode) -> impl FnOnce(&mut v1::LinuxContainerSecurityContext) {
    move |security| security.namespace_options.get_or_insert_default().pid = mode.into()
}

#[test]
fn processes_are_shared_by_the_pod() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("pids").run().await;
        let one = pod.container("one").sh("sleep 4321").start().await;
        let two = pod.container("two").sh("sleep 1000").start().await;
        wait_for("the other container's process is seen", async || two.exec("ps -o args").await.contains("sleep 4321"))
            .await;
        // Pod init is PID 1, so neither container is, and orphans are reaped.
        let first = pod.init_pid();
        let name = std::fs::read_to_string(format!("/proc/{first}/comm")).unwrap();
        for container in [&one, &two] {
            assert_eq!(container.exec("cat /proc/1/comm").await, name);
        }
        assert!(!["sh\n", "sleep\n"].contains(&name.as_str()), "{name}");
        two.exec("for i in 1 2 3 4 5; do (sh -c 'sleep 0.01 &' &) ; done").await;
        wait_for("orphans are reaped", async || {
            let table = two.exec("ps -o stat,args | grep -v grep || true").await;
            !table.lines().any(|line| line.trim_start().starts_with('Z') || line.contains("sleep 0.01"))
        })
        .await;
        // The end of one container is not the end of the other.
        one.stop(0).await.unwrap();
        assert_eq!(two.exec("echo alive").await, "alive\n");
        assert!(pod.is_ready().await);
    });
}

#[test]
fn processes_of_one_container_alone() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("own").pid(NamespaceMode::Container).run().await;
        let one = pod.container("one").sh("sleep 4321").security(pid(NamespaceMode::Container)).start().await;
        let two = pod.container("two").sh("exec sleep 1000").security(pid(NamespaceMode::Container)).start().await;
        assert_eq!(two.exec("cat /proc/1/comm").await, "sleep\n");
        assert!(!two.exec("ps -o args").await.contains("4321"));
        let target = |security: &mut v1::LinuxContainerSecurityContext| {
            let options = security.namespace_options.get_or_insert_default();
            options.pid = Target.into();
            options.target_id.clone_from(&one.id);
        };
        let debug = pod.container("debug").sh("sleep 1000").security(target).start().await;
        assert!(debug.exec("ps -o args").await.contains("sleep 4321"));
        assert_eq!(namespace(&debug, "pid").await, namespace(&one, "pid").await);
        // A container that wants the pod's processes gets pod init then.
        let late = pod.container("late").sh("sleep 1000").security(pid(NamespaceMode::Pod)).start().await;
        let later = pod.container("later").sh("sleep 1000").security(pid(NamespaceMode::Pod)).start().await;
        assert_eq!(namespace(&late, "pid").await, namespace(&later, "pid").await);
    });
}

#[test]
fn pod_init_is_no_way_out() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("tight").run().await;
        let capability = v1::Capability { add_capabilities: vec!["SYS_PTRACE".to_owned()], ..Default::default() };
        let container = pod
            .container("main")
            .sh("sleep 1000")
            .security(|security| security.capabilities = Some(capability))
            .start()
            .await;
        assert_eq!(container.exec("ls -A /proc/1/root/ 2>/dev/null | head").await, "", "its root shows something");
        // Where AppArmor is on, the looks themselves are refused.
        assert_eq!(container.exec("ls -A /proc/1/fd 2>/dev/null; true").await, "", "it has descriptors");
        assert_eq!(
            container.exec("cat /proc/1/environ 2>/dev/null | tr '\\0' '\\n'").await,
            "",
            "it has an environment"
        );
        let directory = container.exec("ls -A /proc/1/cwd/ 2>/dev/null; true").await;
        assert_eq!(directory, "", "its working directory shows something");
        assert_eq!(container.exec("(echo x >>/proc/1/exe) 2>/dev/null || echo refused").await, "refused\n");
        let caps = container.exec("grep -h -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):' /proc/1/status").await;
        for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(caps.contains(line), "no {line} in {caps}");
        }
        let mounts = container.exec("cat /proc/1/mountinfo 2>/dev/null | wc -l").await;
        assert!(mounts.trim().parse::<u32>().unwrap() <= 3, "it sees the node's mounts: {mounts}");
    });
}

#[test]
fn names_resolvers_and_shared_memory() {
    on_each_runtime(async |daemon| {
        let dns = v1::DnsConfig {
            servers: vec!["10.0.0.10".to_owned()],
            searches: vec!["default.svc.cluster.local".to_owned(), "local".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        let pod = daemon.pod("named").config(|config| config.dns_config = Some(dns)).run().await;
        let one = pod.container("one").sh("sleep 1000").start().await;
        let two = pod.container("two").sh("sleep 1000").start().await;
        assert_eq!(one.exec("hostname; cat /etc/hostname").await, "named\nnamed\n");
        let resolver = one.exec("cat /etc/resolv.conf").await;
        let mut lines: Vec<_> = resolver.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["nameserver 10.0.0.10", "options ndots:5", "search default.svc.cluster.local local"]);
        let ip = pod.ip().await;
        let hosts = one.exec("cat /etc/hosts").await;
        assert!(
            hosts.contains("localhost") && hosts.lines().any(|line| line.starts_with(&ip) && line.contains("named")),
            "{hosts}"
        );
        one.exec("echo shared >/dev/shm/x").await;
        assert_eq!(two.exec("cat /dev/shm/x").await, "shared\n");
        assert!(two.exec("stat -f -c %T /dev/shm; stat -c %a /dev/shm").await.ends_with("1777\n"));
    });
}

#[test]
fn sysctls_are_the_pods_own() {
    on_each_runtime(async |daemon| {
        let pairs = [("net.ipv4.ip_local_port_range", "20000 30000"), ("kernel.shm_rmid_forced", "1")];
        let pod = daemon
            .pod("sysctl")
            .config(|config| {
                let map = &mut config.linux.get_or_insert_default().sysctls;
                map.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
            })
            .run()
            .await;
        let text = pod
            .container("main")
            .sh("cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced")
            .output()
            .await;
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), ["20000", "30000", "1"]);
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").unwrap(), "0\n");
    });
}

#[test]
fn a_pod_whose_init_is_killed_is_not_ready() {
    peapod(async |daemon| {
        let pod = daemon.pod("headless").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        let privileged = daemon.pod("killer").pid(Node).run().await;
        let inner = namespace(&container, "pid").await;
        let script = format!(
            "for p in /proc/[0-9]*; do [ \"$(readlink $p/ns/pid)\" = '{inner}' ] && grep -q '^NSpid:.*[[:space:]]1$' $p/status && kill -9 ${{p#/proc/}}; done; true"
        );
        privileged
            .container("kill")
            .sh(&script)
            .security(pid(Node))
            .security(|security| security.privileged = true)
            .output()
            .await;
        wait_for("the pod is not ready", async || !pod.is_ready().await).await;
        let status = container.wait_exit().await;
        assert_eq!(status.exit_code, 137);
    });
}
