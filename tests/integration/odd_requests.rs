//! Requests that look odd and are meant: each client's manifest runs as it does elsewhere, or is refused by name.

use std::os::unix::fs::{PermissionsExt, symlink};

use peapod_tests::{on_each_runtime, peapod, v1};
use tonic::Code;

#[test]
fn paths_are_brought_into_their_normal_form() {
    on_each_runtime(async |daemon| {
        let folder = daemon.path("source");
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        std::fs::write(folder.join("file"), "file\n").unwrap();
        let pod = daemon.pod("paths").run().await;
        let host = format!("{}/inner/..//./", folder.display());
        let container = pod
            .container("main")
            .sh("pwd; cat /x/file; ls -d /data 2>/dev/null; cat /top/file; mount | grep -c ' /x '")
            .mount(&host, "/data/../x")
            .mount(&host, "/../../top/")
            .config(|config| config.working_dir = "/data/..//tmp/.".to_owned());
        assert_eq!(container.output().await, "/tmp\nfile\nfile\n1\n");
        let root = pod.container("root").sh("true").mount(&folder, "/x/..").try_create().await.err().unwrap();
        assert_eq!(root.code(), Code::InvalidArgument);
        assert!(root.message().contains("mounts[0].container_path"), "{root}");
    });
}

#[test]
fn a_volume_above_the_pods_files_keeps_them() {
    on_each_runtime(async |daemon| {
        let (writable, frozen) = (daemon.path("writable"), daemon.path("frozen"));
        for folder in [&writable, &frozen] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("own"), "own\n").unwrap();
        }
        std::fs::write(frozen.join("hosts"), "replaced").unwrap();
        let mine = daemon.path("mine");
        std::fs::write(&mine, "mine\n").unwrap();
        let pod = daemon
            .pod("etc")
            .config(|config| {
                config.dns_config = Some(v1::DnsConfig { servers: vec!["192.0.2.7".to_owned()], ..Default::default() });
            })
            .run()
            .await;
        let script = "cat /etc/own /etc/hostname; grep -c '192.0.2.7' /etc/resolv.conf; grep -c etc /etc/hosts";
        let above = pod.container("above").sh(script).mount(&writable, "/etc");
        assert_eq!(above.output().await, "own\netc\n1\n1\n");
        // What can't be mounted is left out; what can is there.
        let read_only = pod.container("frozen").sh("cat /etc/own; grep -c etc /etc/hosts; ls /etc").mount_with(
            &frozen,
            "/etc",
            |mount| mount.readonly = true,
        );
        assert_eq!(read_only.output().await, "own\n1\nhosts\nown\n");
        let exact =
            pod.container("exact").sh("cat /etc/hostname").mount(&writable, "/etc").mount(&mine, "/etc/hostname");
        assert_eq!(exact.output().await, "mine\n");
    });
}

#[test]
fn a_host_path_that_is_not_there_is_made_as_a_folder() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("absent").run().await;
        let absent = daemon.path("absent/deep/er");
        let container = pod.container("main").sh("echo x >/mnt/file; stat -c '%a %u:%g' /mnt").mount(&absent, "/mnt");
        assert_eq!(container.output().await, "755 0:0\n");
        assert_eq!(std::fs::read_to_string(absent.join("file")).unwrap(), "x\n");
        assert_eq!(std::fs::metadata(daemon.path("absent")).unwrap().permissions().mode() & 0o7777, 0o755);
        assert!(daemon.log_tail(2000).contains("made a host path"), "nothing is said");
    });
}

#[test]
fn no_folder_is_made_below_a_file_or_through_a_planted_link() {
    peapod(async |daemon| {
        let pod = daemon.pod("planted").run().await;
        let (node, volume) = (daemon.path("node"), daemon.path("volume"));
        std::fs::create_dir_all(&node).unwrap();
        std::fs::create_dir_all(&volume).unwrap();
        std::fs::write(volume.join("file"), "").unwrap();
        symlink(&node, volume.join("link")).unwrap();
        for below in ["file/x", "link/x"] {
            let path = volume.join(below);
            let refused = pod.container("main").sh("true").mount(&path, "/mnt").try_create().await.err().unwrap();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains(path.to_str().unwrap()), "{refused}");
        }
        // What is refused for another reason makes nothing either.
        let later = volume.join("later");
        let command = pod.container("main").sh("true").mount(&later, "/mnt");
        let refused = command.security(|security| "nobody-knows".clone_into(&mut security.run_as_username));
        assert!(refused.try_create().await.is_err());
        assert!(!later.exists() && std::fs::read_dir(&node).unwrap().next().is_none());
        assert!(daemon.containers().await.is_empty());
    });
}

#[test]
fn a_device_is_there_or_refused() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("devices").run().await;
        let device = |name: &str, host: &str, inside: &str| {
            let (host_path, container_path) = (host.to_owned(), inside.to_owned());
            let device = v1::Device { host_path, container_path, permissions: "rw".to_owned() };
            pod.container(name)
                .sh("stat -c '%t:%T' /dev/random /dev/mine 2>/dev/null")
                .config(|c| c.devices.push(device))
        };
        for inside in [
            "/dev/random",
            "/dev/../dev//null",
            "/dev/ptmx",
            "/dev/fd",
            "/dev/stdin",
            "/dev/shm/x",
            "/proc/x",
            "/etc/hosts",
            "/etc/passwd",
            "/bin/sh",
            "/tmp",
        ] {
            let refused = device("refused", "/dev/urandom", inside)
                .try_create()
                .await
                .err()
                .unwrap_or_else(|| panic!("{inside}: accepted"));
            assert_eq!(refused.code(), Code::InvalidArgument, "{inside}: {refused}");
            assert!(refused.message().contains("devices"), "{inside}: {refused}");
        }
        let zero = v1::Device {
            host_path: "/dev/zero".to_owned(),
            container_path: "/dev/mine".to_owned(),
            permissions: "rw".to_owned(),
        };
        let two = device("two", "/dev/urandom", "/dev/mine").config(|c| c.devices.push(zero));
        assert_eq!(two.try_create().await.err().unwrap().code(), Code::InvalidArgument);
        let elsewhere = device("elsewhere", "/dev/urandom", "/tmp/mine").sh("stat -c '%t:%T' /tmp/mine");
        assert_eq!(elsewhere.output().await, "1:9\n");
        assert_eq!(device("same", "/dev/random", "/dev/random").start().await.wait_exit().await.exit_code, 1);
        assert_eq!(device("other", "/dev/urandom", "/dev/mine").output().await, "1:8\n1:9\n");
    });
}

#[test]
fn an_unknown_capability_can_be_dropped() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("drop").run().await;
        let capability = |name: &str, add: &[&str], drop: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let wanted =
                v1::Capability { add_capabilities: own(add), drop_capabilities: own(drop), ..Default::default() };
            pod.container(name)
                .sh("grep ^CapBnd /proc/self/status | cut -f2")
                .security(|s| s.capabilities = Some(wanted))
        };
        assert_eq!(capability("main", &[], &["CAP_BOGUS", "not one", "ALL"]).output().await, "0000000000000000\n");
        assert!(daemon.log_tail(2000).contains("CAP_BOGUS"), "nothing is said");
        let refused = capability("add", &["CAP_BOGUS"], &[]).try_create().await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    });
}

#[test]
fn a_pod_in_the_nodes_network_has_the_nodes_name_everywhere() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("named").host_network().config(|config| config.hostname = "other".to_owned()).run().await;
        let text = pod.container("main").sh("echo $HOSTNAME; hostname; cat /etc/hostname").output().await;
        let names: Vec<&str> = text.lines().collect();
        let node = node_name();
        assert_eq!(names, [node.as_str(); 3]);
    });
}

fn node_name() -> String {
    nix::sys::utsname::uname().unwrap().nodename().to_string_lossy().into_owned()
}

#[test]
fn kernel_parameters_of_each_of_the_pods_namespaces() {
    on_each_runtime(async |daemon| {
        let parameters = [
            ("kernel.domainname", "pods.example"),
            ("kernel/shm_rmid_forced", "1"),
            ("kernel.msgmax", "4096"),
            ("kernel.sem", "250\t32000\t100\t64"),
            ("fs.mqueue.msg_max", "11"),
            ("net.ipv4.ip_default_ttl", "77"),
            ("net/ipv4/conf/lo/rp_filter", "2"),
        ];
        let with = |host_network: bool, name: &str, value: &str| {
            let pod = daemon.pod("parameters");
            let pod = if host_network { pod.host_network() } else { pod };
            let pod = pod.namespaces(|options| {
                if host_network {
                    options.ipc = v1::NamespaceMode::Node.into();
                }
            });
            let (name, value) = (name.to_owned(), value.to_owned());
            pod.config(|config| drop(config.linux.get_or_insert_default().sysctls.insert(name, value)))
        };
        let mut pod = daemon.pod("parameters");
        for (name, value) in parameters {
            pod = pod.config(|config| {
                config.linux.get_or_insert_default().sysctls.insert(name.to_owned(), value.to_owned());
            });
        }
        let pod = pod.run().await;
        let files: Vec<_> = parameters.iter().map(|(name, _)| name.replace('.', "/")).collect();
        let text = pod.container("main").sh(&format!("cd /proc/sys; cat {}", files.join(" "))).output().await;
        let expected: String = parameters.iter().map(|(_, value)| format!("{value}\n")).collect();
        assert_eq!(text, expected);
        pod.remove().await.unwrap();
        for (name, value) in parameters {
            let refused = with(true, name, value).try_run().await.err().unwrap_or_else(|| panic!("{name}: accepted"));
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains("the node's"), "{refused}");
        }
        for name in ["vm.swappiness", "kernel.panic", "kernel.hostname", "vm/swappiness"] {
            assert!(with(false, name, "1").try_run().await.is_err(), "{name}: accepted");
        }
        // What only the kernel can tell: a parameter that it lacks, values that it refuses.
        for (name, value) in [
            ("net.ipv4.no_such_parameter", "1"),
            ("net.ipv4.ip_default_ttl", "300"),
            ("net.ipv4.ip_default_ttl", "many"),
            ("kernel.msgmax", "-1"),
            ("fs.mqueue.msg_max", "many"),
            ("net.ipv4.tcp_available_congestion_control", "reno"),
        ] {
            let refused = with(false, name, value).try_run().await.err().unwrap_or_else(|| panic!("{name}: accepted"));
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().contains(name), "{refused}");
        }
    });
}
