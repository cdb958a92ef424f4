//! Security contexts in the words of CRI: pure.

use peapod_api::v1;

use super::images::ContainerImage;
use crate::manifest::{Container, GivenProfile, Pod, SelinuxLabel};

/// What a kubelet hides from containers that are not privileged.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
];

/// What a kubelet keeps such containers from writing.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Where a kubelet looks for profiles.
const SECCOMP: &str = "/var/lib/kubelet/seccomp";

/// Users of a pod's own: the first one of the node, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserRange {
    pub(super) first: u32,
    pub(super) count: u32,
}

/// Why a container may not run as who it would.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum IdentityError {
    #[error("its image runs as root, and runAsNonRoot refuses that: set runAsUser")]
    Root,
    #[error("its image runs as `{0}`, which runAsNonRoot can't tell from root: set runAsUser")]
    Name(String),
}

impl UserRange {
    pub(super) fn mapping(self) -> v1::IdMapping {
        v1::IdMapping { host_id: self.first, container_id: 0, length: self.count }
    }
}

/// Of the pod.
pub(super) fn sandbox(pod: &Pod, users: Option<UserRange>) -> v1::LinuxSandboxSecurityContext {
    let default = &pod.security.default;
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod, users)),
        selinux_options: default.selinux.as_ref().map(selinux),
        run_as_user: default.user.map(|value| v1::Int64Value { value }),
        // CRI has no group without a user.
        run_as_group: default.user.and(default.group).map(|value| v1::Int64Value { value }),
        supplemental_groups: groups(pod),
        supplemental_groups_policy: groups_policy(pod),
        privileged: pod.all_containers().any(|container| container.security.privileged),
        seccomp: Some(profile(&GivenProfile::RuntimeDefault, "")),
        ..Default::default()
    }
}

/// Of a container.
pub(super) fn container(
    pod: &Pod,
    container: &Container,
    image: &ContainerImage,
    users: Option<UserRange>,
) -> Result<v1::LinuxContainerSecurityContext, IdentityError> {
    let security = &container.security;
    let (user, username) = match security.user {
        Some(user) => (Some(user), String::new()),
        None => (image.uid, image.username.clone()),
    };
    if security.non_root && security.user.is_none() {
        match (user, username.as_str()) {
            (Some(0), _) | (None, "") => return Err(IdentityError::Root),
            (None, name) => return Err(IdentityError::Name(name.to_owned())),
            (Some(_), _) => {}
        }
    }
    let paths =
        |paths: &[&str]| if security.unmasked { Vec::new() } else { paths.iter().map(|p| (*p).to_owned()).collect() };
    let (add, drop) = security.capabilities.clone();
    Ok(v1::LinuxContainerSecurityContext {
        capabilities: (!add.is_empty() || !drop.is_empty()).then(|| v1::Capability {
            add_capabilities: add,
            drop_capabilities: drop,
            ..Default::default()
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces(pod, users)),
        selinux_options: security.selinux.as_ref().map(selinux),
        run_as_user: user.map(|value| v1::Int64Value { value }),
        run_as_username: if user.is_some() { String::new() } else { username },
        run_as_group: security.group.map(|value| v1::Int64Value { value }),
        readonly_rootfs: security.read_only_root,
        supplemental_groups: groups(pod),
        supplemental_groups_policy: groups_policy(pod),
        no_new_privs: security.no_new_privileges,
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(profile(security.seccomp.as_ref().unwrap_or(&GivenProfile::RuntimeDefault), SECCOMP)),
        apparmor: security.apparmor.as_ref().map(|given| profile(given, "")),
        ..Default::default()
    })
}

fn groups(pod: &Pod) -> Vec<i64> {
    pod.security.fs_group.iter().map(|group| group.id).chain(pod.security.groups.iter().copied()).collect()
}

fn groups_policy(pod: &Pod) -> i32 {
    let strict = v1::SupplementalGroupsPolicy::Strict;
    if pod.security.strict_groups { strict.into() } else { v1::SupplementalGroupsPolicy::Merge.into() }
}

fn namespaces(pod: &Pod, users: Option<UserRange>) -> v1::NamespaceOption {
    let (node, own) = (v1::NamespaceMode::Node, v1::NamespaceMode::Pod);
    let pid = match (pod.security.host_pid, pod.security.share_process_namespace) {
        (true, _) => node,
        (false, true) => own,
        (false, false) => v1::NamespaceMode::Container,
    };
    let mapping = users.map(UserRange::mapping);
    v1::NamespaceOption {
        network: if pod.network.host { node } else { own }.into(),
        pid: pid.into(),
        ipc: if pod.security.host_ipc { node } else { own }.into(),
        target_id: String::new(),
        userns_options: Some(v1::UserNamespace {
            mode: if users.is_some() { own } else { node }.into(),
            uids: mapping.into_iter().collect(),
            gids: mapping.into_iter().collect(),
        }),
    }
}

fn profile(given: &GivenProfile, folder: &str) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let (kind, name) = match given {
        GivenProfile::RuntimeDefault => (ProfileType::RuntimeDefault, String::new()),
        GivenProfile::Unconfined => (ProfileType::Unconfined, String::new()),
        GivenProfile::Localhost(name) if folder.is_empty() => (ProfileType::Localhost, name.clone()),
        GivenProfile::Localhost(name) => (ProfileType::Localhost, format!("{folder}/{name}")),
    };
    v1::SecurityProfile { profile_type: kind.into(), localhost_ref: name }
}

fn selinux(label: &SelinuxLabel) -> v1::SeLinuxOption {
    v1::SeLinuxOption {
        user: label.user.clone(),
        role: label.role.clone(),
        r#type: label.kind.clone(),
        level: label.level.clone(),
    }
}
