//! Namespace options. Absent ones mean POD.

use peapod_api::v1::{self, IdMapping, NamespaceMode, NamespaceOption};
use peapod_spec::pod::{Namespaces, PidMode, Scope};
use peapod_spec::{ContainerUsers, IdRange, UserNamespace};

use super::field::{Checked, FieldError, known, not_empty};

/// A pod's namespaces.
pub(super) fn of_pod(options: Option<NamespaceOption>) -> Checked<Namespaces> {
    let Some(options) = options else { return Ok(Namespaces::default()) };
    let users = match &options.userns_options {
        Some(users) => own_users(users).map_err(|error| error.within("userns_options"))?,
        None => None,
    };
    if options.pid == i32::from(NamespaceMode::Target) {
        return Err(FieldError::new("pid", "TARGET is for containers only"));
    }
    let (pid, ipc) = (pid(&options)?, scope("ipc", options.ipc)?);
    if users.is_some() {
        let refused = |field, what| {
            let reason = format!("NODE: a pod with users of its own can't have the node's {what}");
            Err(FieldError::new(field, reason))
        };
        if pid == PidMode::Node {
            return refused("pid", "processes: their /proc is not its own to mount");
        }
        if ipc == Scope::Node {
            return refused("ipc", "IPC: its message queues are not its own to mount");
        }
    }
    Ok(Namespaces { network: scope("network", options.network)?, pid, ipc, users })
}

/// A container's PID namespace, and whose users it says to have; network and IPC are its pod's, whatever it says.
pub(super) fn of_container(options: Option<NamespaceOption>) -> Checked<(PidMode, ContainerUsers)> {
    let Some(options) = options else { return Ok(Default::default()) };
    let users = match &options.userns_options {
        Some(users) => {
            let own = own_users(users).map_err(|error| error.within("userns_options"))?;
            own.map_or(ContainerUsers::Node, ContainerUsers::Own)
        }
        None => ContainerUsers::OfPod,
    };
    Ok((pid(&options)?, users))
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
        userns_options: namespaces.users.map(|users| v1::UserNamespace {
            mode: NamespaceMode::Pod.into(),
            uids: to_mappings(users.uids),
            gids: to_mappings(users.gids),
        }),
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

/// Users of a pod's own; `None`: the node's. Absent means the same, as in practice with every runtime, although the
/// interface once said otherwise.
fn own_users(users: &v1::UserNamespace) -> Checked<Option<UserNamespace>> {
    match known("mode", users.mode)? {
        NamespaceMode::Node if users.uids.is_empty() && users.gids.is_empty() => Ok(None),
        NamespaceMode::Node => Err(FieldError::new("mode", "NODE: the node's users are mapped to nobody else")),
        NamespaceMode::Pod => user_namespace(&users.uids, &users.gids, ["uids", "gids"]).map(Some),
        NamespaceMode::Container | NamespaceMode::Target => Err(FieldError::new("mode", "should be POD or NODE")),
    }
}

/// One mapping of users and one of groups, in fields of these names.
pub(super) fn user_namespace(uids: &[IdMapping], gids: &[IdMapping], fields: [&str; 2]) -> Checked<UserNamespace> {
    Ok(UserNamespace { uids: range(fields[0], uids)?, gids: range(fields[1], gids)? })
}

fn range(field: &str, mappings: &[IdMapping]) -> Checked<IdRange> {
    let [IdMapping { host_id, container_id, length }] = mappings else {
        return Err(FieldError::new(field, format!("has {} mappings, and should have one", mappings.len())));
    };
    if *container_id != 0 {
        let reason = format!("begins at {container_id}: id 0 of the container has to be mapped");
        return Err(FieldError::new(format!("{field}[0].container_id"), reason));
    }
    let reason =
        || format!("{length} ids from {host_id} on are no range of the node's ids, or its root is one of them");
    IdRange::new(*host_id, *length).ok_or_else(|| FieldError::new(format!("{field}[0]"), reason()))
}

/// Back again.
pub(super) fn to_mappings(range: IdRange) -> Vec<IdMapping> {
    vec![IdMapping { host_id: range.first(), container_id: 0, length: range.count() }]
}
