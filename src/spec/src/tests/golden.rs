//! Whole configurations, reviewed as text in `src/spec/golden`. `UPDATE_GOLDEN=1` writes them anew.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::fixture::{Case, image_source, words};
use crate::container::{
    Capabilities, GroupsPolicy, MountOption, Propagation, Resources, SeccompProfile, SelinuxOptions, UserChoice,
};
use crate::pod::Scope;
use crate::{
    DeviceKind, HostDevice, IdRange, ImageVolume, NodeOwner, PidNamespace, UlimitKind, Ulimits, UserNamespace,
};

pub(super) fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// The one door: a fresh case, changed, must give the golden file of that name.
pub(super) fn check(name: &str, change: impl FnOnce(&mut Case)) {
    let mut case = Case::new();
    change(&mut case);
    let config = case.config().unwrap();
    let mut oci: Value = case.json();
    if let Some(filter) = oci.pointer_mut("/linux/seccomp") {
        // It has its own test.
        let rules = filter["syscalls"].as_array().unwrap().len();
        *filter = json!(format!("a filter of {rules} rules"));
    }
    let notes: Vec<String> = config.notes.iter().map(ToString::to_string).collect();
    let ids = &config.user.ids;
    let user = json!({ "uid": ids.uid, "gid": ids.gid, "groups": ids.groups });
    let text = pretty(&json!({ "config": oci, "notes": notes, "user": user }), 0) + "\n";
    let path = golden_dir().join(name).with_extension("json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} differs; UPDATE_GOLDEN=1 writes it", path.display());
}

/// JSON with everything that fits on one line on one line.
fn pretty(value: &Value, depth: usize) -> String {
    let flat = value.to_string();
    if flat.len() + 2 * depth <= 118 {
        return flat;
    }
    let pad = "  ".repeat(depth + 1);
    let (open, lines, close): (_, Vec<String>, _) = match value {
        Value::Object(map) => {
            let line = |(key, value): (&String, &Value)| format!("{pad}{key:?}: {}", pretty(value, depth + 1));
            ('{', map.iter().map(line).collect(), '}')
        }
        Value::Array(list) if list.iter().all(Value::is_string) => ('[', wrapped(list, &pad), ']'),
        Value::Array(list) => {
            ('[', list.iter().map(|value| format!("{pad}{}", pretty(value, depth + 1))).collect(), ']')
        }
        _ => return flat,
    };
    format!("{open}\n{}\n{}{close}", lines.join(",\n"), "  ".repeat(depth))
}

/// Names, as many on a line as fit; the comma between lines comes from the caller.
fn wrapped(list: &[Value], pad: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for item in list.iter().map(ToString::to_string) {
        match lines.last_mut() {
            Some(line) if line.len() + item.len() < 116 => {
                line.push_str(", ");
                line.push_str(&item);
            }
            _ => lines.push(format!("{pad}{item}")),
        }
    }
    lines
}

#[test]
fn plain() {
    check("plain", |_| {});
}

/// As a kubelet maps them.
pub(super) fn own_users(case: &mut Case) -> UserNamespace {
    let range = IdRange::new(131_072, 65_536).unwrap();
    let users = UserNamespace { uids: range, gids: range };
    case.pod.namespaces.users = Some(users);
    case.namespaces.user = Some("/proc/42/fd/6".into());
    users
}

#[test]
fn users() {
    check("users", |case| {
        let users = own_users(case);
        case.mount("/data", Propagation::Private).users = Some(users);
        case.mount("/unmapped", Propagation::Private);
        // Whose layers the shim maps: an overlay can't be mapped once more.
        let image = case.mount("/model", Propagation::Private);
        (image.source, image.readonly, image.users) = (image_source(), true, Some(users));
        case.namespaces.pid = PidNamespace::New;
    });
    check("users-host-network", |case| {
        own_users(case);
        case.pod.namespaces.network = Scope::Node;
        (case.namespaces.network, case.namespaces.uts) = (None, None);
    });
}

#[test]
fn process() {
    check("process", |case| {
        case.container.command = words("/bin/app run");
        case.container.args = words("-v");
        case.container.working_dir = "/work".to_owned();
        case.container.tty = true;
        case.image.env.extend(words("NOTHING LATER=1"));
        case.env("MODE", b"client");
        case.env("EMPTY", b"");
        case.env("TWICE", b"1");
        case.env("TWICE", "zw\u{f6}lf=12".as_bytes());
        case.image.volumes = words("/var/lib/data");
        let limits = ["nofile=1024:1048576", "core=0", "memlock=unlimited"].map(|text| text.parse().unwrap());
        case.ulimits = Ulimits::new(limits.into()).unwrap();
        let most = |kind: UlimitKind| (kind, if kind.name() == "nofile" { 4096 } else { u64::MAX });
        case.node.hard_limits = UlimitKind::all().map(most).collect();
    });
}

#[test]
fn user() {
    check("user", |case| {
        case.container.security.user = UserChoice::Name("alice".to_owned());
        case.container.security.run_as_group = Some(3000);
        case.container.security.supplemental_groups = vec![4000, 10];
        case.container.security.no_new_privs = true;
    });
    check("user-strict", |case| {
        case.image.user = "alice".to_owned();
        case.container.security.supplemental_groups = vec![1234];
        case.container.security.supplemental_groups_policy = GroupsPolicy::Strict;
    });
}

#[test]
fn mount_options() {
    check("mount-options", |case| {
        case.mount("/data", Propagation::Private).options = MountOption::ALL.to_vec();
        let image = case.mount("/model", Propagation::Private);
        image.source = image_source();
        image.readonly = true;
        image.options = vec![MountOption::NoExec, MountOption::NoDev];
    });
}

#[test]
fn privileged() {
    check("privileged", |case| {
        let security = &mut case.container.security;
        security.privileged = true;
        security.seccomp = Some(SeccompProfile::RuntimeDefault);
        security.masked_paths = words("/proc/kcore");
        case.devices = vec![
            device("/dev/null", DeviceKind::Char, 1, 3),
            device("/dev/fuse", DeviceKind::Char, 10, 229),
            device("/dev/sda", DeviceKind::Block, 8, 0),
        ];
    });
}

#[test]
fn confined() {
    check("confined", |case| {
        let security = &mut case.container.security;
        security.readonly_rootfs = true;
        security.no_new_privs = true;
        security.seccomp = Some(SeccompProfile::RuntimeDefault);
        security.masked_paths = words("/proc/kcore /bin/ls");
        security.readonly_paths = words("/proc/sys /tmp");
        security.capabilities = Capabilities {
            add: words("CAP_NET_ADMIN"),
            drop: words("ALL"),
            add_ambient: words("CAP_NET_BIND_SERVICE"),
        };
        security.selinux = Some(SelinuxOptions { level: "s0:c1,c2".to_owned(), ..SelinuxOptions::default() });
        case.node.selinux = Some(crate::SelinuxContexts::without_policy());
    });
}

#[test]
fn host_namespaces() {
    check("host-namespaces", |case| {
        case.pod.hostname = String::new();
        case.pod.namespaces.network = Scope::Node;
        case.pod.namespaces.ipc = Scope::Node;
        case.namespaces.network = None;
        case.namespaces.ipc = None;
        case.namespaces.uts = None;
        case.namespaces.pid = PidNamespace::Host;
        case.files.shm = None;
    });
}

#[test]
fn own_pid_namespace() {
    check("own-pid-namespace", |case| case.namespaces.pid = PidNamespace::New);
}

#[test]
fn mounts() {
    check("mounts", |case| {
        case.mount("/data/deep/er", Propagation::Private);
        case.mount("/data", Propagation::HostToContainer).readonly = true;
        case.mount("/etc/hosts", Propagation::Private);
        let mount = case.mount("/ro", Propagation::Private);
        mount.readonly = true;
        mount.recursive_read_only = true;
        case.mount("/csi", Propagation::Bidirectional);
    });
    check("mount-over-etc", |case| {
        case.mount("/etc", Propagation::Private);
        case.mount("/etc/hosts", Propagation::Private);
    });
    check("mount-over-etc-read-only", |case| {
        case.mount("/etc", Propagation::Private).readonly = true;
        case.mounts[0].lacks = vec!["/etc/hostname", "/etc/hosts"];
    });
    check("volumes-read-only", |case| {
        case.container.security.readonly_rootfs = true;
        case.image.volumes = words("/data /mine/deep /proc/x /moved");
        case.mount("/mine", Propagation::Private);
        case.volumes = ["/data", "/mine/deep", "/dev/shm/link"].map(volume).into();
    });
    check("mount-over-dev", |case| {
        case.mount("/dev", Propagation::Private);
        case.devices = vec![device("/dev/fuse", DeviceKind::Char, 10, 229)];
    });
}

#[test]
fn devices() {
    check("devices", |case| {
        let mut fuse = device("/dev/fuse", DeviceKind::Char, 10, 229);
        fuse.permissions = "rw".to_owned();
        case.devices =
            vec![fuse, device("/dev/null", DeviceKind::Char, 1, 3), device("/dev/fuse", DeviceKind::Block, 1, 1)];
    });
}

#[test]
fn limits() {
    let limits = Resources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 512,
        memory_limit: 64 << 20,
        memory_swap_limit: 0,
        oom_score_adj: -998,
        cpuset_cpus: "0-1".to_owned(),
        cpuset_mems: "0".to_owned(),
        hugepage_limits: [("2MB".to_owned(), 4 << 20), ("16GB".to_owned(), 1), ("64KB".to_owned(), 0)].into(),
        unified: [("memory.oom.group".to_owned(), "1".to_owned()), ("memory.high".to_owned(), "9".to_owned())].into(),
    };
    check("limits-v2", |case| case.container.resources = limits.clone());
    check("limits-v1-poor", |case| {
        case.container.resources = Resources { memory_swap_limit: 128 << 20, ..limits.clone() };
        case.node.cgroup_v2 = false;
        case.node.swap_accounting = false;
        case.node.oom_score_adj = 0;
        case.node.may_lower_oom = false;
        // No CAP_SYS_RESOURCE (24) and no CAP_MKNOD (27).
        case.node.capabilities = !(1 << 24 | 1 << 27);
    });
}

fn volume(path: &str) -> ImageVolume {
    ImageVolume {
        container_path: path.into(),
        source: format!("/run/peapod/pods/p1/containers/c1/rootfs{path}").into(),
    }
}

pub(super) fn device(path: &str, kind: DeviceKind, major: u32, minor: u32) -> HostDevice {
    HostDevice {
        container_path: path.into(),
        kind,
        major,
        minor,
        mode: 0o100_660,
        uid: NodeOwner::Id(0),
        gid: NodeOwner::Id(6),
        permissions: "rwm".to_owned(),
        host_path: Some(path.into()),
    }
}
