//! UpdateContainerResources of a running container.

use peapod_spec::container::Resources;
use peapod_spec::{linux_resources, resources_json};

use super::limits;
use crate::error::Error;
use crate::id::ContainerId;
use crate::node::Node;
use crate::shim::Shim;
use crate::systemd;

/// Has the OCI runtime apply all limits, as they are after the change. crun 1.8 doesn't tell systemd, which would go back to those of
/// the start at its next `systemctl daemon-reload`; from runc it hears the same twice. `scope` is the group, where systemd made it.
pub(crate) async fn update(
    node: &Node,
    shim: &Shim,
    id: &ContainerId,
    scope: Option<&str>,
    resources: &Resources,
) -> Result<(), Error> {
    let resources = linux_resources(resources, &node.facts);
    let json = resources_json(&resources)
        .map_err(|error| Error::Invalid { field: "linux".to_owned(), reason: error.to_string() })?;
    shim.update(id.as_str(), json).await.map_err(|error| error.into_error("update the container"))?;
    if let Some(scope) = scope {
        let told = systemd::set_limits(scope, &limits::of(&resources)).await;
        told.map_err(|error| {
            Error::failed(
                "tell systemd the limits, which are in force until it reads its units again (repeat the call)",
                &error,
            )
        })?;
    }
    Ok(())
}
