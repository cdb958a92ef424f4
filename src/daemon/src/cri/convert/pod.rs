//! A pod's configuration as a checked specification.

use peapod_api::v1::{LinuxPodSandboxConfig, LinuxSandboxSecurityContext, PodSandboxConfig, PodSandboxMetadata};
use peapod_spec::pod::{PodMetadata, PodSecurity, PodSpec, Scope};

use super::field::{Checked, FieldError, absolute_path, id, ids, not_empty, required};
use super::{namespaces, network, profile, resources, sysctl};

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
    let linux = config.linux.unwrap_or_default();
    let security = linux.security_context.clone().unwrap_or_default();
    let namespaces = namespaces::of_pod(security.namespace_options.clone())
        .map_err(|error| error.within("linux.security_context.namespace_options"))?;
    let log_directory = match config.log_directory {
        directory if directory.is_empty() => None,
        directory => Some(absolute_path("log_directory", directory)?),
    };
    let port_mappings = network::port_mappings(config.port_mappings)?;
    Ok(PodSpec {
        metadata: metadata(required("metadata", config.metadata)?).map_err(|error| error.within("metadata"))?,
        hostname: hostname(config.hostname)?,
        log_directory,
        dns: config.dns_config.map(network::dns).transpose().map_err(|error| error.within("dns_config"))?,
        // In the node's network a port is the node's already.
        port_mappings: if namespaces.network == Scope::Node { Vec::new() } else { port_mappings },
        labels: config.labels,
        annotations: config.annotations,
        runtime_handler,
        cgroup_parent: cgroup_parent(&linux),
        sysctls: sysctl::sysctls(linux.sysctls, &namespaces).map_err(|error| error.within("linux"))?,
        namespaces,
        security: pod_security(security).map_err(|error| error.within("linux.security_context"))?,
        overhead: optional_resources(linux.overhead).map_err(|error| error.within("linux.overhead"))?,
        resources: optional_resources(linux.resources).map_err(|error| error.within("linux.resources"))?,
    })
}

fn metadata(metadata: PodSandboxMetadata) -> Checked<PodMetadata> {
    Ok(PodMetadata {
        name: not_empty("name", metadata.name)?,
        namespace: not_empty("namespace", metadata.namespace)?,
        uid: not_empty("uid", metadata.uid)?,
        attempt: metadata.attempt,
    })
}

fn hostname(name: String) -> Checked<String> {
    if name.len() > HOSTNAME_LIMIT {
        let reason = format!("{name:?} has {} bytes, the kernel takes {HOSTNAME_LIMIT}", name.len());
        return Err(FieldError::new("hostname", reason));
    }
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        Ok(name)
    } else {
        Err(FieldError::new("hostname", format!("{name:?} has characters that no host name can have")))
    }
}

/// What it may be is the cgroup driver's to say.
fn cgroup_parent(linux: &LinuxPodSandboxConfig) -> Option<String> {
    let parent = linux.cgroup_parent.trim_end_matches('/');
    (!parent.is_empty()).then(|| parent.to_owned())
}

fn optional_resources(
    message: Option<peapod_api::v1::LinuxContainerResources>,
) -> Checked<Option<peapod_spec::container::Resources>> {
    message.map(|message| resources(Some(message))).transpose()
}

fn pod_security(context: LinuxSandboxSecurityContext) -> Checked<PodSecurity> {
    let run_as_user = context.run_as_user.map(|user| id("run_as_user", user.value)).transpose()?;
    let run_as_group = context.run_as_group.map(|group| id("run_as_group", group.value)).transpose()?;
    if run_as_group.is_some() && run_as_user.is_none() {
        return Err(FieldError::new("run_as_group", "needs run_as_user"));
    }
    #[allow(deprecated)]
    let old_seccomp = context.seccomp_profile_path;
    Ok(PodSecurity {
        privileged: context.privileged,
        run_as_user,
        run_as_group,
        supplemental_groups: ids("supplemental_groups", context.supplemental_groups)?,
        readonly_rootfs: context.readonly_rootfs,
        seccomp: profile::seccomp(context.seccomp, &old_seccomp)?,
        selinux: profile::selinux(context.selinux_options),
    })
}
