//! Delete: the runtime's state, the group, the root file system.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Container, Phase, record};
use crate::core::Core;
use crate::error::Error;
use crate::log;
use crate::mount::unmount;
use crate::runtime::Call;

/// For the end of a container that was told to end at once.
const GONE: Duration = Duration::from_secs(30);
/// How often a group is removed before it is called stuck; the kernel may need a moment after the last process.
const TRIES: u32 = 200;
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
        let stuck = || Error::Stuck { what: format!("container {:?}", self.id), seconds: GONE.as_secs() };
        timeout(GONE, self.wait()).await.map(drop).map_err(|_| stuck())
    }

    /// Gives back all that it has of the node. Once, however often it is asked for.
    pub(crate) async fn release(&self, core: &Arc<Core>) -> Result<(), Error> {
        self.released.get_or_try_init(|| self.do_release(core)).await.copied()
    }

    async fn do_release(&self, core: &Arc<Core>) -> Result<(), Error> {
        // Nothing of it runs any more, so no force is needed, which costs: runc sends KILL then and looks again after 100 ms.
        let call = Call::new("delete", self.bundle.join("delete.log"), &[self.id.as_ref()]);
        if core.run(&self.runtime, call).await.is_ok() {
            return self.give_back().await;
        }
        let args = [OsStr::new("--force"), self.id.as_ref()];
        let call = Call::new("delete", self.bundle.join("delete.log"), &args);
        // What the runtime still knows is but a directory of its own, and it has said in the log what is wrong with it. What counts is that
        // nothing runs and nothing is mounted.
        let _ = core.run(&self.runtime, call).await;
        self.give_back().await
    }

    /// Group and root file system.
    async fn give_back(&self) -> Result<(), Error> {
        // Teardown goes on; the first error is the answer.
        let mut outcome = self.remove_group().await;
        if self.mounted {
            outcome = outcome.and(unmount(&self.rootfs()).map_err(Error::from));
        }
        if outcome.is_ok() {
            record::forget(&self.bundle);
        }
        outcome
    }

    async fn remove_group(&self) -> Result<(), Error> {
        let Some(cgroup) = &self.cgroup else { return Ok(()) };
        let mut outcome = cgroup.remove();
        for _ in 0..TRIES {
            if outcome.is_ok() {
                break;
            }
            sleep(PAUSE).await;
            outcome = cgroup.remove();
        }
        if let Err(error) = &outcome {
            log::warn("a container's group stays", &[("container", &self.id), ("error", error)]);
        }
        Ok(outcome?)
    }
}
