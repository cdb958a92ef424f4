//! A stopped pod's files.

use std::io;

use crate::error::Error;
use crate::id::PodId;
use crate::node::Node;

/// Removes a pod's folder. Already gone is success.
pub(crate) async fn remove_files(node: &Node, id: &PodId) -> Result<(), Error> {
    let dir = node.pod_dir(id);
    let step = format!("remove {}", dir.display());
    let outcome = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await;
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::failed(step, &error)),
        Err(error) => Err(Error::failed(step, &error)),
    }
}
