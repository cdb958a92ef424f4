//! Messages of clients, damaged in every way: a message that is understood becomes a checked type or an error that
//! names its field.

use peapod_api::v1;
use prost::Message;

use super::{container_spec, pod_spec, resources};

/// As long as what is said about a field may be.
const LONGEST: usize = 2048;

fn check_error<T, E: ToString>(result: Result<T, E>) {
    if let Err(error) = result {
        let error = error.to_string();
        assert!(error.len() <= LONGEST, "{} bytes of error", error.len());
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
}

fn mounted() -> v1::Mount {
    v1::Mount { container_path: "/a".into(), host_path: "/b".into(), propagation: 1, ..Default::default() }
}

fn container() -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "main".into(), attempt: 1 }),
        image: Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() }),
        command: vec!["sh".into()],
        args: vec!["-c".into(), "true".into()],
        working_dir: "/srv".into(),
        envs: vec![v1::KeyValue { key: "A".into(), value: b"b".to_vec().into() }],
        mounts: vec![mounted()],
        devices: vec![v1::Device {
            container_path: "/dev/fuse".into(),
            host_path: "/dev/fuse".into(),
            permissions: "rwm".into(),
        }],
        labels: [("a".to_owned(), "b".to_owned())].into(),
        log_path: "main/0.log".into(),
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(v1::LinuxContainerResources {
                cpu_quota: -1,
                memory_limit_in_bytes: 1 << 26,
                ..Default::default()
            }),
            security_context: Some(v1::LinuxContainerSecurityContext {
                capabilities: Some(v1::Capability { add_capabilities: vec!["NET_RAW".into()], ..Default::default() }),
                run_as_user: Some(v1::Int64Value { value: 1000 }),
                supplemental_groups: vec![1, 2],
                masked_paths: vec!["/proc/kcore".into()],
                ..Default::default()
            }),
        }),
        ..Default::default()
    }
}

fn pod() -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata { name: "a".into(), namespace: "b".into(), uid: "c".into(), attempt: 0 }),
        hostname: "host".into(),
        log_directory: "/var/log/pods/x".into(),
        dns_config: Some(v1::DnsConfig {
            servers: vec!["10.0.0.10".into()],
            searches: vec!["a.b".into()],
            options: vec!["ndots:5".into()],
        }),
        port_mappings: vec![v1::PortMapping {
            protocol: 0,
            container_port: 80,
            host_port: 8080,
            host_ip: "127.0.0.1".into(),
        }],
        annotations: [("kubernetes.io/ingress-bandwidth".to_owned(), "1M".to_owned())].into(),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: "/kubepods/pod1".into(),
            sysctls: [("net.ipv4.ip_local_port_range".to_owned(), "1 2".to_owned())].into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn container_request() {
    peapod_fuzz::target!("container")
        .seeds([container().encode_to_vec()])
        .tokens([
            &b"../"[..],
            b"/",
            b"\0",
            b"\n",
            b"CAP_",
            b"ALL",
            b"-1",
            b"localhost/",
            &[0xff; 9],
            "\u{202e}".as_bytes(),
        ])
        .check(|input| {
            let Ok(config) = v1::ContainerConfig::decode(input) else { return };
            let limits = config.linux.clone().and_then(|linux| linux.resources);
            check_error(container_spec(Some(config)));
            check_error(resources(limits));
        });
}

#[test]
fn pod_request() {
    peapod_fuzz::target!("pod")
        .seeds([pod().encode_to_vec()])
        .tokens([&b"../"[..], b"/", b"\0", b"\n", b"kernel.", b"net.", b"0.0.0.0", b"::", b".slice", &[0xff; 9]])
        .check(|input| {
            let Ok(config) = v1::PodSandboxConfig::decode(input) else { return };
            check_error(pod_spec(Some(config), String::new()));
        });
}
