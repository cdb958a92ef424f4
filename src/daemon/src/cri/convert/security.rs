//! What a container may do.

use peapod_api::v1::{Capability, LinuxContainerSecurityContext, SupplementalGroupsPolicy};
use peapod_spec::bounds::{CAPABILITIES, GROUPS, HIDDEN_PATHS, NAME_BYTES};
use peapod_spec::container::{Capabilities, ContainerSecurity, GroupsPolicy, UserChoice};
use peapod_text::excerpt;

use super::field::{Checked, FieldError, any_absolute_path, at_most, id, ids, known, short, without_nul};
use super::{namespaces, profile};

/// Checks a security context. An absent one masks nothing and confines nothing, as the client said nothing.
pub(super) fn security(context: Option<LinuxContainerSecurityContext>) -> Checked<ContainerSecurity> {
    let Some(context) = context else { return Ok(ContainerSecurity::default()) };
    let user = user(context.run_as_user.map(|user| user.value), context.run_as_username)?;
    let run_as_group = context.run_as_group.map(|group| id("run_as_group", group.value)).transpose()?;
    if run_as_group.is_some() && user == UserChoice::Image {
        return Err(FieldError::new("run_as_group", "needs run_as_user or run_as_username"));
    }
    let (pid, users) =
        namespaces::of_container(context.namespace_options).map_err(|error| error.within("namespace_options"))?;
    let policy = match known("supplemental_groups_policy", context.supplemental_groups_policy)? {
        SupplementalGroupsPolicy::Merge => GroupsPolicy::Merge,
        SupplementalGroupsPolicy::Strict => GroupsPolicy::Strict,
    };
    at_most("supplemental_groups", "entries", context.supplemental_groups.len(), GROUPS)?;
    #[allow(deprecated)]
    let (old_seccomp, old_apparmor) = (context.seccomp_profile_path, context.apparmor_profile);
    Ok(ContainerSecurity {
        privileged: context.privileged,
        capabilities: context.capabilities.map(capabilities).transpose()?.unwrap_or_default(),
        pid,
        users,
        user,
        run_as_group,
        supplemental_groups: ids("supplemental_groups", context.supplemental_groups)?,
        supplemental_groups_policy: policy,
        readonly_rootfs: context.readonly_rootfs,
        no_new_privs: context.no_new_privs,
        masked_paths: absolute_paths("masked_paths", context.masked_paths)?,
        readonly_paths: absolute_paths("readonly_paths", context.readonly_paths)?,
        seccomp: profile::seccomp(context.seccomp, &old_seccomp)?,
        apparmor: profile::apparmor(context.apparmor, &old_apparmor)?,
        selinux: profile::selinux(context.selinux_options)?,
    })
}

/// Runtimes disagree on what a relative one would be relative to.
fn absolute_paths(field: &str, values: Vec<String>) -> Checked<Vec<String>> {
    at_most(field, "entries", values.len(), HIDDEN_PATHS)?;
    let check = |(index, value)| {
        let path = any_absolute_path(&format!("{field}[{index}]"), value)?;
        Ok(path.to_string_lossy().into_owned())
    };
    values.into_iter().enumerate().map(check).collect()
}

fn user(uid: Option<i64>, name: String) -> Checked<UserChoice> {
    match (uid, name) {
        (Some(_), name) if !name.is_empty() => {
            Err(FieldError::new("run_as_username", "is set together with run_as_user: one of them has to go"))
        }
        (Some(uid), _) => id("run_as_user", uid).map(UserChoice::Uid),
        (None, name) if name.is_empty() => Ok(UserChoice::Image),
        (None, name) => {
            short("run_as_username", without_nul("run_as_username", name)?, NAME_BYTES).map(UserChoice::Name)
        }
    }
}

fn capabilities(capability: Capability) -> Checked<Capabilities> {
    Ok(Capabilities {
        add: names("capabilities.add_capabilities", capability.add_capabilities)?,
        drop: dropped("capabilities.drop_capabilities", capability.drop_capabilities)?,
        add_ambient: names("capabilities.add_ambient_capabilities", capability.add_ambient_capabilities)?,
    })
}

/// `net_admin`, `NET_ADMIN` and `CAP_NET_ADMIN` are one.
fn names(field: &str, names: Vec<String>) -> Checked<Vec<String>> {
    at_most(field, "entries", names.len(), CAPABILITIES)?;
    let mut checked = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let upper = name.to_ascii_uppercase();
        if upper.is_empty()
            || upper.len() > NAME_BYTES
            || !upper.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Err(FieldError::new(format!("{field}[{index}]"), format!("{} is no capability", excerpt(&name))));
        }
        checked.push(spelling(upper));
    }
    Ok(checked)
}

/// What can't be a capability is no capability that a container keeps: it is noted later.
fn dropped(field: &str, names: Vec<String>) -> Checked<Vec<String>> {
    at_most(field, "entries", names.len(), CAPABILITIES)?;
    names.into_iter().map(|name| Ok(spelling(short(field, name, NAME_BYTES)?.to_ascii_uppercase()))).collect()
}

fn spelling(upper: String) -> String {
    if upper == "ALL" || upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }
}
