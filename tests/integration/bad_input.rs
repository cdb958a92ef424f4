//! Requests that make no sense are InvalidArgument, name the field, and change nothing.

use peapod_tests::{peapod, v1};
use tonic::{Code, Status};

/// The field's name has to be in the message, as the interface spells it.
fn names(refused: &Status, case: &str, field: &str) {
    assert_eq!(refused.code(), Code::InvalidArgument, "{case}: {refused}");
    assert!(refused.message().contains(field), "{case}: does not name {field}: {refused}");
}

type PodChange = fn(&mut v1::PodSandboxConfig);

fn linux(config: &mut v1::PodSandboxConfig) -> &mut v1::LinuxPodSandboxConfig {
    config.linux.get_or_insert_default()
}

fn metadata(config: &mut v1::PodSandboxConfig) -> &mut v1::PodSandboxMetadata {
    config.metadata.get_or_insert_default()
}

fn namespaces(config: &mut v1::PodSandboxConfig) -> &mut v1::NamespaceOption {
    linux(config).security_context.get_or_insert_default().namespace_options.get_or_insert_default()
}

fn port(protocol: i32, container_port: i32, host_port: i32, host_ip: &str) -> v1::PortMapping {
    v1::PortMapping { protocol, container_port, host_port, host_ip: host_ip.to_owned() }
}

const PODS: &[(&str, &str, PodChange)] = &[
    ("no metadata", "metadata", |config| config.metadata = None),
    ("no name", "name", |config| metadata(config).name.clear()),
    ("no namespace", "namespace", |config| metadata(config).namespace.clear()),
    ("no uid", "uid", |config| metadata(config).uid.clear()),
    ("relative log directory", "log_directory", |config| config.log_directory = "logs".to_owned()),
    ("long host name", "hostname", |config| config.hostname = "x".repeat(65)),
    ("host name with a line", "hostname", |config| config.hostname = "a\nb".to_owned()),
    ("port too high", "port_mappings", |config| config.port_mappings = vec![port(0, 80, 70000, "")]),
    ("port below zero", "port_mappings", |config| config.port_mappings = vec![port(0, -1, 80, "")]),
    ("address that is none", "host_ip", |config| config.port_mappings = vec![port(0, 80, 8080, "nowhere")]),
    ("too many host ports", "port_mappings", |config| {
        config.port_mappings = (1..=65_537).map(|n| port(0, 80, n % 60_000, "")).collect();
    }),
    ("host port mapped twice", "port_mappings", |config| {
        config.port_mappings = vec![port(0, 80, 30_999, ""), port(0, 81, 30_999, "127.0.0.1")];
    }),
    ("host port of an address that cannot be", "port_mappings", |config| {
        config.port_mappings = vec![port(0, 80, 30_999, "::1")];
    }),
    ("unknown protocol", "protocol", |config| config.port_mappings = vec![port(9, 80, 8080, "")]),
    ("cgroup parent with a line feed", "cgroup_parent", |config| linux(config).cgroup_parent = "/a\nb".to_owned()),
    ("cgroup parent that climbs", "cgroup_parent", |config| linux(config).cgroup_parent = "/a/../../b".to_owned()),
    ("sysctl that climbs", "sysctls", |config| {
        linux(config).sysctls.insert("../../etc/passwd".to_owned(), "x".to_owned());
    }),
    ("unknown namespace mode", "network", |config| namespaces(config).network = 17),
    ("network of a container", "network", |config| namespaces(config).network = v1::NamespaceMode::Container.into()),
    ("group without user", "run_as_group", |config| {
        let security = linux(config).security_context.get_or_insert_default();
        security.run_as_group = Some(v1::Int64Value { value: 5 });
    }),
];

#[test]
fn pods() {
    peapod(async |daemon| {
        let refused = daemon.runtime().run_pod_sandbox(v1::RunPodSandboxRequest::default()).await.unwrap_err();
        names(&refused, "no configuration", "config");
        for (case, field, change) in PODS {
            let mut request = daemon.pod("bad").request();
            change(request.config.as_mut().unwrap());
            match daemon.runtime().run_pod_sandbox(request).await {
                Ok(_) => panic!("{case}: accepted"),
                Err(refused) => names(&refused, case, field),
            }
        }
        let refused = daemon.pod("bad").handler("no-such-runtime").try_run().await.err().unwrap();
        assert!(refused.message().contains("no-such-runtime"), "{refused}");
        assert!(daemon.pods().await.is_empty());
    });
}

type ContainerChange = fn(&mut v1::ContainerConfig);

fn security(config: &mut v1::ContainerConfig) -> &mut v1::LinuxContainerSecurityContext {
    config.linux.get_or_insert_default().security_context.get_or_insert_default()
}

fn limits(config: &mut v1::ContainerConfig) -> &mut v1::LinuxContainerResources {
    config.linux.get_or_insert_default().resources.get_or_insert_default()
}

fn mount(config: &mut v1::ContainerConfig, host: &str, container: &str) {
    config.mounts.push(v1::Mount {
        host_path: host.to_owned(),
        container_path: container.to_owned(),
        ..Default::default()
    });
}

fn capability(name: &str) -> Option<v1::Capability> {
    Some(v1::Capability { add_capabilities: vec![name.to_owned()], ..Default::default() })
}

fn user(value: i64) -> Option<v1::Int64Value> {
    Some(v1::Int64Value { value })
}

const CONTAINERS: &[(&str, &str, ContainerChange)] = &[
    ("no metadata", "metadata", |config| config.metadata = None),
    ("no name", "name", |config| config.metadata = Some(v1::ContainerMetadata::default())),
    ("no image", "image", |config| config.image = None),
    ("log path that climbs", "log_path", |config| config.log_path = "../../outside.log".to_owned()),
    ("absolute log path", "log_path", |config| config.log_path = "/var/log/outside.log".to_owned()),
    ("relative mount", "container_path", |config| mount(config, "/tmp", "relative")),
    ("mount without source", "host_path", |config| mount(config, "", "/mnt")),
    ("relative source", "host_path", |config| mount(config, "tmp", "/mnt")),
    ("unknown propagation", "propagation", |config| {
        mount(config, "/tmp", "/mnt");
        config.mounts[0].propagation = 9;
    }),
    ("recursive read-only that is writable", "recursive_read_only", |config| {
        mount(config, "/tmp", "/mnt");
        config.mounts[0].recursive_read_only = true;
    }),
    ("variable without name", "envs", |config| config.envs.push(v1::KeyValue::default())),
    ("variable with =", "envs", |config| {
        config.envs.push(v1::KeyValue { key: "A=B".to_owned(), value: "x".into() });
    }),
    ("value with NUL", "envs", |config| {
        config.envs.push(v1::KeyValue { key: "A".to_owned(), value: vec![b'a', 0].into() });
    }),
    ("argument with NUL", "args", |config| config.args = vec!["a\0b".to_owned()]),
    ("relative working directory", "working_dir", |config| config.working_dir = "here".to_owned()),
    ("a processor that is not there", "linux.resources.cpuset_cpus", |config| {
        limits(config).cpuset_cpus = "0,9999".to_owned();
    }),
    ("unknown capability", "capabilities", |config| security(config).capabilities = capability("FLY")),
    ("user by number and name", "run_as_user", |config| {
        security(config).run_as_user = user(5);
        security(config).run_as_username = "root".to_owned();
    }),
    ("group without user", "run_as_group", |config| security(config).run_as_group = user(5)),
    ("user below zero", "run_as_user", |config| security(config).run_as_user = user(-5)),
    ("relative profile", "seccomp", |config| {
        security(config).seccomp = Some(v1::SecurityProfile { profile_type: 2, localhost_ref: "x.json".to_owned() });
    }),
    ("unknown profile type", "seccomp", |config| {
        security(config).seccomp = Some(v1::SecurityProfile { profile_type: 12, localhost_ref: String::new() });
    }),
    ("relative masked path", "masked_paths", |config| security(config).masked_paths = vec!["proc".to_owned()]),
    ("target without id", "target_id", |config| {
        security(config).namespace_options.get_or_insert_default().pid = v1::NamespaceMode::Target.into();
    }),
    ("memory below zero", "memory_limit_in_bytes", |config| limits(config).memory_limit_in_bytes = -7),
    ("processors backwards", "cpuset_cpus", |config| limits(config).cpuset_cpus = "1-0".to_owned()),
    ("memory node below zero", "cpuset_mems", |config| limits(config).cpuset_mems = "-1".to_owned()),
    ("score out of range", "oom_score_adj", |config| limits(config).oom_score_adj = 5000),
    ("unknown stop signal", "stop_signal", |config| config.stop_signal = 300),
    ("device permissions", "permissions", |config| {
        config.devices.push(v1::Device {
            container_path: "/dev/x".to_owned(),
            host_path: "/dev/null".to_owned(),
            permissions: "fly".to_owned(),
        });
    }),
];

#[test]
fn containers() {
    peapod(async |daemon| {
        daemon.pull(peapod_tests::SHELL).await.unwrap();
        let pod = daemon.pod("good").run().await;
        for (case, field, change) in CONTAINERS {
            let mut request = pod.container("bad").sh("true").request();
            change(request.config.as_mut().unwrap());
            match daemon.runtime().create_container(request).await {
                Ok(_) => panic!("{case}: accepted"),
                Err(refused) => names(&refused, case, field),
            }
        }
        assert!(daemon.containers().await.is_empty());
        pod.container("good").sh("true").output().await;
    });
}

type LimitsChange = fn(&mut v1::LinuxContainerResources);

const UPDATES: &[(&str, &str, LimitsChange)] = &[
    ("processors backwards", "cpuset_cpus", |limits| limits.cpuset_cpus = "1-0".to_owned()),
    ("processor below zero", "cpuset_cpus", |limits| limits.cpuset_cpus = "-1".to_owned()),
    ("memory nodes backwards", "cpuset_mems", |limits| limits.cpuset_mems = "1-0".to_owned()),
    ("no processor", "cpuset_cpus", |limits| limits.cpuset_cpus = ",".to_owned()),
    ("a processor that is not there", "cpuset_cpus", |limits| limits.cpuset_cpus = "0,9999".to_owned()),
    ("a memory node that is not there", "cpuset_mems", |limits| limits.cpuset_mems = "0-999".to_owned()),
    ("a period of a microsecond", "cpu_period", |limits| limits.cpu_period = 1),
    ("less time than the kernel counts", "cpu_quota", |limits| limits.cpu_quota = 5),
    ("memory below zero", "memory_limit_in_bytes", |limits| limits.memory_limit_in_bytes = -7),
];

#[test]
fn updates() {
    peapod(async |daemon| {
        daemon.pull(peapod_tests::SHELL).await.unwrap();
        let pod = daemon.pod("good").run().await;
        let container = pod.container("good").sh("sleep 1000").start().await;
        for (case, field, change) in UPDATES {
            match container.update(change).await {
                Ok(()) => panic!("{case}: accepted"),
                Err(refused) => names(&refused, case, field),
            }
        }
        container.update(|limits| limits.cpuset_cpus = "0-0".to_owned()).await.unwrap();
        let created = pod.container("created").sh("sleep 1000").create().await;
        let absent = created.update(|limits| limits.cpuset_cpus = "9999".to_owned()).await.unwrap_err();
        names(&absent, "a processor that is not there, before the start", "cpuset_cpus");
        assert_eq!(container.exec("echo here").await, "here\n");
    });
}

#[test]
fn updates_without_end() {
    peapod(async |daemon| {
        daemon.pull(peapod_tests::SHELL).await.unwrap();
        let pod = daemon.pod("good").run().await;
        let container = pod.container("good").sh("sleep 1000").create().await;
        let files = |from: usize| (from..from + 256).map(|file| (format!("memory.{file}"), "1".repeat(4000))).collect();
        container.update(|limits| limits.unified = files(0)).await.unwrap();
        let refused = container.update(|limits| limits.unified = files(1)).await.unwrap_err();
        names(&refused, "one file more", "unified");
        assert_eq!(container.status().await.resources.unwrap().linux.unwrap().unified, files(0));
    });
}

#[test]
fn ids_that_are_none() {
    peapod(async |daemon| {
        let mut runtime = daemon.runtime();
        for id in ["", "../../etc", "not hex", "x".repeat(5000).as_str()] {
            let id = id.to_owned();
            let request = v1::ContainerStatusRequest { container_id: id.clone(), verbose: false };
            let refused = runtime.container_status(request).await.unwrap_err();
            assert!(matches!(refused.code(), Code::InvalidArgument | Code::NotFound), "{refused}");
            let request = v1::StartContainerRequest { container_id: id.clone() };
            let refused = runtime.start_container(request).await.unwrap_err();
            assert!(matches!(refused.code(), Code::InvalidArgument | Code::NotFound), "{refused}");
            let request = v1::CreateContainerRequest { pod_sandbox_id: id, ..Default::default() };
            let refused = runtime.create_container(request).await.unwrap_err();
            assert!(matches!(refused.code(), Code::InvalidArgument | Code::NotFound), "{refused}");
        }
    });
}

#[test]
fn numbers_out_of_range() {
    peapod(async |daemon| {
        let pod = daemon.pod("range").run().await;
        let container = pod.container("main").sh("sleep 1000").start().await;
        names(&container.try_exec(&["true"], -1).await.unwrap_err(), "exec", "timeout");
        assert_eq!(container.exec("echo alive").await, "alive\n");
    });
}
