//! RemoveContainer: what is left of a container that has no process.

use peapod_sys::fail_point;

use crate::dir;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::node::Node;
use crate::shim::Shim;

/// Removes everything but the log. Tries all of it, reports the first error; already gone is success.
pub(crate) async fn remove(node: &Node, shim: Option<Shim>, pod: &PodId, id: &ContainerId) -> Result<(), Error> {
    let mut outcome = Ok(());
    if let Some(shim) = shim {
        let deleted = shim.delete(id.as_str(), "").await;
        outcome = outcome.and(deleted.map_err(|error| error.into_error("remove the container from its shim")));
    }
    fail_point("container-deleted");
    for folder in [node.bundle(pod, id), node.writable(id)] {
        outcome = outcome.and(dir::remove(folder).await);
        fail_point("container-folder-gone");
    }
    let released = node.images.release(id.as_str()).await;
    fail_point("container-released");
    outcome.and(released.map_err(|error| Error::failed("give the container's image back", &error)))
}
