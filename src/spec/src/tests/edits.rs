//! What CDI devices bring, as golden files beside those of plain containers.

use oci_spec::runtime::{HookBuilder, LinuxIntelRdtBuilder};

use super::fixture::{Case, words};
use super::golden::{check, device, own_users};
use crate::bounds::{HOOKS, MOUNTS};
use crate::container::{Propagation, UserChoice};
use crate::{DeviceKind, EditMount, HookMoment, HostDevice, ImageVolume, NodeOwner, SpecError};

fn mount(source: &str, container_path: &str, options: &str) -> EditMount {
    EditMount {
        source: source.into(),
        container_path: container_path.into(),
        kind: "bind".to_owned(),
        options: words(options),
    }
}

fn hook(path: &str) -> oci_spec::runtime::Hook {
    HookBuilder::default().path(path).args(words("hook run")).env(words("A=1")).timeout(7_i64).build().unwrap()
}

/// Something of all kinds.
fn graphics(case: &mut Case) {
    case.env("MODE", b"client");
    case.edits.env = words("NVIDIA=void MODE=device A=1 A=2");
    case.mount("/usr/lib/libcuda.so.1", Propagation::Private);
    case.edits.mounts = vec![
        mount("/usr/lib64/libcuda.so.535", "/usr/lib/libcuda.so.1", "ro nosuid nodev rbind rprivate"),
        EditMount { kind: "tmpfs".to_owned(), ..mount("tmpfs", "/run/gpu", "nosuid size=1m") },
        // In place of the pod's.
        mount("/node/hosts", "/etc/hosts", "rbind ro"),
    ];
    case.edits.hooks = vec![
        (HookMoment::Prestart, hook("/usr/bin/a")),
        (HookMoment::CreateRuntime, hook("/usr/bin/b")),
        (HookMoment::CreateContainer, hook("/usr/bin/c")),
        (HookMoment::StartContainer, hook("/usr/bin/d")),
        (HookMoment::Poststart, hook("/usr/bin/e")),
        (HookMoment::Poststop, hook("/usr/bin/f")),
        (HookMoment::CreateRuntime, hook("/usr/bin/g")),
    ];
    case.edits.groups = vec![44, 0, 10, 44];
    case.devices = vec![
        HostDevice {
            uid: NodeOwner::Process,
            gid: NodeOwner::Process,
            ..device("/dev/gpu0", DeviceKind::Char, 195, 0)
        },
        HostDevice { permissions: String::new(), ..device("/dev/gpuctl", DeviceKind::Char, 195, 255) },
        HostDevice { major: 0, minor: 0, ..device("/dev/events", DeviceKind::Fifo, 0, 0) },
    ];
    case.container.security.user = UserChoice::Name("alice".to_owned());
}

#[test]
fn all_kinds() {
    check("devices-cdi", graphics);
    check("devices-cdi-more", |case| {
        case.edits.net_devices = [("eth7".to_owned(), "net1".to_owned())].into();
        let rdt = LinuxIntelRdtBuilder::default().clos_id("gold").schemata(words("MB:0=50")).build().unwrap();
        case.edits.intel_rdt = Some(rdt);
        // Beside a device of the same name that the client asks for, the first one counts.
        case.devices = vec![
            device("/dev/gpu0", DeviceKind::Char, 195, 0),
            HostDevice { mode: 0, ..device("/dev/gpu0", DeviceKind::Char, 195, 0) },
        ];
        // Below a mount of the device's own nothing is made on the node's disk.
        case.edits.mounts = vec![mount("/node/dri", "/dev/dri", "rbind")];
        case.devices.push(device("/dev/dri/card0", DeviceKind::Char, 226, 0));
    });
}

#[test]
fn with_users_of_the_pods_own_devices_are_shown() {
    check("devices-cdi-users", |case| {
        own_users(case);
        graphics(case);
        case.devices = vec![
            device("/dev/gpu0", DeviceKind::Char, 195, 0),
            HostDevice { host_path: Some("/dev/gpu0".into()), ..device("/dev/mine", DeviceKind::Char, 195, 0) },
        ];
        case.edits.mounts.push(mount("/mapped", "/mapped", "bind idmap"));
    });
    let mut case = Case::new();
    own_users(&mut case);
    case.devices = vec![HostDevice { host_path: None, ..device("/dev/gpu0", DeviceKind::Char, 195, 0) }];
    let refused = case.config().unwrap_err().to_string();
    assert!(refused.contains("\"/dev/gpu0\"") && refused.contains("users of its own"), "{refused}");
    case.devices.clear();
    case.edits.groups = vec![70_000];
    assert!(matches!(case.config(), Err(SpecError::NoSuchId { what: "group", id: 70_000, .. })));
}

#[test]
fn a_volume_of_the_image_hides_no_mount_of_a_device() {
    let mut case = Case::new();
    case.container.security.readonly_rootfs = true;
    case.edits.mounts = vec![mount("/node/data", "/data", "rbind")];
    case.volumes = ["/data", "/other"]
        .map(|path| ImageVolume { container_path: path.into(), source: format!("/bundle/rootfs{path}").into() })
        .into();
    let sources = |case: &Case| -> Vec<String> {
        let json = case.json();
        let mounts = json["mounts"].as_array().unwrap().iter();
        mounts.map(|mount| mount["source"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let found = sources(&case);
    assert!(found.contains(&"/node/data".to_owned()) && found.contains(&"/bundle/rootfs/other".to_owned()));
    assert!(!found.contains(&"/bundle/rootfs/data".to_owned()), "{found:?}");
}

#[test]
fn there_is_a_most_of_everything() {
    let refused = |change: fn(&mut Case)| {
        let mut case = Case::new();
        change(&mut case);
        case.config().unwrap_err().to_string()
    };
    let said = refused(|case| case.edits.mounts = vec![mount("/a", "/b", "rbind"); MOUNTS + 1]);
    assert!(said.contains("CDI_devices: 1025 mounts"), "{said}");
    let said = refused(|case| case.edits.hooks = vec![(HookMoment::Poststop, hook("/bin/true")); HOOKS + 1]);
    assert!(said.contains("CDI_devices: 257 hooks"), "{said}");
    let said = refused(|case| case.edits.env = (0..=16 << 10).map(|number| format!("A{number}=")).collect());
    assert!(said.contains("variables"), "{said}");
    assert!(refused(|case| case.edits.groups = vec![u32::MAX]).contains("4294967295"));
    assert!(refused(|case| case.edits.groups = (0..=65_536).collect()).contains("groups"));
}
