//! A pod's configuration as a checked specification.

use peapod_api::v1::{
    LinuxContainerResources, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig, PodSandboxMetadata,
};
use peapod_spec::bounds::{GROUPS, LABELS, PATH_BYTES};
use peapod_spec::pod::{PodMetadata, PodResources, PodSecurity, PodSpec, Scope};
use peapod_spec::{IdRange, UserNamespace};
use peapod_text::excerpt;

use super::bandwidth::bandwidth;
use super::field::{Checked, FieldError, absolute_path, at_most, id, ids, name, required};
use super::{namespaces, network, profile, resources as limits, sysctl};

/// What one label of a host name can hold together with a domain, as the kernel counts.
const HOSTNAME_LIMIT: usize = 64;

/// Checks all fields of a pod.
pub(crate) fn pod_spec(config: Option<PodSandboxConfig>, runtime_handler: String) -> Checked<PodSpec> {
    let config = required("config", config)?;
    spec(config, runtime_handler).map_err(|error| error.within("config"))
}

fn spec(config: PodSandboxConfig, runtime_handler: String) -> Checked<PodSpec> {
    if config.windows.is_some() {
        return Err(FieldError::unsupported("windows", "peapod runs on Linux"));
    }
    let mut linux = config.linux.unwrap_or_default();
    let security = linux.security_context.clone().unwrap_or_default();
    let namespaces = namespaces::of_pod(security.namespace_options.clone())
        .map_err(|error| error.within("linux.security_context.namespace_options"))?;
    let log_directory = match config.log_directory {
        directory if directory.is_empty() => None,
        directory => Some(absolute_path("log_directory", directory)?),
    };
    at_most("labels", "entries", config.labels.len(), LABELS)?;
    at_most("annotations", "entries", config.annotations.len(), LABELS)?;
    let told = pod_resources(linux.overhead.take(), linux.resources.take()).map_err(|error| error.within("linux"))?;
    let port_mappings = network::port_mappings(config.port_mappings)?;
    Ok(PodSpec {
        metadata: metadata(required("metadata", config.metadata)?).map_err(|error| error.within("metadata"))?,
        hostname: hostname(config.hostname, namespaces.network)?,
        log_directory,
        dns: config.dns_config.map(network::dns).transpose().map_err(|error| error.within("dns_config"))?,
        // In the node's network a port is the node's already.
        port_mappings: if namespaces.network == Scope::Node { Vec::new() } else { port_mappings },
        labels: config.labels,
        bandwidth: bandwidth(&config.annotations),
        annotations: config.annotations,
        runtime_handler,
        cgroup_parent: cgroup_parent(&linux)?,
        sysctls: sysctl::sysctls(linux.sysctls, &namespaces).map_err(|error| error.within("linux"))?,
        security: pod_security(security, namespaces.users).map_err(|error| error.within("linux.security_context"))?,
        namespaces,
        overhead: told.overhead,
        resources: told.resources,
    })
}

fn metadata(metadata: PodSandboxMetadata) -> Checked<PodMetadata> {
    Ok(PodMetadata {
        name: name("name", metadata.name)?,
        namespace: name("namespace", metadata.namespace)?,
        uid: name("uid", metadata.uid)?,
        attempt: metadata.attempt,
    })
}

/// A pod in the node's network has the node's name, whatever it asks for: the kubelet asks for none.
fn hostname(name: String, network: Scope) -> Checked<String> {
    if name.len() > HOSTNAME_LIMIT {
        let reason = format!("{} has {} bytes, the kernel takes {HOSTNAME_LIMIT}", excerpt(&name), name.len());
        return Err(FieldError::new("hostname", reason));
    }
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        Ok(if network == Scope::Node { String::new() } else { name })
    } else {
        let reason = format!("{} has characters that no host name can have", excerpt(&name));
        Err(FieldError::new("hostname", reason))
    }
}

/// What it may be is the cgroup driver's to say.
fn cgroup_parent(linux: &LinuxPodSandboxConfig) -> Checked<Option<String>> {
    let parent = linux.cgroup_parent.trim_end_matches('/');
    at_most("linux.cgroup_parent", "bytes", parent.len(), PATH_BYTES)?;
    Ok((!parent.is_empty()).then(|| parent.to_owned()))
}

/// What a client says of the pod's own cgroup.
pub(crate) fn pod_resources(
    overhead: Option<LinuxContainerResources>,
    resources: Option<LinuxContainerResources>,
) -> Checked<PodResources> {
    let checked = |field, message: Option<_>| {
        message.map(|message| limits::resources(Some(message))).transpose().map_err(|error| error.within(field))
    };
    Ok(PodResources { overhead: checked("overhead", overhead)?, resources: checked("resources", resources)? })
}

fn pod_security(context: LinuxSandboxSecurityContext, own: Option<UserNamespace>) -> Checked<PodSecurity> {
    let run_as_user = context.run_as_user.map(|user| id("run_as_user", user.value)).transpose()?;
    let run_as_group = context.run_as_group.map(|group| id("run_as_group", group.value)).transpose()?;
    if run_as_group.is_some() && run_as_user.is_none() {
        return Err(FieldError::new("run_as_group", "needs run_as_user"));
    }
    at_most("supplemental_groups", "entries", context.supplemental_groups.len(), GROUPS)?;
    let supplemental_groups = ids("supplemental_groups", context.supplemental_groups)?;
    if let Some(UserNamespace { uids, gids }) = own {
        of_pod("run_as_user", uids, run_as_user.as_slice())?;
        of_pod("run_as_group", gids, run_as_group.or(run_as_user).as_slice())?;
        of_pod("supplemental_groups", gids, &supplemental_groups)?;
    }
    #[allow(deprecated)]
    let old_seccomp = context.seccomp_profile_path;
    Ok(PodSecurity {
        privileged: context.privileged,
        run_as_user,
        run_as_group,
        supplemental_groups,
        readonly_rootfs: context.readonly_rootfs,
        seccomp: profile::seccomp(context.seccomp, &old_seccomp)?,
        selinux: profile::selinux(context.selinux_options)?,
    })
}

/// Ids as which a process of the pod runs, in a pod that has these.
fn of_pod(field: &str, own: IdRange, ids: &[u32]) -> Checked<()> {
    match ids.iter().find(|id| own.on_node(**id).is_none()) {
        Some(id) => Err(FieldError::new(field, format!("{id} is none of the pod's own {} ids", own.count()))),
        None => Ok(()),
    }
}
