//! What became of a container while no daemon was there.

use std::time::{Duration, Instant};

use peapod_shim_protocol::exit::Exit;

use peapod_sys::fail_point;

use super::{ContainerOperations, exit_file, kept};
use crate::bounds::UNFINISHED_START;
use crate::checkpoint::RESTORE;
use crate::dir;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::shim::{Shim, ShimError, TaskState};

/// How long a start that is under way in the shim may take to come to an end.
const SETTLED: Duration = Duration::from_secs(60);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(10);
const SIGKILL: u32 = 9;

/// A container as its shim shows it to the next daemon.
#[derive(Debug)]
pub(crate) enum RecoveredState {
    /// Its process runs.
    Running { pid: u32 },
    /// It ended; how, if its shim wrote that down.
    Ended(Option<Exit>),
    /// Its start never came to a process, and nothing of it is left.
    NotStarted,
}

/// What is recorded of a container that may have a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Running,
    /// Its start was not over when the daemon died.
    Starting,
}

impl ContainerOperations {
    /// Asks the shim. A container that was starting has either a process by now, or its start is taken back.
    pub(crate) async fn recovered_state(
        &self,
        shim: &Shim,
        pod: &PodId,
        id: &ContainerId,
        expected: Expected,
    ) -> Result<RecoveredState, Error> {
        let (starting, began) = (expected == Expected::Starting, Instant::now());
        let step = || format!("see what became of container {}", id.short());
        let settled = async {
            loop {
                let refused = match shim.state(id.as_str()).await {
                    Ok(TaskState::Running { pid }) => return Ok(RecoveredState::Running { pid }),
                    Ok(TaskState::Ended) => match exit_file(&self.layout.bundle(pod, id)).await {
                        // The start that failed in the shim is being undone there.
                        None if starting => None,
                        // Never started: an earlier daemon was taking the start back when it died.
                        Some(exit) if starting && exit.started_at == 0 => match shim.delete_task(id.as_str()).await {
                            Ok(()) => return self.take_back(pod, id).await,
                            Err(error) => Some(error),
                        },
                        exit => return Ok(RecoveredState::Ended(exit)),
                    },
                    Err(ShimError::NotFound(_)) if starting => return self.take_back(pod, id).await,
                    Err(ShimError::NotFound(_)) => {
                        return Ok(RecoveredState::Ended(exit_file(&self.layout.bundle(pod, id)).await));
                    }
                    Ok(TaskState::Created) => match shim.delete_task(id.as_str()).await {
                        Ok(()) => {
                            fail_point("start-given-up");
                            return self.take_back(pod, id).await;
                        }
                        // It is being started this moment.
                        Err(error) => Some(error),
                    },
                    // It is being created this moment.
                    Err(error) => Some(error),
                };
                if let Some(error) = refused
                    && !matches!(error, ShimError::Refused(_) | ShimError::State(_))
                {
                    return Err(error.into_error(step()));
                }
                if starting && began.elapsed() > UNFINISHED_START {
                    // Its runtime hangs. The shim ends that, and answers this call at the next look.
                    if let Err(error) = shim.stop(id.as_str(), SIGKILL, 0).await {
                        tracing::debug!(container = id.short(), %error, "an unfinished start can't be ended");
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let late = || Error::Failed { step: step(), reason: format!("not over after {} s", SETTLED.as_secs()) };
        tokio::time::timeout(SETTLED, settled).await.unwrap_or_else(|_| Err(late()))
    }

    /// The next start finds everything as the first one did: an overlay refuses an upper layer that was in use. What
    /// the container was created with stays.
    async fn take_back(&self, pod: &PodId, id: &ContainerId) -> Result<RecoveredState, Error> {
        let bundle = self.layout.bundle(pod, id);
        let step = || format!("clear {}", self.layout.bundle(pod, id).display());
        let cleared = tokio::task::spawn_blocking(move || kept::clear(&bundle)).await;
        cleared.map_err(|panic| Error::failed(step(), &panic))?.map_err(|error| Error::failed(step(), &error))?;
        let writable = self.layout.writable(id);
        if writable.join(RESTORE).exists() {
            // What it is made of is still needed; all else is made of that anew.
            for folder in ["upper", "work"] {
                dir::remove(&self.trash, writable.join(folder)).await?;
            }
            return Ok(RecoveredState::NotStarted);
        }
        dir::remove(&self.trash, writable).await?;
        Ok(RecoveredState::NotStarted)
    }
}
