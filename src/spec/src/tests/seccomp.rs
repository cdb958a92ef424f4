//! Our default filter beside containerd's, as sets of rules, for every capability that changes one of the two.
//!
//! `golden/containerd-seccomp.json` is printed by `tests/tools/seccompdump`. Every difference stands below with its
//! reason: a new one, and one that is gone, fails.

use std::collections::{BTreeMap, BTreeSet};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};
use serde::Deserialize;

use super::golden::golden_dir;
use crate::{Arch, CapabilitySet, default_seccomp};

/// Rules that only containerd has.
const THEIRS: [(&str, &str); 2] = [
    ("epoll_ctl_old SCMP_ACT_ALLOW", "a number without a function behind it on every kernel"),
    ("epoll_wait_old SCMP_ACT_ALLOW", "a number without a function behind it on every kernel"),
];

/// Rules that only we have, with the capability that they need.
const OURS: [(&str, &str, &str); 3] = [
    ("", "file_getattr SCMP_ACT_ALLOW", "Linux 6.17: what the allowed ioctl FS_IOC_FSGETXATTR does, by path"),
    ("", "file_setattr SCMP_ACT_ALLOW", "Linux 6.17: what the allowed ioctl FS_IOC_FSSETXATTR does, by path"),
    (
        "CAP_SYS_ADMIN",
        "open_tree_attr SCMP_ACT_ALLOW",
        "Linux 6.15: open_tree and mount_setattr in one, and both are allowed",
    ),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Theirs {
    arch: String,
    default_action: String,
    architectures: BTreeSet<String>,
    rules: BTreeSet<String>,
    with: BTreeMap<String, Change>,
}

#[derive(Deserialize)]
struct Change {
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
}

#[test]
fn the_default_filter_differs_from_containerds_only_with_reason() {
    let text = std::fs::read_to_string(golden_dir().join("containerd-seccomp.json")).unwrap();
    let theirs: Theirs = serde_json::from_str(&text).unwrap();
    assert_eq!(theirs.arch, "amd64", "the golden file was made on another machine");
    let ours = filter(&[]);
    assert_eq!(action(ours.default_action(), ours.default_errno_ret()), theirs.default_action);
    let architectures = ours.architectures().iter().flatten().map(ToString::to_string).collect();
    assert_eq!(theirs.architectures, architectures);
    compare("", &rules(&ours), &theirs.rules);
    for (capability, change) in &theirs.with {
        let with: BTreeSet<String> = theirs.rules.union(&change.added).cloned().collect();
        let with = with.difference(&change.removed).cloned().collect();
        compare(capability, &rules(&filter(&[capability])), &with);
    }
}

#[test]
fn no_other_capability_changes_the_filter() {
    let text = std::fs::read_to_string(golden_dir().join("containerd-seccomp.json")).unwrap();
    let theirs: Theirs = serde_json::from_str(&text).unwrap();
    for capability in CapabilitySet::all().names() {
        let changes = rules(&filter(&[&capability])) != rules(&filter(&[]));
        assert_eq!(changes, theirs.with.contains_key(&capability), "{capability}");
    }
}

#[test]
fn clone_flags_are_the_second_argument_on_s390x() {
    let line = |arch| {
        let filter = default_seccomp(arch, CapabilitySet::default()).unwrap();
        rules(&filter).into_iter().find(|line| line.starts_with("clone ")).unwrap()
    };
    assert_eq!(line(Arch::S390x), "clone SCMP_ACT_ALLOW arg1 SCMP_CMP_MASKED_EQ 0x7e020000 0x0");
    assert_eq!(line(Arch::Arm64), "clone SCMP_ACT_ALLOW arg0 SCMP_CMP_MASKED_EQ 0x7e020000 0x0");
}

pub(super) fn compare(capability: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) {
    let more: BTreeSet<&str> = ours.difference(theirs).map(String::as_str).collect();
    let fewer: BTreeSet<&str> = theirs.difference(ours).map(String::as_str).collect();
    let reasoned = OURS.iter().filter(|(needs, ..)| needs.is_empty() || *needs == capability);
    assert_eq!(more, reasoned.map(|(_, rule, _)| *rule).collect(), "allowed here alone, with {capability:?}");
    assert_eq!(fewer, THEIRS.iter().map(|(rule, _)| *rule).collect(), "allowed there alone, with {capability:?}");
}

fn filter(names: &[&str]) -> LinuxSeccomp {
    let set = names.iter().map(|name| name.trim_start_matches("CAP_").parse().unwrap()).collect();
    default_seccomp(Arch::Amd64, set).unwrap()
}

/// The same text for each rule as the Go program writes.
pub(super) fn rules(filter: &LinuxSeccomp) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for rule in filter.syscalls().iter().flatten() {
        let mut end = action(rule.action(), rule.errno_ret());
        for arg in rule.args().iter().flatten() {
            let second = arg.value_two().unwrap_or(0);
            end += &format!(" arg{} {} {:#x} {second:#x}", arg.index(), arg.op(), arg.value());
        }
        lines.extend(rule.names().iter().map(|name| format!("{name} {end}")));
    }
    lines
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> String {
    match action {
        LinuxSeccompAction::ScmpActErrno => format!("{action}:{}", errno.unwrap_or(1)),
        _ => action.to_string(),
    }
}
