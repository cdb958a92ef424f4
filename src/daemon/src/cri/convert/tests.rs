//! Requests as clients send them, and the fields that are named when they can't be accepted.

use peapod_api::v1;
use peapod_spec::container::{ContainerSpec, Propagation, SeccompProfile, UserChoice};
use peapod_spec::pod::{PidMode, PodSpec, Scope};

use super::{container_spec, pod_spec};

/// A pod that needs nothing.
fn pod() -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: "web".into(),
            namespace: "default".into(),
            uid: "1".into(),
            attempt: 2,
        }),
        ..Default::default()
    }
}

/// A container that needs nothing.
fn container() -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: "main".into(), attempt: 0 }),
        image: Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn check_pod(change: impl FnOnce(&mut v1::PodSandboxConfig)) -> Result<PodSpec, String> {
    let mut config = pod();
    change(&mut config);
    pod_spec(Some(config), String::new()).map_err(|error| error.to_string())
}

fn check(change: impl FnOnce(&mut v1::ContainerConfig)) -> Result<ContainerSpec, String> {
    let mut config = container();
    change(&mut config);
    container_spec(Some(config)).map_err(|error| error.to_string())
}

fn security(change: impl FnOnce(&mut v1::LinuxContainerSecurityContext)) -> Result<ContainerSpec, String> {
    check(|config| {
        let mut context = v1::LinuxContainerSecurityContext::default();
        change(&mut context);
        config.linux = Some(v1::LinuxContainerConfig { security_context: Some(context), resources: None });
    })
}

fn mount(change: impl FnOnce(&mut v1::Mount)) -> Result<ContainerSpec, String> {
    check(|config| {
        let mut mount = v1::Mount { container_path: "/c".into(), host_path: "/h".into(), ..Default::default() };
        change(&mut mount);
        config.mounts = vec![mount];
    })
}

fn refused<T: std::fmt::Debug>(result: Result<T, String>, field: &str) {
    let error = result.unwrap_err();
    assert!(error.starts_with(&format!("{field}: ")), "{error} does not begin with {field}");
}

#[test]
fn the_least_of_a_pod() {
    let spec = check_pod(|_| {}).unwrap();
    assert_eq!(spec.namespaces.network, Scope::Pod);
    assert_eq!(spec.namespaces.pid, PidMode::Pod);
    assert_eq!((spec.dns, spec.cgroup_parent, spec.log_directory), (None, None, None));
    refused(pod_spec(None, String::new()).map_err(|e| e.to_string()), "config");
    refused(check_pod(|c| c.metadata = None), "config.metadata");
    refused(check_pod(|c| c.metadata.as_mut().unwrap().uid.clear()), "config.metadata.uid");
    refused(check_pod(|c| c.hostname = "a\nb".into()), "config.hostname");
    refused(check_pod(|c| c.log_directory = "logs".into()), "config.log_directory");
    refused(check_pod(|c| c.log_directory = "/logs/../etc".into()), "config.log_directory");
}

#[test]
fn an_empty_dns_message_is_not_an_absent_one() {
    assert_eq!(check_pod(|c| c.dns_config = Some(v1::DnsConfig::default())).unwrap().dns, Some(Default::default()));
    let injected = v1::DnsConfig { servers: vec!["1.1.1.1\noptions x".into()], ..Default::default() };
    refused(check_pod(|c| c.dns_config = Some(injected)), "config.dns_config.servers[0]");
}

#[test]
fn host_port_zero_publishes_nothing() {
    let port = |container_port, host_port| v1::PortMapping { container_port, host_port, ..Default::default() };
    let spec = check_pod(|c| c.port_mappings = vec![port(80, 0), port(80, 8080)]).unwrap();
    assert_eq!(spec.port_mappings.iter().map(|port| port.host_port).collect::<Vec<_>>(), [8080]);
    refused(check_pod(|c| c.port_mappings = vec![port(80, 80), port(80, 70000)]), "config.port_mappings[1].host_port");
    refused(check_pod(|c| c.port_mappings = vec![port(0, 80)]), "config.port_mappings[0].container_port");
    let bad = v1::PortMapping { host_ip: "localhost".into(), ..port(80, 80) };
    refused(check_pod(|c| c.port_mappings = vec![bad]), "config.port_mappings[0].host_ip");
}

fn pod_options(options: v1::NamespaceOption) -> Result<PodSpec, String> {
    check_pod(|c| {
        c.port_mappings = vec![v1::PortMapping { container_port: 80, host_port: 80, ..Default::default() }];
        c.linux = Some(v1::LinuxPodSandboxConfig {
            security_context: Some(v1::LinuxSandboxSecurityContext {
                namespace_options: Some(options),
                ..Default::default()
            }),
            ..Default::default()
        });
    })
}

#[test]
fn namespaces_of_a_pod() {
    let options = |network: v1::NamespaceMode, pid: v1::NamespaceMode| v1::NamespaceOption {
        network: network.into(),
        pid: pid.into(),
        ..Default::default()
    };
    use v1::NamespaceMode::{Container, Node, Pod, Target};
    let shared = pod_options(options(Node, Container)).unwrap();
    assert_eq!((shared.namespaces.network, shared.namespaces.pid), (Scope::Node, PidMode::Container));
    assert!(shared.port_mappings.is_empty());
    let at = "config.linux.security_context.namespace_options";
    refused(pod_options(options(Container, Pod)), &format!("{at}.network"));
    refused(pod_options(options(Pod, Target)), &format!("{at}.pid"));
}

#[test]
fn a_group_needs_a_user() {
    let context =
        v1::LinuxSandboxSecurityContext { run_as_group: Some(v1::Int64Value { value: 1 }), ..Default::default() };
    let linux = v1::LinuxPodSandboxConfig { security_context: Some(context), ..Default::default() };
    refused(check_pod(|c| c.linux = Some(linux)), "config.linux.security_context.run_as_group");
    let at = "config.linux.security_context.run_as_group";
    refused(security(|c| c.run_as_group = Some(v1::Int64Value { value: 1 })), at);
    let named = security(|c| {
        c.run_as_group = Some(v1::Int64Value { value: 1 });
        c.run_as_username = "nobody".into();
    });
    assert_eq!(named.unwrap().security.user, UserChoice::Name("nobody".into()));
    let negative = security(|c| c.run_as_user = Some(v1::Int64Value { value: -1 }));
    refused(negative, "config.linux.security_context.run_as_user");
}

#[test]
fn the_least_of_a_container() {
    let spec = check(|_| {}).unwrap();
    assert_eq!(spec.security.seccomp, None);
    assert_eq!(spec.security.pid, PidMode::Pod);
    assert!(spec.security.masked_paths.is_empty());
    refused(check(|c| c.metadata = None), "config.metadata");
    refused(check(|c| c.image = None), "config.image");
    refused(check(|c| c.image.as_mut().unwrap().image.clear()), "config.image.image");
    refused(check(|c| c.working_dir = "tmp".into()), "config.working_dir");
    refused(check(|c| c.log_path = "../../etc/passwd".into()), "config.log_path");
    refused(check(|c| c.log_path = "/etc/passwd".into()), "config.log_path");
    refused(check(|c| c.log_path = "main/".into()), "config.log_path");
    refused(check(|c| c.args = vec!["a".into(), "b\0".into()]), "config.args[1]");
}

#[test]
fn values_of_variables_are_bytes() {
    let variable = |key: &str, value: &'static [u8]| v1::KeyValue { key: key.into(), value: value.into() };
    let spec = check(|c| c.envs = vec![variable("A", b"\xff\xfe"), variable("A", b"2")]).unwrap();
    assert_eq!(spec.envs.iter().map(|e| e.value.as_slice()).collect::<Vec<_>>(), [b"\xff\xfe".as_slice(), b"2"]);
    refused(check(|c| c.envs = vec![variable("", b"1")]), "config.envs[0].key");
    refused(check(|c| c.envs = vec![variable("A=B", b"1")]), "config.envs[0].key");
    refused(check(|c| c.envs = vec![variable("A", b"1\x002")]), "config.envs[0].value");
}

#[test]
fn mounts_as_the_interface_allows_them() {
    let bidirectional = v1::MountPropagation::PropagationBidirectional.into();
    assert_eq!(mount(|m| m.propagation = bidirectional).unwrap().mounts[0].propagation, Propagation::Bidirectional);
    refused(mount(|m| m.recursive_read_only = true), "config.mounts[0].recursive_read_only");
    let shared = mount(|m| {
        m.readonly = true;
        m.recursive_read_only = true;
        m.propagation = bidirectional;
    });
    refused(shared, "config.mounts[0].recursive_read_only");
    refused(mount(|m| m.host_path.clear()), "config.mounts[0].host_path");
    refused(mount(|m| m.container_path = "c".into()), "config.mounts[0].container_path");
    refused(mount(|m| m.propagation = 7), "config.mounts[0].propagation");
    let options = |names: &[&str]| mount(|m| m.mount_options = names.iter().map(|&name| name.to_owned()).collect());
    let all = ["nosuid", "noexec", "nodev", "noexec"];
    let names = |spec: ContainerSpec| spec.mounts[0].options.iter().map(|option| option.name()).collect::<Vec<_>>();
    assert_eq!(names(options(&all).unwrap()), ["nosuid", "noexec", "nodev"]);
    refused(options(&["noexec", "suid"]), "config.mounts[0].mount_options[1]");
}

#[test]
fn images_are_mounted_to_be_read() {
    let image = |change: fn(&mut v1::Mount)| {
        mount(|m| {
            m.host_path.clear();
            m.readonly = true;
            m.image = Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() });
            change(m);
        })
    };
    for (sub_path, normal) in [("", "/"), ("/", "/"), ("etc", "/etc"), ("/a//./b/", "/a/b")] {
        let spec = check(|config| {
            let image = Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() });
            let (container_path, image_sub_path) = ("/c".into(), sub_path.into());
            config.mounts =
                vec![v1::Mount { image, container_path, image_sub_path, readonly: true, ..Default::default() }];
        });
        let source = spec.unwrap().mounts[0].image().unwrap().clone();
        assert_eq!((source.reference.as_str(), source.sub_path.to_str()), ("busybox", Some(normal)));
    }
    refused(image(|m| m.readonly = false), "config.mounts[0].readonly");
    refused(image(|m| m.host_path = "/x".into()), "config.mounts[0].host_path");
    refused(image(|m| m.propagation = 1), "config.mounts[0].propagation");
    for path in ["../etc", "a/../../b", "..", "a\0b"] {
        let refusal = check(|config| {
            let image = Some(v1::ImageSpec { image: "busybox".into(), ..Default::default() });
            let (container_path, image_sub_path) = ("/c".into(), path.into());
            config.mounts =
                vec![v1::Mount { image, container_path, image_sub_path, readonly: true, ..Default::default() }];
        });
        refused(refusal, "config.mounts[0].image_sub_path");
    }
    refused(mount(|m| m.image_sub_path = "etc".into()), "config.mounts[0].image_sub_path");
    refused(image(|m| m.image.as_mut().unwrap().image = "x".repeat(10_000)), "config.mounts[0].image.image");
    mount(|m| m.image = Some(v1::ImageSpec::default())).unwrap();
    let many = check(|config| {
        let image = v1::ImageSpec { image: "busybox".into(), ..Default::default() };
        let one = |number: usize| v1::Mount {
            container_path: format!("/c{number}"),
            image: Some(image.clone()),
            readonly: true,
            ..Default::default()
        };
        config.mounts = (0..65).map(one).collect();
    });
    refused(many, "config.mounts");
}

#[test]
fn capabilities_have_one_spelling() {
    let capability = |add: &[&str]| {
        let add_capabilities = add.iter().map(|&name| name.to_owned()).collect();
        security(|c| c.capabilities = Some(v1::Capability { add_capabilities, ..Default::default() }))
    };
    let spec = capability(&["NET_ADMIN", "cap_sys_admin", "all"]).unwrap();
    assert_eq!(spec.security.capabilities.add, ["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "ALL"]);
    refused(capability(&["NET ADMIN"]), "config.linux.security_context.capabilities.add_capabilities[0]");
}

#[test]
fn profiles_in_both_forms() {
    let seccomp = |spec: Result<ContainerSpec, String>| spec.unwrap().security.seccomp;
    assert_eq!(seccomp(security(|c| c.seccomp = Some(Default::default()))), Some(SeccompProfile::RuntimeDefault));
    #[allow(deprecated)]
    let old = |text: &str| security(|c| c.seccomp_profile_path = text.into());
    assert_eq!(seccomp(old("")), None);
    assert_eq!(seccomp(old("localhost//p/x.json")), Some(SeccompProfile::Localhost("/p/x.json".into())));
    refused(old("other"), "config.linux.security_context.seccomp_profile_path");
    let relative = v1::SecurityProfile {
        profile_type: v1::security_profile::ProfileType::Localhost.into(),
        localhost_ref: "x.json".into(),
    };
    refused(security(|c| c.seccomp = Some(relative)), "config.linux.security_context.seccomp.localhost_ref");
}

#[test]
fn labels_bring_no_options_of_mounts() {
    for level in ["s0:c1\",lowerdir=/,upperdir=/etc,fscontext=\"s0", "s0 c1", "s0=", "s0\\"] {
        let label = Some(v1::SeLinuxOption { level: level.into(), ..Default::default() });
        let field = "config.linux.security_context.selinux_options";
        refused(security(|c| c.selinux_options = label.clone()), field);
        let context = v1::LinuxSandboxSecurityContext { selinux_options: label, ..Default::default() };
        refused(check_pod(|pod| pod.linux.get_or_insert_default().security_context = Some(context)), field);
    }
}

#[test]
fn limits_that_make_no_sense() {
    let resources = |change: &dyn Fn(&mut v1::LinuxContainerResources)| {
        check(|c| {
            let mut resources = v1::LinuxContainerResources::default();
            change(&mut resources);
            c.linux = Some(v1::LinuxContainerConfig { resources: Some(resources), security_context: None });
        })
    };
    refused(
        resources(&|r: &mut v1::LinuxContainerResources| r.oom_score_adj = 2000),
        "config.linux.resources.oom_score_adj",
    );
    refused(
        resources(&|r: &mut v1::LinuxContainerResources| r.cpuset_cpus = "0-3;7".into()),
        "config.linux.resources.cpuset_cpus",
    );
    for period in [-1, 1, 999, 1_000_001, i64::MAX] {
        refused(
            resources(&|r: &mut v1::LinuxContainerResources| r.cpu_period = period),
            "config.linux.resources.cpu_period",
        );
    }
    for quota in [1, 5, 999] {
        refused(
            resources(&|r: &mut v1::LinuxContainerResources| r.cpu_quota = quota),
            "config.linux.resources.cpu_quota",
        );
    }
    for (period, quota, kept) in [(0, 0, 0), (1_000, 1_000, 1_000), (1_000_000, -1, -1), (100_000, -7, -1)] {
        let set = |r: &mut v1::LinuxContainerResources| (r.cpu_period, r.cpu_quota) = (period, quota);
        let spec = resources(&set).unwrap();
        assert_eq!((spec.resources.cpu_period, spec.resources.cpu_quota), (period, kept));
    }
    let climbing =
        resources(&|r: &mut v1::LinuxContainerResources| drop(r.unified.insert("../memory.max".into(), "1".into())));
    refused(climbing, "config.linux.resources.unified[\"../memory.max\"]");
    resources(&|r: &mut v1::LinuxContainerResources| drop(r.unified.insert("memory.oom.group".into(), "1".into())))
        .unwrap();
}

#[test]
fn paths_get_their_normal_form() {
    let spec = mount(|m| {
        m.container_path = "/data/../x//".into();
        m.host_path = "/a/./b/../c".into();
    });
    let [mounted] = spec.unwrap().mounts.try_into().unwrap();
    assert_eq!((mounted.container_path.to_str(), mounted.host_path().unwrap().to_str()), (Some("/x"), Some("/a/c")));
    assert_eq!(check(|c| c.working_dir = "/../data/../tmp/.".into()).unwrap().working_dir, "/tmp");
    for root in ["/", "/..", "/a/..", "//"] {
        refused(mount(|m| m.container_path = root.into()), "config.mounts[0].container_path");
    }
    let masked = security(|c| c.masked_paths = vec!["/proc//kcore/".into()]).unwrap();
    assert_eq!(masked.security.masked_paths, ["/proc/kcore"]);
}

#[test]
fn the_nodes_network_brings_the_nodes_name() {
    let network = |network: v1::NamespaceMode| {
        let options = v1::NamespaceOption { network: network.into(), ..Default::default() };
        let context = v1::LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
        check_pod(|c| {
            c.hostname = "x".into();
            c.linux = Some(v1::LinuxPodSandboxConfig { security_context: Some(context), ..Default::default() });
        })
    };
    assert_eq!(network(v1::NamespaceMode::Node).unwrap().hostname, "");
    assert_eq!(network(v1::NamespaceMode::Pod).unwrap().hostname, "x");
}

#[test]
fn processors_and_memory_nodes_are_lists_of_ranges() {
    let check_lists = |cpuset_cpus: &str, cpuset_mems: &str| {
        check(|config| {
            let (cpuset_cpus, cpuset_mems) = (cpuset_cpus.to_owned(), cpuset_mems.to_owned());
            let resources = Some(v1::LinuxContainerResources { cpuset_cpus, cpuset_mems, ..Default::default() });
            config.linux = Some(v1::LinuxContainerConfig { resources, security_context: None });
        })
    };
    for list in ["", "0", "0-3,7", "3-3", "0,", "00-01", "4294967295"] {
        assert_eq!(check_lists(list, list).unwrap().resources.cpuset_cpus, list);
    }
    for list in [",", ",,", "1-0", "-1", "1-", "-", "0-1-2", "+1", "0-+1", "a", "0 1", "0,-1", "4294967296"] {
        refused(check_lists(list, "0"), "config.linux.resources.cpuset_cpus");
        refused(check_lists("0", list), "config.linux.resources.cpuset_mems");
    }
}

#[test]
fn errors_repeat_little_of_a_request() {
    let cases: [fn(&mut v1::ContainerConfig, String); 10] = [
        |c, long| c.working_dir = long,
        |c, long| c.log_path = long,
        |c, long| c.metadata.as_mut().unwrap().name = long,
        |c, long| c.image.as_mut().unwrap().image = long,
        |c, long| c.envs = vec![v1::KeyValue { key: format!("={long}"), value: Default::default() }],
        |c, long| c.mounts = vec![v1::Mount { host_path: long, container_path: "/x".into(), ..Default::default() }],
        |c, long| c.devices = vec![v1::Device { host_path: "/x".into(), permissions: long, ..Default::default() }],
        |c, long| c.cdi_devices = vec![v1::CdiDevice { name: long }],
        |c, long| {
            let resources = v1::LinuxContainerResources { cpuset_cpus: long, ..Default::default() };
            c.linux = Some(v1::LinuxContainerConfig { resources: Some(resources), security_context: None });
        },
        |c, long| {
            let resources =
                v1::LinuxContainerResources { unified: [(long, String::new())].into(), ..Default::default() };
            c.linux = Some(v1::LinuxContainerConfig { resources: Some(resources), security_context: None });
        },
    ];
    for (number, change) in cases.into_iter().enumerate() {
        let error = check(|config| change(config, "x\n".repeat(1 << 19))).unwrap_err();
        assert!(error.len() < 500 && !error.contains('\n'), "case {number}: {error:.600}");
    }
    let pods: [fn(&mut v1::PodSandboxConfig, String); 4] = [
        |c, long| c.hostname = long,
        |c, long| c.log_directory = long,
        |c, long| c.dns_config = Some(v1::DnsConfig { options: vec![long], ..Default::default() }),
        |c, long| c.port_mappings = vec![v1::PortMapping { host_ip: long, ..Default::default() }],
    ];
    for (number, change) in pods.into_iter().enumerate() {
        let error = check_pod(|config| change(config, "x\n".repeat(1 << 19))).unwrap_err();
        assert!(error.len() < 500 && !error.contains('\n'), "case {number}: {error:.600}");
    }
}
