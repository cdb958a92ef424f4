//! UpdateContainerResources of a running container.

use peapod_spec::container::Resources;
use peapod_spec::{linux_resources, resources_json};

use crate::error::Error;
use crate::id::ContainerId;
use crate::node::Node;
use crate::shim::Shim;

/// Has the OCI runtime apply all limits, as they are after the change.
pub(crate) async fn update(node: &Node, shim: &Shim, id: &ContainerId, resources: &Resources) -> Result<(), Error> {
    let json = resources_json(&linux_resources(resources, &node.facts))
        .map_err(|error| Error::Invalid { field: "linux".to_owned(), reason: error.to_string() })?;
    shim.update(id.as_str(), json).await.map_err(|error| error.into_error("update the container"))
}
