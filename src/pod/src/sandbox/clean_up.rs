//! What a dead shim left, removed by the shim's own binary: one way to clean up, whoever the master is.

use std::io::ErrorKind;
use std::process::Stdio;
use std::time::{Duration, Instant};

use peapod_cgroup::Hierarchy;
use peapod_shim_protocol::exit::Exit;

use super::SandboxOperations;
use crate::container;
use crate::error::Error;
use crate::id::{ContainerId, PodId};

/// Killing and unmounting; a process that can't be killed must not hold a pod for ever.
const LIMIT: Duration = Duration::from_secs(60);
/// How long there may be no room for the clean-up's process after the pod's were killed.
const ROOM: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

impl SandboxOperations {
    /// Kills and unmounts what is left of a pod, then reads how its containers ended. The groups are those of
    /// containers that may hold something, for what the bundle says may be lost.
    pub(crate) async fn clean_up(
        &self,
        id: &PodId,
        running: Vec<ContainerId>,
        cgroups: &[String],
    ) -> Result<Vec<(ContainerId, Option<Exit>)>, Error> {
        self.run_delete(id, cgroups).await?;
        let mut ends = Vec::with_capacity(running.len());
        for container in running {
            let exit = container::exit_file(&self.layout.bundle(id, &container)).await;
            ends.push((container, exit));
        }
        Ok(ends)
    }

    /// Runs `containerd-shim-peapod-v1 … delete`, also for a pod without a folder: its shim may be there nevertheless.
    pub(crate) async fn run_delete(&self, id: &PodId, cgroups: &[String]) -> Result<(), Error> {
        let bundle = self.layout.pod_dir(id);
        let binary = &self.shim;
        let step = || format!("clean up after the pod's shim with {}", binary.display());
        let mut command = tokio::process::Command::new(binary);
        command
            .args(["-namespace", "peapod", "-id", id.as_str(), "-bundle"])
            .arg(&bundle)
            .args(cgroups.iter().flat_map(|path| ["-cgroup", path]))
            .arg("delete")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = spawn(&mut command, &self.cgroups, cgroups).await.map_err(|error| Error::failed(step(), &error))?;
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
}

/// Starts the clean-up. It ends the shim before the containers, so that a shim to which nobody can speak writes down no
/// end of theirs; where they have left the node no room for a process they are killed first, without one.
async fn spawn(
    command: &mut tokio::process::Command,
    hierarchy: &Hierarchy,
    cgroups: &[String],
) -> std::io::Result<tokio::process::Child> {
    match command.spawn() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        started => return started,
    }
    kill(hierarchy, cgroups).await;
    let began = Instant::now();
    loop {
        match command.spawn() {
            // They are killed, but still processes.
            Err(error) if error.kind() == ErrorKind::WouldBlock && began.elapsed() < ROOM => {
                tokio::time::sleep(PAUSE).await;
            }
            started => return started,
        }
    }
}

/// Kills what the pod's containers run, without another process.
async fn kill(hierarchy: &Hierarchy, cgroups: &[String]) {
    let (hierarchy, cgroups) = (hierarchy.clone(), cgroups.to_vec());
    let killed = tokio::task::spawn_blocking(move || {
        for group in &cgroups {
            let killed = hierarchy.cgroup(group).map_err(|error| error.to_string());
            if let Err(error) = killed.and_then(|group| group.kill().map_err(|error| error.to_string())) {
                tracing::warn!(group, error, "what a container left is not killed yet");
            }
        }
    });
    // The clean-up kills as well, and says what stays.
    let _ = killed.await;
}
