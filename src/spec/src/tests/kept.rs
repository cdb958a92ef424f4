//! Configurations that are kept and edited.

use super::fixture::{Case, words};
use crate::container::{Propagation, Resources, SeccompProfile};
use crate::pod::{PodBandwidth, PodSpec};
use crate::{Config, DeviceKind, HostDevice, ImageVolume, NodeOwner, PidNamespace, StartInputs};

/// Everything that a start edits.
fn rich() -> Case {
    let mut case = Case::new();
    case.container.security.readonly_rootfs = true;
    case.container.security.seccomp = Some(SeccompProfile::RuntimeDefault);
    case.container.resources = Resources { memory_limit: 64 << 20, oom_score_adj: 300, ..Resources::default() };
    case.mount("/mine", Propagation::Private);
    case.mount("/mine/deep", Propagation::Private);
    case.devices = vec![device("/dev/fuse", 229), device("/mine/tun", 200)];
    case.volumes = vec![ImageVolume { container_path: "/data".into(), source: "/bundle/rootfs/data".into() }];
    case
}

fn device(path: &str, minor: u32) -> HostDevice {
    HostDevice {
        container_path: path.into(),
        kind: DeviceKind::Char,
        major: 10,
        minor,
        mode: 0o660,
        uid: NodeOwner::Id(0),
        gid: NodeOwner::Id(0),
        permissions: "rw".to_owned(),
        host_path: Some(path.into()),
    }
}

#[test]
fn what_is_kept_as_json_is_what_was_made() {
    for case in [Case::new(), rich()] {
        let made = case.config().unwrap().config;
        let read = Config::parse(&made.json().unwrap()).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.json().unwrap(), made.json().unwrap());
    }
    for text in ["", "[]", "{\"linux\": 1}", "null"] {
        assert!(Config::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_start_gives_what_a_configuration_made_then_would_have() {
    let case = rich();
    let mut kept = {
        let mut before = rich();
        before.namespaces.pid = PidNamespace::NotYet;
        before.volumes = Vec::new();
        before.container.resources = Resources { cpu_shares: 7, ..Resources::default() };
        before.config().unwrap().config
    };
    let settings = [("org.systemd.property.MemoryMax", "uint64 1")];
    let start = StartInputs { annotations: &settings, ..case.start() };
    let wanted = {
        let mut wanted = case.json();
        wanted["annotations"] = serde_json::json!({ "org.systemd.property.MemoryMax": "uint64 1" });
        wanted
    };
    // The second time as after a start that came to nothing.
    for _ in 0..2 {
        kept.set_for_start(&case.container, &case.node, &start, &mut Vec::new()).unwrap();
        let edited: serde_json::Value = serde_json::from_slice(&kept.json().unwrap()).unwrap();
        assert_eq!(edited, wanted);
        kept.set_seccomp_program("QUJD");
        assert!(kept.json().unwrap().windows(6).any(|text| text == b"\"QUJD\""));
        kept = Config::parse(&kept.json().unwrap()).unwrap();
    }
    let plain = StartInputs { annotations: &[], ..start };
    kept.set_for_start(&case.container, &case.node, &plain, &mut Vec::new()).unwrap();
    assert_eq!(kept, case.config().unwrap().config);
}

#[test]
fn sources_are_those_of_the_clients_mounts() {
    let config = rich().config().unwrap().config;
    let found = config.sources(&rich().container.mounts);
    assert_eq!(found, [(0, "/data/mine".as_ref()), (1, "/data/mine-deep".as_ref())]);
    assert!(Case::new().config().unwrap().config.sources(&[]).is_empty());
}

#[test]
fn a_device_is_known_by_name_and_number() {
    let config = rich().config().unwrap().config;
    for (device, has) in [
        (device("/dev/fuse", 229), true),
        (device("/dev/fuse", 230), false),
        (device("/mine/tun", 200), true),
        (device("/mine/tun", 201), false),
        (HostDevice { kind: DeviceKind::Block, ..device("/dev/fuse", 229) }, false),
        (HostDevice { permissions: "m".to_owned(), ..device("/mine/tun", 200) }, true),
        (device("/dev/other", 5), false),
    ] {
        assert_eq!(config.has_device(&device), has, "{device:?}");
    }
    let mut privileged = rich();
    privileged.container.security.privileged = true;
    let config = privileged.config().unwrap().config;
    assert!(config.has_device(&device("/mine/tun", 201)) && !config.has_device(&device("/dev/fuse", 230)));
}

#[test]
fn a_container_without_a_filter_has_none() {
    assert!(rich().config().unwrap().config.seccomp().is_some());
    let mut case = Case::new();
    case.apparmor = Some(words("peapod-default other"));
    let config = case.config().unwrap().config;
    assert!(config.seccomp().is_none());
    assert_eq!(config.apparmor_profile(), Some("peapod-default"));
}

#[test]
fn a_pod_of_an_earlier_release_has_no_limits_of_traffic() {
    let mut pod = Case::new().pod;
    pod.bandwidth = PodBandwidth { ingress: Some(1000), egress: None };
    let mut record = serde_json::to_value(&pod).unwrap();
    assert_eq!(serde_json::from_value::<PodSpec>(record.clone()).unwrap(), pod);
    record.as_object_mut().unwrap().remove("bandwidth").unwrap();
    assert_eq!(serde_json::from_value::<PodSpec>(record).unwrap().bandwidth, PodBandwidth::default());
}
