//! What pods and containers can't have in a sandbox of their OCI runtime's, whose kernel is not the node's: refused by
//! name, where the runtime itself would leave it out and say nothing.

use peapod_spec::container::{ApparmorProfile, ContainerSpec, Propagation, SeccompProfile};
use peapod_spec::pod::{PidMode, PodSpec, Scope};

use crate::config::{Grouping, OciRuntime};
use crate::error::Error;

/// Refuses a pod that its handler can't isolate as it asks to be.
pub(crate) fn check_pod(runtime: &OciRuntime, spec: &PodSpec) -> Result<(), Error> {
    let namespaces = &spec.namespaces;
    let options = "config.linux.security_context.namespace_options";
    let refused = [
        (namespaces.network == Scope::Node, format!("{options}.network"), "can't have the node's network"),
        (namespaces.pid == PidMode::Node, format!("{options}.pid"), "can't see the node's processes"),
        (namespaces.ipc == Scope::Node, format!("{options}.ipc"), "can't have the node's IPC"),
        (namespaces.users.is_some(), format!("{options}.userns_options"), "has users of its own anyway: use mode NODE"),
        (!spec.sysctls.is_empty(), "config.linux.sysctls".to_owned(), "has a kernel of its own, without these"),
    ];
    refuse(runtime, refused)
}

/// Refuses a container that would not get what it asks for.
pub(super) fn check_container(runtime: &OciRuntime, spec: &ContainerSpec) -> Result<(), Error> {
    let security = &spec.security;
    let options = "linux.security_context.namespace_options";
    let propagates = spec.mounts.iter().position(|mount| mount.propagation != Propagation::Private);
    let seccomp = matches!(security.seccomp, Some(SeccompProfile::Localhost(_)));
    let apparmor = matches!(security.apparmor, Some(ApparmorProfile::Localhost(_)));
    let refused = [
        (security.pid == PidMode::Node, format!("{options}.pid"), "can't see the node's processes"),
        (
            matches!(security.pid, PidMode::Target(_)),
            format!("{options}.target_id"),
            "has no PID namespaces that others can join: use mode POD",
        ),
        (
            propagates.is_some(),
            format!("mounts[{}].propagation", propagates.unwrap_or_default()),
            "hears of no mounts after its start: use PROPAGATION_PRIVATE",
        ),
        (!spec.devices.is_empty(), "devices".to_owned(), "has none of the node's devices"),
        (!spec.cdi_devices.is_empty(), "cdi_devices".to_owned(), "has none of the node's devices"),
        (seccomp, "linux.security_context.seccomp".to_owned(), "loads no filters: use RuntimeDefault"),
        (apparmor, "linux.security_context.apparmor".to_owned(), "loads no profiles: use RuntimeDefault"),
    ];
    refuse(runtime, refused)
}

/// Refuses other limits of a container that runs.
pub(super) fn check_update(runtime: &OciRuntime) -> Result<(), Error> {
    let what = "other limits of a running container";
    let reason = format!(
        "{} keeps the pod's containers in one sandbox: limits of the pod hold, change those",
        runtime.path.display()
    );
    match runtime.grouping {
        Grouping::Namespaces => Ok(()),
        Grouping::RootContainer => Err(Error::Unsupported { what, reason }),
    }
}

fn refuse(runtime: &OciRuntime, refused: impl IntoIterator<Item = (bool, String, &'static str)>) -> Result<(), Error> {
    if runtime.grouping == Grouping::Namespaces {
        return Ok(());
    }
    match refused.into_iter().find(|(is, ..)| *is) {
        None => Ok(()),
        Some((_, field, why)) => {
            let reason = format!("the sandbox of {}, the pod's OCI runtime, {why}", runtime.path.display());
            Err(Error::Invalid { field, reason })
        }
    }
}
