//! Containers that may divide their own cgroups further.

use peapod_cgroup::NoDelegation;
use peapod_shim_protocol::DELEGATION_SINCE;
use peapod_spec::container::ContainerSpec;
use peapod_spec::{Config, UserNamespace};
use peapod_text::excerpt;

use super::ContainerContext;
use crate::error::Error;
use crate::id::ContainerId;
use crate::shim::Shim;

/// Looks whether the node still keeps limits out of the reach of a container that may divide its group. Blocks.
pub(super) fn may_delegate(context: &ContainerContext, id: &ContainerId, spec: &ContainerSpec) -> Result<(), Error> {
    if spec.security.privileged || !context.handler.runtime()?.cgroup_writable {
        return Ok(());
    }
    context.containers.cgroups.check_delegation().map_err(|error| refused(id, &error))
}

fn refused(id: &ContainerId, error: &NoDelegation) -> Error {
    Error::Precondition {
        what: "container",
        id: id.to_string(),
        state: format!("to divide its own cgroup (cgroup_writable of its handler), which {error}"),
        need: "the node is not so any more",
    }
}

/// Root of the container, if it may: as its configuration says, which was made when its handler said so.
pub(super) async fn cgroup_owner(
    context: &ContainerContext,
    shim: &Shim,
    config: &Config,
) -> Result<Option<(u32, u32)>, Error> {
    // On version 1 a privileged container has such a mount.
    if !context.containers.facts.cgroup_v2 || !config.has_writable_cgroups() {
        return Ok(None);
    }
    let hello = shim.hello().await;
    let hello = hello.map_err(|error| error.into_error("ask the pod's shim whether it gives cgroups away"))?;
    if hello.protocol < DELEGATION_SINCE {
        return Err(Error::Precondition {
            what: "pod sandbox",
            id: context.pod_id.to_string(),
            state: format!("of peapod {}, whose shim gives no container its cgroup", excerpt(&hello.version)),
            need: "made by this one: run another sandbox for the container (its handler has cgroup_writable)",
        });
    }
    Ok(Some(context.pod.namespaces.users.map_or((0, 0), UserNamespace::root)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_that_is_gone_is_said_with_the_way_out() {
        let id = ContainerId::random().unwrap();
        let refused = refused(&id, &NoDelegation::NoBorder("/sys/fs/cgroup".into()));
        let text = refused.to_string();
        assert!(matches!(refused, Error::Precondition { .. }));
        assert!(text.contains(id.as_str()) && text.contains("remount,nsdelegate /sys/fs/cgroup"), "{text}");
    }
}
