//! What a dead shim left, removed by the shim's own binary: one way to clean up, whoever the master is.

use std::process::Stdio;
use std::time::Duration;

use peapod_shim_protocol::exit::Exit;

use crate::container;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::node::Node;

/// Killing and unmounting; a process that can't be killed must not hold a pod for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// Kills and unmounts what is left of a pod, then reads how its containers ended.
pub(crate) async fn clean_up(
    node: &Node,
    id: &PodId,
    running: Vec<ContainerId>,
) -> Result<Vec<(ContainerId, Option<Exit>)>, Error> {
    run_delete(node, id).await?;
    let mut ends = Vec::with_capacity(running.len());
    for container in running {
        let exit = container::exit_file(&node.bundle(id, &container)).await;
        ends.push((container, exit));
    }
    Ok(ends)
}

/// Runs `containerd-shim-peapod-v1 … delete`. A pod without a folder has nothing left.
pub(super) async fn run_delete(node: &Node, id: &PodId) -> Result<(), Error> {
    let bundle = node.pod_dir(id);
    if !bundle.is_dir() {
        return Ok(());
    }
    let binary = &node.config.shim;
    let step = || format!("clean up after the pod's shim with {}", binary.display());
    let child = tokio::process::Command::new(binary)
        .args(["-namespace", "peapod", "-id", id.as_str(), "-bundle"])
        .arg(&bundle)
        .arg("delete")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::failed(step(), &error))?;
    let failed = |reason: String| Error::Failed { step: step(), reason };
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .map_err(|_| failed(format!("not over after {} s", LIMIT.as_secs())))?
        .map_err(|error| Error::failed(step(), &error))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}: {}", output.status, words.trim())))
}
