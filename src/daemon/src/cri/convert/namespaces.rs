//! Namespace options. Absent ones mean POD.

use peapod_api::v1::{NamespaceMode, NamespaceOption};
use peapod_spec::pod::{Namespaces, PidMode, Scope};

use super::field::{Checked, FieldError, known, not_empty};

/// A pod's namespaces.
pub(super) fn of_pod(options: Option<NamespaceOption>) -> Checked<Namespaces> {
    let Some(options) = options else { return Ok(Namespaces::default()) };
    user_namespace(&options)?;
    if options.pid == i32::from(NamespaceMode::Target) {
        return Err(FieldError::new("pid", "TARGET is for containers only"));
    }
    let pid = pid(&options)?;
    Ok(Namespaces { network: scope("network", options.network)?, pid, ipc: scope("ipc", options.ipc)? })
}

/// A container's PID namespace; network and IPC are its pod's, whatever it says.
pub(super) fn pid_of_container(options: Option<NamespaceOption>) -> Checked<PidMode> {
    let Some(options) = options else { return Ok(PidMode::default()) };
    user_namespace(&options)?;
    pid(&options)
}

/// Back again, for status.
pub(crate) fn to_options(namespaces: &Namespaces) -> NamespaceOption {
    let scope = |scope: Scope| match scope {
        Scope::Pod => NamespaceMode::Pod.into(),
        Scope::Node => NamespaceMode::Node.into(),
    };
    let (pid, target_id) = match &namespaces.pid {
        PidMode::Pod => (NamespaceMode::Pod, String::new()),
        PidMode::Container => (NamespaceMode::Container, String::new()),
        PidMode::Node => (NamespaceMode::Node, String::new()),
        PidMode::Target(id) => (NamespaceMode::Target, id.clone()),
    };
    NamespaceOption {
        network: scope(namespaces.network),
        pid: pid.into(),
        ipc: scope(namespaces.ipc),
        target_id,
        userns_options: None,
    }
}

fn scope(field: &str, value: i32) -> Checked<Scope> {
    match known(field, value)? {
        NamespaceMode::Pod => Ok(Scope::Pod),
        NamespaceMode::Node => Ok(Scope::Node),
        NamespaceMode::Container | NamespaceMode::Target => Err(FieldError::new(field, "should be POD or NODE")),
    }
}

fn pid(options: &NamespaceOption) -> Checked<PidMode> {
    Ok(match known("pid", options.pid)? {
        NamespaceMode::Pod => PidMode::Pod,
        NamespaceMode::Container => PidMode::Container,
        NamespaceMode::Node => PidMode::Node,
        NamespaceMode::Target => PidMode::Target(not_empty("target_id", options.target_id.clone())?),
    })
}

/// Absent means the node's, as in practice with every runtime, although the interface once said otherwise.
fn user_namespace(options: &NamespaceOption) -> Checked<()> {
    let Some(user) = &options.userns_options else { return Ok(()) };
    match known("userns_options.mode", user.mode)? {
        NamespaceMode::Node => Ok(()),
        NamespaceMode::Pod => {
            Err(FieldError::unsupported("userns_options.mode", "user namespaces are not supported yet, use NODE"))
        }
        NamespaceMode::Container | NamespaceMode::Target => {
            Err(FieldError::new("userns_options.mode", "should be POD or NODE"))
        }
    }
}
