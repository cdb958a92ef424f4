//! Containers that may divide their own cgroups further.

use peapod_shim_protocol::DELEGATION_SINCE;
use peapod_spec::{Config, UserNamespace};
use peapod_text::excerpt;

use super::ContainerContext;
use crate::error::Error;
use crate::shim::Shim;

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
