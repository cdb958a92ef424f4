//! Security contexts: what containers may do, and as whom.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::capabilities;
use super::names::is_inner_path;

/// What is said of a pod as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodWideSecurity {
    pub(crate) share_process_namespace: bool,
    pub(crate) host_pid: bool,
    pub(crate) host_ipc: bool,
    /// A user namespace of the pod's own.
    pub(crate) own_users: bool,
    pub(crate) fs_group: Option<FsGroup>,
    pub(crate) groups: Vec<i64>,
    /// Without the groups of the image.
    pub(crate) strict_groups: bool,
    pub(crate) sysctls: BTreeMap<String, String>,
    /// What counts for containers that say nothing else.
    pub(crate) default: EffectiveSecurity,
}

/// The group of a pod's volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FsGroup {
    pub(crate) id: i64,
    /// Files are left alone where the volume's folder has the group already.
    pub(crate) on_mismatch_alone: bool,
}

/// What counts for a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EffectiveSecurity {
    pub(crate) user: Option<i64>,
    pub(crate) group: Option<i64>,
    /// Root is refused.
    pub(crate) non_root: bool,
    pub(crate) privileged: bool,
    pub(crate) no_new_privileges: bool,
    pub(crate) read_only_root: bool,
    /// All of /proc is seen.
    pub(crate) unmasked: bool,
    /// Added and dropped ones.
    pub(crate) capabilities: (Vec<String>, Vec<String>),
    pub(crate) seccomp: Option<GivenProfile>,
    pub(crate) apparmor: Option<GivenProfile>,
    pub(crate) selinux: Option<SelinuxLabel>,
}

/// A profile of seccomp or AppArmor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GivenProfile {
    RuntimeDefault,
    Unconfined,
    /// A file, or the name of a loaded one.
    Localhost(String),
}

/// A label of SELinux; what is empty is the runtime's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelinuxLabel {
    pub(crate) user: String,
    pub(crate) role: String,
    pub(crate) kind: String,
    pub(crate) level: String,
}

/// The pod's.
pub(super) fn pod(b: &mut Builder<'_>, spec: &k8s::PodSpec) -> PodWideSecurity {
    let none = k8s::PodSecurityContext::default();
    let given = spec.security_context.as_ref().unwrap_or(&none);
    let path = "spec.securityContext";
    let (host_pid, share) = (spec.host_pid.unwrap_or(false), spec.share_process_namespace.unwrap_or(false));
    if host_pid && share {
        b.add_mistake(
            "spec.shareProcessNamespace",
            "can't stand beside hostPID: the node's processes are seen already",
        );
    }
    let own_users = spec.host_users == Some(false);
    let host_ipc = spec.host_ipc.unwrap_or(false);
    let host_network = spec.host_network.unwrap_or(false);
    for (set, field) in [(host_network, "hostNetwork"), (host_pid, "hostPID"), (host_ipc, "hostIPC")] {
        if own_users && set {
            b.add_mistake(&format!("spec.{field}"), "can't be true with hostUsers: false");
        }
    }
    let id_fields = [("runAsUser", given.run_as_user), ("runAsGroup", given.run_as_group), ("fsGroup", given.fs_group)];
    for (field, id) in id_fields {
        check_id(b, &format!("{path}.{field}"), id);
    }
    for (index, group) in given.supplemental_groups.iter().flatten().enumerate() {
        check_id(b, &format!("{path}.supplementalGroups[{index}]"), Some(*group));
    }
    let on_mismatch_alone = b.one_of(
        &format!("{path}.fsGroupChangePolicy"),
        given.fs_group_change_policy.as_deref(),
        false,
        &[("OnRootMismatch", true), ("Always", false)],
    );
    let strict_groups = b.one_of(
        &format!("{path}.supplementalGroupsPolicy"),
        given.supplemental_groups_policy.as_deref(),
        false,
        &[("Merge", false), ("Strict", true)],
    );
    PodWideSecurity {
        share_process_namespace: share,
        host_pid,
        host_ipc,
        own_users,
        fs_group: given.fs_group.map(|id| FsGroup { id, on_mismatch_alone }),
        groups: given.supplemental_groups.clone().unwrap_or_default(),
        strict_groups,
        sysctls: sysctls(b, given.sysctls.as_deref().unwrap_or_default(), (host_network, host_ipc)),
        default: EffectiveSecurity {
            user: given.run_as_user,
            group: given.run_as_group,
            non_root: given.run_as_non_root.unwrap_or(false),
            seccomp: seccomp(b, path, given.seccomp_profile.as_ref()),
            apparmor: apparmor(b, path, given.app_armor_profile.as_ref()),
            selinux: given.se_linux_options.as_ref().map(SelinuxLabel::of),
            ..EffectiveSecurity::default()
        },
    }
}

/// A container's, with the pod's where it says nothing.
pub(super) fn container(
    b: &mut Builder<'_>,
    path: &str,
    given: Option<&k8s::SecurityContext>,
    pod: &PodWideSecurity,
) -> EffectiveSecurity {
    let Some(given) = given else { return checked(b, path, pod.default.clone()) };
    let path = &format!("{path}.securityContext");
    check_id(b, &format!("{path}.runAsUser"), given.run_as_user);
    check_id(b, &format!("{path}.runAsGroup"), given.run_as_group);
    let unmasked = b.one_of(
        &format!("{path}.procMount"),
        given.proc_mount.as_deref(),
        false,
        &[("Default", false), ("Unmasked", true)],
    );
    if unmasked && !pod.own_users {
        b.add_mistake(
            &format!("{path}.procMount"),
            "is Unmasked, which Kubernetes allows with spec.hostUsers: false alone",
        );
    }
    let privileged = given.privileged.unwrap_or(false);
    let caps = given.capabilities.clone().unwrap_or_default();
    let names = |names: Option<Vec<String>>| -> Vec<String> {
        let short = |name: String| name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name);
        names.unwrap_or_default().into_iter().map(short).collect()
    };
    for (list, given) in [("add", &caps.add), ("drop", &caps.drop)] {
        for (index, name) in given.iter().flatten().enumerate().filter(|(_, name)| !capabilities::is_one(name)) {
            let path = format!("{path}.capabilities.{list}[{index}]");
            b.add_mistake(&path, format!("is `{name}`, which is no capability"));
        }
    }
    let capabilities = (names(caps.add), names(caps.drop));
    let no_new_privileges = given.allow_privilege_escalation == Some(false);
    if no_new_privileges && (privileged || capabilities.0.iter().any(|name| name == "SYS_ADMIN")) {
        let text = "can't be false where privileged or CAP_SYS_ADMIN gives all rights";
        b.add_mistake(&format!("{path}.allowPrivilegeEscalation"), text);
    }
    let default = &pod.default;
    let security = EffectiveSecurity {
        user: given.run_as_user.or(default.user),
        group: given.run_as_group.or(default.group),
        non_root: given.run_as_non_root.unwrap_or(default.non_root),
        privileged,
        no_new_privileges,
        read_only_root: given.read_only_root_filesystem.unwrap_or(false),
        unmasked,
        capabilities,
        seccomp: seccomp(b, path, given.seccomp_profile.as_ref()).or_else(|| default.seccomp.clone()),
        apparmor: apparmor(b, path, given.app_armor_profile.as_ref()).or_else(|| default.apparmor.clone()),
        selinux: given.se_linux_options.as_ref().map(SelinuxLabel::of).or_else(|| default.selinux.clone()),
    };
    checked(b, path, security)
}

fn checked(b: &mut Builder<'_>, path: &str, security: EffectiveSecurity) -> EffectiveSecurity {
    if security.non_root && security.user == Some(0) {
        b.add_mistake(&format!("{path}.runAsUser"), "is 0, and runAsNonRoot refuses root");
    }
    security
}

fn check_id(b: &mut Builder<'_>, path: &str, id: Option<i64>) {
    if let Some(id) = id.filter(|id| i32::try_from(*id).is_err() || *id < 0) {
        b.add_mistake(path, format!("is {id}; it has to be from 0 to {}", i32::MAX));
    }
}

impl SelinuxLabel {
    fn of(given: &k8s::SELinuxOptions) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Self { user: text(&given.user), role: text(&given.role), kind: text(&given.type_), level: text(&given.level) }
    }
}

fn seccomp(b: &mut Builder<'_>, path: &str, given: Option<&k8s::SeccompProfile>) -> Option<GivenProfile> {
    let given = given?;
    let path = format!("{path}.seccompProfile");
    let file = profile(b, &path, &given.type_, given.localhost_profile.as_deref())?;
    if let GivenProfile::Localhost(name) = &file
        && !is_inner_path(name)
    {
        let text = format!("is `{name}`; it has to be a path below /var/lib/kubelet/seccomp, without `..`");
        b.add_mistake(&format!("{path}.localhostProfile"), text);
    }
    Some(file)
}

fn apparmor(b: &mut Builder<'_>, path: &str, given: Option<&k8s::AppArmorProfile>) -> Option<GivenProfile> {
    let given = given?;
    profile(b, &format!("{path}.appArmorProfile"), &given.type_, given.localhost_profile.as_deref())
}

/// A container's profile as it was written before there was a field: an annotation of the pod. A kubelet takes it.
pub(super) fn annotated(
    b: &mut Builder<'_>,
    annotations: &BTreeMap<String, String>,
    (name, security): (&str, &mut EffectiveSecurity),
) {
    let key = format!("container.apparmor.security.beta.kubernetes.io/{name}");
    let Some(text) = annotations.get(&key).filter(|_| security.apparmor.is_none()) else { return };
    security.apparmor = match (text.as_str(), text.strip_prefix("localhost/")) {
        ("runtime/default", _) => Some(GivenProfile::RuntimeDefault),
        ("unconfined", _) => Some(GivenProfile::Unconfined),
        (_, Some(name)) if !name.is_empty() => Some(GivenProfile::Localhost(name.to_owned())),
        _ => {
            let text = format!("has {key}: `{text}`; it can be runtime/default, unconfined, localhost/PROFILE");
            b.add_mistake("metadata.annotations", text);
            None
        }
    };
}

fn profile(b: &mut Builder<'_>, path: &str, kind: &str, name: Option<&str>) -> Option<GivenProfile> {
    match (kind, name.filter(|name| !name.is_empty())) {
        ("RuntimeDefault", None) => Some(GivenProfile::RuntimeDefault),
        ("Unconfined", None) => Some(GivenProfile::Unconfined),
        ("Localhost", Some(name)) => Some(GivenProfile::Localhost(name.to_owned())),
        ("Localhost", None) => {
            b.add_mistake(&format!("{path}.localhostProfile"), "is missing: type Localhost needs one");
            None
        }
        ("RuntimeDefault" | "Unconfined", Some(_)) => {
            b.add_mistake(&format!("{path}.localhostProfile"), format!("can't stand beside type {kind}"));
            None
        }
        _ => {
            let text = format!("is `{kind}`; it can be RuntimeDefault, Unconfined, Localhost");
            b.add_mistake(&format!("{path}.type"), text);
            None
        }
    }
}

/// Those that the kernel keeps for each namespace; a pod can't set others.
fn sysctls(
    b: &mut Builder<'_>,
    given: &[k8s::Sysctl],
    (host_network, host_ipc): (bool, bool),
) -> BTreeMap<String, String> {
    let mut sysctls = BTreeMap::new();
    for (index, sysctl) in given.iter().enumerate() {
        let path = format!("spec.securityContext.sysctls[{index}].name");
        let name = with_dots(&sysctl.name);
        let ipc =
            name == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| name.starts_with(p));
        if name.starts_with("net.") && host_network {
            b.add_mistake(&path, format!("is `{name}`, which is the node's own with hostNetwork"));
        } else if ipc && host_ipc {
            b.add_mistake(&path, format!("is `{name}`, which is the node's own with hostIPC"));
        } else if !name.starts_with("net.") && !ipc {
            b.add_mistake(&path, format!("is `{name}`, which is the node's and not a pod's: set it with sysctl"));
        } else if sysctls.insert(name, sysctl.value.clone()).is_some() {
            b.add_mistake(&path, format!("is `{}`, as is another one's", sysctl.name));
        }
    }
    sysctls
}

/// Where slashes part the words, dots are parts of them.
fn with_dots(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'/' => {
            let swap = |c| match c {
                '/' => '.',
                '.' => '/',
                other => other,
            };
            name.chars().map(swap).collect()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::with_dots;

    #[test]
    fn names_of_sysctls() {
        for (given, name) in [
            ("kernel.shmmax", "kernel.shmmax"),
            ("net/ipv4/conf/eno2.100/rp_filter", "net.ipv4.conf.eno2/100.rp_filter"),
            ("net.ipv4.conf.eno2/100.rp_filter", "net.ipv4.conf.eno2/100.rp_filter"),
        ] {
            assert_eq!(with_dots(given), name);
        }
    }
}
