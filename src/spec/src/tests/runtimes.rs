//! Configurations run by the real runtimes: crun always, runc where `PEAPOD_RUNC` or PATH has it. As root.

mod container;

use std::path::{Path, PathBuf};

use container::{Pod, Running, run};

use super::fixture::{Case, words};
use crate::container::{Capabilities, ContainerMount, MountSource, Propagation, Resources, SeccompProfile, UserChoice};
use crate::pod::Scope;
use crate::{DeviceKind, HostDevice, NamespacePaths, NodeOwner, PidNamespace, ResolvedMount, SourcePropagation};

/// `PEAPOD_CRUN` or crun, which is Debian's package and must be there; runc is not everywhere.
fn runtimes() -> Vec<PathBuf> {
    let named = |variable: &str, name: &str| std::env::var_os(variable).unwrap_or_else(|| name.into());
    let mut all = vec![PathBuf::from(named("PEAPOD_CRUN", "crun"))];
    let runc = PathBuf::from(named("PEAPOD_RUNC", "runc"));
    if std::process::Command::new(&runc).arg("--version").output().is_ok() {
        all.push(runc);
    } else {
        eprintln!("runc is not tested: neither PEAPOD_RUNC nor PATH has it");
    }
    all
}

/// Runs a shell script in a container of a fresh pod, with each runtime, and hands its output to `check`.
fn each(script: &str, change: impl Fn(&mut Case, &Path), check: impl Fn(&str, &str)) {
    for runtime in runtimes() {
        let pod = Pod::new();
        let mut case = pod.case(script);
        change(&mut case, pod.dir());
        let output = run(&runtime, &pod, &case);
        check(&runtime.display().to_string(), &output);
    }
}

#[test]
#[ignore = "needs root"]
fn a_plain_container_sees_the_pod() {
    each(
        "id -u; id -G; pwd; echo $MODE $HOSTNAME; cat /etc/hosts; uname -n; umask; cat /proc/self/oom_score_adj
         grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; ls /proc/1/exe >/dev/null 2>&1; cat /proc/1/comm
         touch /dev/shm/x && touch /sys/x 2>/dev/null || echo sysro; echo done",
        |case, _| case.env("MODE", b"client"),
        |runtime, output| {
            let lines: Vec<&str> = output.lines().collect();
            let wanted = [
                "0",
                "0 10",
                "/srv",
                "client web",
                "10.0.0.9 hosts-of-the-pod",
                "podname",
                "0022",
                "500",
                "NoNewPrivs:\t0",
                "Seccomp:\t0",
                "sleep",
                "sysro",
                "done",
            ];
            assert_eq!(lines, wanted, "{runtime}");
        },
    );
}

#[test]
#[ignore = "needs root"]
fn the_default_filter_confines_and_lets_work() {
    each(
        "id -u; id -G; grep -E 'Seccomp:|CapEff|NoNewPrivs' /proc/self/status
         unshare -U true 2>/dev/null || echo nouserns; mount -t tmpfs x /tmp 2>/dev/null || echo nomount
         setarch -R true 2>/dev/null || echo norandoff
         seq 1000000 | sort --parallel=2 -S 100M -n | tail -1
         perl -e 'socket(S, 2, 1, 0) or die' && echo inet; perl -e 'socket(S, 38, 5, 0) or die $!' 2>&1 | sed 's/ at.*//'
         sh -c 'exit 3'; echo $?",
        |case, _| {
            case.container.security.seccomp = Some(SeccompProfile::RuntimeDefault);
            case.container.security.user = UserChoice::Name("alice".to_owned());
            case.container.security.supplemental_groups = vec![1234];
            case.container.security.no_new_privs = true;
        },
        |runtime, output| {
            let lines: Vec<&str> = output.lines().collect();
            let wanted = [
                "1000", "1000 10 1234 50000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "nouserns",
                "nomount", "norandoff", "1000000", "inet", "Operation not permitted", "3",
            ];
            assert_eq!(lines, wanted, "{runtime}");
        },
    );
}

#[test]
#[ignore = "needs root"]
fn the_nodes_namespaces_are_the_nodes() {
    let own = |kind: &str| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
    let wanted = format!("{}\n{}\n{}\n{}\n", own("pid"), own("net"), own("ipc"), own("uts"));
    each(
        "for n in pid net ipc uts; do readlink /proc/self/ns/$n; done; touch /dev/shm/.peapod-spec && rm /dev/shm/.peapod-spec",
        |case, _| {
            case.pod.namespaces.network = Scope::Node;
            case.pod.namespaces.ipc = Scope::Node;
            case.namespaces =
                NamespacePaths { network: None, ipc: None, uts: None, user: None, pid: PidNamespace::Host };
            case.files.shm = None;
        },
        |runtime, output| assert_eq!(output, wanted, "{runtime}"),
    );
}

#[test]
#[ignore = "needs root"]
fn a_privileged_container_has_all_that_this_process_has() {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim().to_owned();
    each(
        "grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs x /tmp && echo mounted; test -w /sys && echo sysrw
         test -c /dev/extra && echo extra; mknod /tmp/n c 1 3 && echo hi >/tmp/n && echo made; head -1 /etc/group",
        |case, _| {
            let security = &mut case.container.security;
            security.privileged = true;
            security.seccomp = Some(SeccompProfile::RuntimeDefault);
            security.masked_paths = words("/etc/group");
            case.devices = vec![null_device("/dev/extra"), null_device("/dev/null")];
        },
        |runtime, output| {
            let wanted = format!("CapEff:\t{own}\nSeccomp:\t0\nmounted\nsysrw\nextra\nmade\nroot:x:0:\n");
            assert_eq!(output, wanted, "{runtime}");
        },
    );
}

#[test]
#[ignore = "needs root"]
fn a_confined_container_can_do_nothing_else() {
    each(
        "grep -E 'CapBnd|CapAmb' /proc/self/status; touch /x 2>&1 | sed 's/.*: //'; touch /tmp/x 2>&1 | sed 's/.*: //'
         cat /etc/group 2>&1; touch /etc/hosts 2>/dev/null || echo hostsro; touch /data/x && echo data
         echo x >/dev/allowed && echo allowed; mknod /data/n c 1 7 2>/dev/null || echo nomknod
         chmod 700 /data 2>&1 | sed 's/.*: //'",
        |case, dir| {
            let security = &mut case.container.security;
            security.readonly_rootfs = true;
            security.masked_paths = words("/etc/group");
            security.readonly_paths = words("/tmp");
            security.user = UserChoice::Uid(1000);
            security.capabilities =
                Capabilities { add: words("CAP_KILL"), drop: words("ALL"), add_ambient: words("CAP_NET_BIND_SERVICE") };
            security.seccomp = Some(SeccompProfile::Localhost("/profiles/nochmod.json".into()));
            case.localhost_seccomp = Some(
                br#"{"defaultAction": "SCMP_ACT_ALLOW", "comment": "unknown keys are ignored",
                     "syscalls": [{"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}]}"#,
            );
            case.devices = vec![HostDevice { mode: 0o666, ..null_device("/dev/allowed") }];
            let data = dir.join("data");
            std::fs::create_dir(&data).unwrap();
            std::os::unix::fs::chown(&data, Some(1000), None).unwrap();
            bind(case, &data, "/data", Propagation::Private);
        },
        |runtime, output| {
            let wanted = "CapBnd:\t0000000000000420\nCapAmb:\t0000000000000400\nRead-only file system\n\
                Read-only file system\nhostsro\ndata\nallowed\nnomknod\n\
                Operation not permitted\n";
            // runc puts an unreadable file over a masked one, crun /dev/null: both read as nothing.
            assert_eq!(output.replace("cat: /etc/group: Permission denied\n", ""), wanted, "{runtime}");
        },
    );
}

#[test]
#[ignore = "needs root"]
fn mounts_are_read_only_as_deep_as_asked() {
    each(
        "touch /plain/x 2>&1 | sed 's/.*: //'; touch /plain/sub/x && echo subrw
         touch /deep/x 2>&1 | sed 's/.*: //'; touch /deep/sub/x 2>&1 | sed 's/.*: //'; touch /rw/x && echo rw
         grep ' /slave ' /proc/self/mountinfo | grep -o master:
         grep ' /shared ' /proc/self/mountinfo | grep -o shared:",
        |case, dir| {
            for name in ["plain", "deep", "rw", "slave", "shared"] {
                let propagation = match name {
                    "slave" => Propagation::HostToContainer,
                    "shared" => Propagation::Bidirectional,
                    _ => Propagation::Private,
                };
                // A shared mount with a tmpfs below it: made by the runtime's own mount namespace, see `container`.
                bind(case, &dir.join("tree"), &format!("/{name}"), propagation);
                let mount = case.container.mounts.last_mut().unwrap();
                mount.readonly = name == "plain" || name == "deep";
                mount.recursive_read_only = name == "deep";
            }
        },
        |runtime, output| {
            let wanted =
                "Read-only file system\nsubrw\nRead-only file system\nRead-only file system\nrw\nmaster:\nshared:\n";
            assert_eq!(output, wanted, "{runtime}");
        },
    );
}

#[test]
#[ignore = "needs root"]
fn an_exec_is_confined_like_its_container_and_limits_change() {
    for runtime in runtimes() {
        let pod = Pod::new();
        let mut case = pod.case("while :; do sleep 1; done");
        case.namespaces.pid = PidNamespace::New;
        case.container.security.seccomp = Some(SeccompProfile::RuntimeDefault);
        case.container.security.user = UserChoice::Uid(1000);
        case.container.resources = Resources { memory_limit: 64 << 20, cpu_shares: 512, ..Resources::default() };
        case.env("GREETING", b"hello");
        let running = Running::start(&runtime, &pod, &case);
        let script = "id -u; id -G; echo $GREETING; pwd; grep Seccomp: /proc/self/status; cat /proc/1/comm";
        let output = running.exec(script);
        assert_eq!(output, "1000\n1000 10 50000\nhello\n/srv\nSeccomp:\t2\nsh\n", "{}", runtime.display());

        let limit = || running.cgroup_file("memory.limit_in_bytes", "memory.max");
        assert_eq!(limit(), (64 << 20).to_string(), "{}", runtime.display());
        let more =
            Resources { memory_limit: 128 << 20, cpu_quota: 20_000, cpu_period: 100_000, ..Resources::default() };
        let after = running.update(&case.container.resources, &more);
        assert_eq!(limit(), (128 << 20).to_string(), "{}", runtime.display());
        let after = running.update(&after, &Resources { cpuset_cpus: "0".to_owned(), ..Resources::default() });
        assert_eq!(limit(), (128 << 20).to_string(), "{}", runtime.display());
        assert_eq!(running.cgroup_file("cpuset.cpus", "cpuset.cpus"), "0", "{}", runtime.display());
        assert_eq!((after.cpu_shares, after.cpu_quota), (512, 20_000));
    }
}

#[test]
#[ignore = "needs root"]
fn limits_arrive_in_either_cgroup_layout() {
    for runtime in runtimes() {
        let pod = Pod::new();
        let mut case = pod.case("while :; do sleep 1; done");
        case.namespaces.pid = PidNamespace::New;
        case.container.resources = Resources {
            cpu_period: 100_000,
            cpu_quota: 50_000,
            cpu_shares: 512,
            memory_limit: 64 << 20,
            oom_score_adj: 900,
            cpuset_cpus: "0".to_owned(),
            // A node without huge pages, and files that only v2 has: neither may be in the way.
            hugepage_limits: [("2MB".to_owned(), 0)].into(),
            unified: [("memory.oom.group".to_owned(), "1".to_owned())].into(),
            ..Resources::default()
        };
        let running = Running::start(&runtime, &pod, &case);
        let wanted: &[(&str, &str, &str)] = if case.node.cgroup_v2 {
            &[
                ("", "cpu.max", "50000 100000"),
                ("", "cpu.weight", "20"),
                ("", "memory.max", "67108864"),
                ("", "memory.swap.max", "0"),
                ("", "memory.oom.group", "1"),
                ("", "cpuset.cpus", "0"),
            ]
        } else {
            &[
                ("cpu.cfs_quota_us", "", "50000"),
                ("cpu.cfs_period_us", "", "100000"),
                ("cpu.shares", "", "512"),
                ("memory.limit_in_bytes", "", "67108864"),
                ("memory.memsw.limit_in_bytes", "", "67108864"),
                ("cpuset.cpus", "", "0"),
            ]
        };
        for (v1, v2, value) in wanted {
            if *v1 == "memory.memsw.limit_in_bytes" && !case.node.swap_accounting {
                continue;
            }
            assert_eq!(running.cgroup_file(v1, v2), *value, "{}: {v1}{v2}", runtime.display());
        }
        // Of the container, not of the exec: crun 1.8 gives an exec its own caller's.
        assert_eq!(running.exec("cat /proc/1/oom_score_adj"), "900\n", "{}", runtime.display());
    }
}

fn null_device(path: &str) -> HostDevice {
    HostDevice {
        container_path: path.into(),
        kind: DeviceKind::Char,
        major: 1,
        minor: 3,
        mode: 0o600,
        uid: NodeOwner::Id(0),
        gid: NodeOwner::Id(0),
        permissions: "rw".to_owned(),
        host_path: Some(path.into()),
    }
}

fn bind(case: &mut Case, source: &Path, container_path: &str, propagation: Propagation) {
    case.mounts.push(ResolvedMount {
        source: source.into(),
        lacks: Vec::new(),
        propagation: SourcePropagation::Shared,
    });
    case.container.mounts.push(ContainerMount {
        container_path: container_path.into(),
        source: MountSource::Host(source.into()),
        readonly: false,
        recursive_read_only: false,
        selinux_relabel: false,
        propagation,
        options: Vec::new(),
        users: None,
    });
}
