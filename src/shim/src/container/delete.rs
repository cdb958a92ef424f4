//! Delete: the runtime's state, the group, the root file system.

use std::path::Path;
use std::time::Duration;

use peapod_cgroup::Cgroup;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::OciContainer;
use super::host::Host;
use super::mounts::unmount_all;
use super::state::{Cleanup, Phase};
use crate::error::Error;
use crate::runtime::{Runtime, Target};
use crate::{bundle, log, proc};

/// How long a container that is killed may take to end.
const GONE: Duration = Duration::from_secs(30);
/// How long a group may take to be empty and removed: the kernel may need a moment after the last process.
const GROUP: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

impl OciContainer {
    /// Ends a container that was never started, and removes all that one which has ended has of the node.
    pub(crate) async fn delete(&self) -> Result<(), Error> {
        match self.phase() {
            Phase::Exited { .. } => {}
            Phase::Created | Phase::StartFailed { .. } => self.finish().await?,
            _ => return Err(self.refuse("exited")),
        }
        self.clean_up().await
    }

    /// Kills all of it now and waits for the end.
    pub(crate) async fn finish(&self) -> Result<(), Error> {
        self.state.send_modify(|state| {
            // Long ago: the supervisor kills at once.
            state.request_stop(0, 0);
        });
        let stuck = || Error::Stuck { what: self.who_is_stuck(), seconds: GONE.as_secs() };
        timeout(GONE, self.wait()).await.map(drop).map_err(|_| stuck())
    }

    fn who_is_stuck(&self) -> String {
        format!("container {:?} ({})", self.id(), stuck(self.init.cgroup()))
    }

    /// Gives back what an ended container has of the node. Once, however often it is asked for; a call of the runtime
    /// that does it and hangs is ended by the second who asks.
    pub(crate) async fn clean_up(&self) -> Result<(), Error> {
        self.interrupt();
        let mut state = self.state.subscribe();
        loop {
            let mut claimed = None;
            self.state.send_if_modified(|state| {
                claimed = state.claim_cleanup();
                false
            });
            match claimed {
                None => return Err(self.refuse("exited")),
                Some(Cleanup::Done) => return Ok(()),
                Some(Cleanup::Pending) => break,
                Some(Cleanup::Running) => {
                    let ended = |phase| !matches!(phase, Phase::Exited { cleanup: Cleanup::Running, .. });
                    // The sender is `self`'s.
                    let _ = state.wait_for(|state| ended(state.phase())).await;
                }
            }
        }
        let outcome = self.release().await;
        self.state.send_modify(|state| state.end_cleanup(outcome.is_ok()));
        outcome
    }

    async fn release(&self) -> Result<(), Error> {
        let init = &self.init;
        init.runtime.delete(init.target(&self.interrupt)).await;
        // Teardown goes on; the first error is the answer.
        let mut outcome = match init.cgroup() {
            Some(cgroup) => remove_group(cgroup).await,
            None => Ok(()),
        };
        outcome = outcome.and(unmount_all(&self.mounted).map_err(Error::from));
        match &outcome {
            Ok(()) => bundle::remove_records(&init.bundle),
            Err(error) => log::warn("a container's group stays", &[("container", &init.id), ("error", error)]),
        }
        outcome
    }
}

/// Removes what a `create` that failed may have left in that bundle: processes, the runtime's state, the group. Nothing
/// is left of it, or the files that lead to it are.
pub(crate) async fn leftovers(host: &Host, id: &str, dir: &Path) -> Result<(), Error> {
    let Some(binary) = bundle::read_runtime(dir) else { return Ok(()) };
    let path = bundle::read_cgroup(dir);
    let cgroup = path.and_then(|path| host.hierarchy.cgroup(&path).ok());
    if let Some(cgroup) = &cgroup {
        // Before the runtime looks: one of its own processes may hang in there.
        empty(cgroup).await?;
    }
    let target = Target { id, bundle: dir, interrupt: &Notify::new() };
    Runtime::new(host.launcher.clone(), binary).delete(target).await;
    if let Some(cgroup) = &cgroup {
        remove_group(cgroup).await?;
    }
    bundle::remove_records(dir);
    Ok(())
}

/// Kills what is in a group until it is empty.
async fn empty(cgroup: &Cgroup) -> Result<(), Error> {
    let start = Instant::now();
    while !cgroup.is_empty()? {
        if start.elapsed() > GROUP {
            let what = format!("cgroup {} ({})", cgroup.path(), stuck(Some(cgroup)));
            return Err(Error::Stuck { what, seconds: GROUP.as_secs() });
        }
        cgroup.kill()?;
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Some of those who are left, for messages.
fn stuck(cgroup: Option<&Cgroup>) -> String {
    let pids = cgroup.and_then(|cgroup| cgroup.pids().ok()).unwrap_or_default();
    pids.into_iter().take(3).map(proc::wait_channel).collect::<Vec<_>>().join(", ")
}

async fn remove_group(cgroup: &Cgroup) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        match cgroup.remove() {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > GROUP => {
                empty(cgroup).await?;
                return Err(error.into());
            }
            Err(_) => {}
        }
        // A command may have been started in it when the container had ended already.
        empty(cgroup).await?;
        sleep(PAUSE).await;
    }
}
