//! A default container beside containerd's, field by field: what a kubelet asks for when a pod says nothing.
//!
//! `golden/containerd-container.json` is printed by `tests/tools/containerd-container.sh`. Every difference stands
//! below with its reason: a new one, and one that is gone, fails.

use std::collections::BTreeSet;

use oci_spec::runtime::LinuxSeccomp;
use serde_json::Value;

use super::fixture::{Case, words};
use super::golden::golden_dir;
use super::seccomp;
use crate::container::{ContainerMount, MountSource, Propagation, Resources, SeccompProfile, UserChoice};
use crate::{ImageDefaults, PidNamespace, ResolvedMount, SourcePropagation};

/// Lines beginning with `-` are containerd's alone, with `+` ours alone.
const DIFFERENCES: [(&str, &[&str]); 6] = [
    (
        "equal: the oldest version that has every field used; crun and runc of any age read it",
        &["- ociVersion 1.3.0", "+ ociVersion 1.0.2"],
    ),
    (
        "stricter: a runtime takes some annotations for settings, so it gets none",
        &[
            "- annotations.io.kubernetes.cri.container-name server",
            "- annotations.io.kubernetes.cri.container-type container",
            "- annotations.io.kubernetes.cri.image-name registry/peapod/shell:1",
            "- annotations.io.kubernetes.cri.sandbox-id p1",
            "- annotations.io.kubernetes.cri.sandbox-name web",
            "- annotations.io.kubernetes.cri.sandbox-namespace default",
            "- annotations.io.kubernetes.cri.sandbox-uid u1",
        ],
    ),
    (
        "equal: what the runtime would find in the container's passwd file, which it need not open then",
        &["+ process.env.2 HOME=/root"],
    ),
    ("equal: 0022 said aloud, and not left to whoever started the runtime", &["+ process.user.umask 18"]),
    (
        "stricter: files without content are kernel memory, and terminals are few on a node",
        &["+ mounts./dev.options.nr_inodes=16384 ", "+ mounts./dev/pts.options.max=512 "],
    ),
    (
        "stricter: shared memory holds no programs, set-uid bits or devices, whatever the mount behind it says",
        &[
            "- mounts./dev/shm.options.rw ",
            "+ mounts./dev/shm.options.nodev ",
            "+ mounts./dev/shm.options.noexec ",
            "+ mounts./dev/shm.options.nosuid ",
        ],
    ),
];

#[test]
fn a_default_container_differs_from_containerds_only_with_reason() {
    let theirs = containerds();
    let ours = default_container().json();
    let (theirs, ours) = (lines(&theirs), lines(&ours));
    let only = |sign: &str, these: &BTreeSet<String>, those: &BTreeSet<String>| -> BTreeSet<String> {
        these.difference(those).map(|line| format!("{sign} {line}")).collect()
    };
    let mut found = only("-", &theirs, &ours);
    found.extend(only("+", &ours, &theirs));
    let reasoned: BTreeSet<String> =
        DIFFERENCES.iter().flat_map(|(_, lines)| *lines).map(|&line| line.to_owned()).collect();
    let new: Vec<_> = found.difference(&reasoned).collect();
    let gone: Vec<_> = reasoned.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "without a reason: {new:#?}\na reason without a difference: {gone:#?}");
    // Were the comparison blind, the table above would look just as good.
    for line in [
        "linux.maskedPaths./proc/kcore ",
        "linux.readonlyPaths./proc/sys ",
        "linux.namespaces.mount.type mount",
        "linux.resources.devices.0.access rwm",
        "mounts./proc.options.nosuid ",
        "process.capabilities.bounding.CAP_NET_RAW ",
        "process.user.additionalGids.0 0",
    ] {
        assert!(theirs.contains(line) && ours.contains(line), "{line} is not compared");
    }
}

#[test]
fn its_filter_is_the_one_that_is_compared_rule_by_rule() {
    let theirs: LinuxSeccomp = serde_json::from_value(containerds()["linux"]["seccomp"].clone()).unwrap();
    let spec = default_container().config().unwrap().config.spec;
    let ours = spec.linux().as_ref().unwrap().seccomp().clone().unwrap();
    assert_eq!(ours.default_action(), theirs.default_action());
    // Without a number both mean EPERM.
    assert_eq!(ours.default_errno_ret().unwrap_or(1), theirs.default_errno_ret().unwrap_or(1));
    let set = |filter: &LinuxSeccomp| -> BTreeSet<String> {
        filter.architectures().iter().flatten().map(ToString::to_string).collect()
    };
    assert_eq!(set(&ours), set(&theirs));
    assert_eq!(ours.flags().clone().unwrap_or_default(), theirs.flags().clone().unwrap_or_default());
    seccomp::compare("", &seccomp::rules(&ours), &seccomp::rules(&theirs));
}

fn containerds() -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden_dir().join("containerd-container.json")).unwrap()).unwrap()
}

/// The request of `tests/tools/containerd-container.sh`, with the names that it gives to files and namespaces.
fn default_container() -> Case {
    let mut case = Case::new();
    case.image = ImageDefaults::default();
    case.group = Some("root:x:0:\n");
    case.node.cgroup_v2 = false;
    case.files.hostname = Some("/pod/hostname".into());
    case.files.hosts = Some("/pod/hosts".into());
    case.files.resolv_conf = Some("/pod/resolv.conf".into());
    case.files.shm = Some("/pod/shm".into());
    case.namespaces.network = Some("/ns/net".into());
    case.namespaces.ipc = Some("/ns/ipc".into());
    case.namespaces.uts = Some("/ns/uts".into());
    case.namespaces.pid = PidNamespace::New;
    case.container.command = words("sleep 1000");
    case.container.resources =
        Resources { cpu_period: 100_000, cpu_shares: 2, oom_score_adj: 1000, ..Resources::default() };
    for (path, source, readonly) in [
        ("/var/run/secrets/token", "/kubelet/token", true),
        ("/etc/hosts", "/kubelet/hosts", false),
        ("/dev/termination-log", "/kubelet/termination", false),
    ] {
        case.mounts.push(ResolvedMount {
            source: source.into(),
            lacks: Vec::new(),
            propagation: SourcePropagation::Private,
        });
        case.container.mounts.push(ContainerMount {
            container_path: path.into(),
            source: MountSource::Host(source.into()),
            readonly,
            recursive_read_only: false,
            selinux_relabel: false,
            propagation: Propagation::Private,
            options: Vec::new(),
            users: None,
        });
    }
    let security = &mut case.container.security;
    security.user = UserChoice::Uid(0);
    security.seccomp = Some(SeccompProfile::RuntimeDefault);
    security.masked_paths = words(
        "/proc/asound /proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list \
         /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap",
    );
    security.readonly_paths = words("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger");
    case
}

/// A line for each field that says something: what is empty or false is the same as left out. The system call filter
/// has its own test.
fn lines(config: &Value) -> BTreeSet<String> {
    let mut config = config.clone();
    config["linux"]["seccomp"].take();
    let mut lines = BTreeSet::new();
    flatten("", &config, &mut lines);
    lines
}

fn flatten(path: &str, value: &Value, lines: &mut BTreeSet<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&below(name), value, lines)),
        Value::Array(list) => {
            // The order of arguments and variables counts, that of the other lists does not.
            let ordered = matches!(path, "process.args" | "process.env");
            for (place, item) in list.iter().enumerate() {
                match (item, name_of(item)) {
                    (Value::String(text), _) if !ordered => drop(lines.insert(format!("{path}.{text} "))),
                    (_, Some(name)) => flatten(&below(name), item, lines),
                    _ => flatten(&below(&place.to_string()), item, lines),
                }
            }
        }
        Value::String(text) => drop(lines.insert(format!("{path} {text}"))),
        other => drop(lines.insert(format!("{path} {other}"))),
    }
}

/// Mounts and namespaces have names; a rule for devices also has a `type`, and rules come one after the other.
fn name_of(item: &Value) -> Option<&str> {
    let field = if item.get("allow").is_some() { None } else { item.get("destination").or_else(|| item.get("type")) };
    field.and_then(Value::as_str)
}

#[test]
fn control_groups_can_be_written_where_the_node_says_so_and_v2_keeps_the_limits() {
    let writable = |v2, configured, privileged| {
        let mut case = Case::new();
        case.node.cgroup_v2 = v2;
        case.writable_cgroups = configured;
        case.container.security.privileged = privileged;
        case.config().unwrap().config.has_writable_cgroups()
    };
    assert!(writable(true, true, false));
    // A privileged one has the node's tree, which is not its own.
    for (v2, configured, privileged) in [(true, false, false), (true, true, true), (false, true, false)] {
        assert!(!writable(v2, configured, privileged), "{v2} {configured} {privileged}");
    }
}
