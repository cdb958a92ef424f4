//! Delete: the runtime's state, the group, the root file system.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peapod_cgroup::Cgroup;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::{Container, Phase, process, record};
use crate::bounds::RUNTIME_DELETE;
use crate::core::Core;
use crate::error::Error;
use crate::log;
use crate::mount::unmount;
use crate::runtime::{Call, Runtime, RuntimeError};

/// For the end of a container that was told to end at once.
const GONE: Duration = Duration::from_secs(30);
/// For a group to be empty and removed: the kernel may need a moment after the last process.
const GROUP: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

impl Container {
    /// Removes a container that has ended or was never started.
    pub(crate) async fn delete(&self, core: &Arc<Core>) -> Result<(), Error> {
        match self.phase() {
            Phase::Exited => {}
            Phase::Created | Phase::StartFailed => self.finish().await?,
            phase => {
                let (is, wanted) = (phase.word(), "exited");
                return Err(Error::State { kind: "container", id: self.id.clone(), is, wanted });
            }
        }
        self.release(core).await?;
        core.forget(&self.id);
        Ok(())
    }

    /// Kills all of it now and waits for the end.
    pub(crate) async fn finish(&self) -> Result<(), Error> {
        self.stop.send_modify(|stop| stop.deadline = Some(0));
        let stuck = || Error::Stuck { what: self.who_is_stuck(), seconds: GONE.as_secs() };
        timeout(GONE, self.wait()).await.map(drop).map_err(|_| stuck())
    }

    fn who_is_stuck(&self) -> String {
        let pids = self.cgroup.as_ref().and_then(|cgroup| cgroup.pids().ok()).unwrap_or_default();
        let stuck: Vec<String> = pids.into_iter().take(3).map(process::wait_channel).collect();
        format!("container {:?} ({})", self.id, stuck.join(", "))
    }

    /// Gives back all that it has of the node. Once, however often it is asked for; a call of the runtime that does it and hangs is
    /// ended by the second who asks.
    pub(crate) async fn release(&self, core: &Arc<Core>) -> Result<(), Error> {
        self.interrupt();
        self.released.get_or_try_init(|| self.do_release(core)).await.copied()
    }

    async fn do_release(&self, core: &Arc<Core>) -> Result<(), Error> {
        forget_in_runtime(core, &self.runtime, &self.id, &self.bundle, &self.calls).await;
        // Teardown goes on; the first error is the answer.
        let mut outcome = match &self.cgroup {
            Some(cgroup) => remove_group(cgroup).await,
            None => Ok(()),
        };
        if self.mounted {
            outcome = outcome.and(unmount(&self.rootfs()).map_err(Error::from));
        }
        match &outcome {
            Ok(()) => record::forget(&self.bundle),
            Err(error) => log::warn("a container's group stays", &[("container", &self.id), ("error", error)]),
        }
        outcome
    }
}

/// Removes what a `create` that failed may have left in that bundle: processes, the runtime's state, the group. Nothing is left of it, or the
/// files that lead to it are.
pub(crate) async fn leftovers(core: &Arc<Core>, id: &str, bundle: &Path) -> Result<(), Error> {
    let Some(runtime) = record::read_runtime(bundle) else { return Ok(()) };
    let path = record::read_cgroup(bundle).or_else(|| record::wanted_cgroup(bundle));
    let cgroup = path.and_then(|path| core.hierarchy.cgroup(&path).ok());
    if let Some(cgroup) = &cgroup {
        // Before the runtime looks: one of its own processes may hang in there.
        empty(cgroup).await?;
    }
    forget_in_runtime(core, &runtime, id, bundle, &Notify::new()).await;
    if let Some(cgroup) = &cgroup {
        remove_group(cgroup).await?;
    }
    record::forget(bundle);
    Ok(())
}

/// Has the runtime forget a container of which nothing runs. What it still knows is but a directory of its own, and it has said in the log
/// what is wrong with it: if it does not remove that, we do.
async fn forget_in_runtime(core: &Core, runtime: &Runtime, id: &str, bundle: &Path, calls: &Notify) {
    // Nothing runs, so no force is needed, which costs: runc sends KILL then and looks again after 100 ms.
    let gentle = [OsStr::new(id)];
    let forced = [OsStr::new("--force"), id.as_ref()];
    for args in [&gentle[..], &forced[..]] {
        let mut call = Call::new("delete", bundle.join("delete.log"), args).until(calls);
        call.limit = RUNTIME_DELETE;
        match core.run(runtime, call).await {
            Ok(()) => return,
            Err(Error::Runtime(RuntimeError::Failed { .. })) => {}
            // One that hangs once hangs twice.
            Err(_) => break,
        }
    }
    runtime.remove_state(id);
}

/// Kills what is in a group until it is empty.
async fn empty(cgroup: &Cgroup) -> Result<(), Error> {
    let start = Instant::now();
    while !cgroup.is_empty()? {
        if start.elapsed() > GROUP {
            let stuck: Vec<String> = cgroup.pids()?.into_iter().take(3).map(process::wait_channel).collect();
            let what = format!("cgroup {} ({})", cgroup.path(), stuck.join(", "));
            return Err(Error::Stuck { what, seconds: GROUP.as_secs() });
        }
        cgroup.kill()?;
        sleep(PAUSE).await;
    }
    Ok(())
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
        // A command may have been born in it when the container had ended already.
        empty(cgroup).await?;
        sleep(PAUSE).await;
    }
}
