//! RemoveContainer: what is left of a container that has no process.

use std::io;
use std::path::PathBuf;

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
    for dir in [node.bundle(pod, id), node.writable(id)] {
        outcome = outcome.and(remove_dir(dir).await);
    }
    let released = node.images.release(id.as_str()).await;
    outcome.and(released.map_err(|error| Error::failed("give the container's image back", &error)))
}

async fn remove_dir(dir: PathBuf) -> Result<(), Error> {
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
