//! A stopped pod's files.

use crate::dir;
use crate::error::Error;
use crate::id::PodId;
use crate::node::Node;

/// Removes a pod's folder. Already gone is success.
pub(crate) async fn remove_files(node: &Node, id: &PodId) -> Result<(), Error> {
    let removed = dir::remove(&node.trash, node.pod_dir(id)).await;
    peapod_sys::fail_point("pod-files-gone");
    removed
}
