//! Checkpoints: the processes of a running container, written into files by the OCI runtime. One at a time.
//!
//! The container is paused before, and stays so afterwards, so that the master can copy what it has written into its
//! files as of the same moment. Nobody is frozen for ever: after a failure it runs on at once, and without its master
//! after a while.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};
use tokio::time::sleep;

use super::OciContainer;
use super::state::Phase;
use crate::bounds::{BEGINNING, CHECKPOINT};
use crate::error::Error;
use crate::{log, tasks};

/// A container's checkpoints, and whether it was made of one.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    busy: Mutex<()>,
    /// Read by each command that is being begun, which the OCI runtime refuses in a paused container.
    beginning: RwLock<()>,
    restored: bool,
}

impl Checkpoints {
    pub(super) fn of(restored: bool) -> Self {
        Self { restored, ..Self::default() }
    }

    /// It was made of a checkpoint: its process has run since.
    pub(super) fn is_restored(&self) -> bool {
        self.restored
    }

    /// Waits until none goes on.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.busy.lock().await
    }
}

/// Pauses a container and has the OCI runtime write its processes into the folder `images`. It is then paused for no
/// longer than `limit`, or until it is resumed; after an error it is as before.
pub(crate) async fn checkpoint(
    container: Arc<OciContainer>,
    images: &Path,
    work: &Path,
    limit: Duration,
) -> Result<(), Error> {
    if !images.is_absolute() || !work.is_absolute() {
        return Err(Error::Invalid { field: "path", why: "and work have to be absolute".to_owned() });
    }
    let limit = within(limit);
    let Ok(turn) = container.checkpoints.busy.try_lock() else {
        return Err(Error::Checkpointing { id: container.id().to_owned() });
    };
    // Who has paused it before lets it go on, too.
    let was_paused = matches!(container.phase(), Phase::Paused { .. });
    if !was_paused {
        freeze(&container).await?;
    }
    let written = match container.target() {
        Ok(target) => container.init.runtime.checkpoint(target, images, work, limit).await.map_err(Error::from),
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        if !was_paused && let Err(stuck) = go_on(&container).await {
            log::warn("a container that could not be written stays paused", &[("error", &stuck)]);
        }
        // What failed for its end is no fault of the runtime's.
        container.target()?;
        return Err(error);
    }
    drop(turn);
    tasks::spawn(let_go_after(container, limit));
    Ok(())
}

/// Pauses a container that waits for others to be written. It is paused for no longer than `limit`, or until it is
/// resumed.
pub(crate) async fn pause_for(container: Arc<OciContainer>, limit: Duration) -> Result<(), Error> {
    container.pause().await?;
    tasks::spawn(let_go_after(container, within(limit)));
    Ok(())
}

fn within(limit: Duration) -> Duration {
    limit.clamp(Duration::from_secs(1), CHECKPOINT)
}

/// Pauses a container whose turn the caller has. A command that hangs while it is being begun makes nobody wait for
/// long: neither who pauses it, and others with it, nor the commands behind that. After an error it is as before, as
/// far as the runtime can do that.
pub(super) async fn freeze(container: &OciContainer) -> Result<(), Error> {
    let none_begins = tokio::time::timeout(BEGINNING, container.checkpoints.beginning.write());
    let _none_begins = none_begins.await.map_err(|_| Error::Beginning { id: container.id().to_owned() })?;
    let step = container.state.borrow().pausing();
    let (from, to) = step.map_err(|_| container.refuse("running"))?;
    if let Err(error) = container.init.runtime.pause(container.target()?).await {
        // One that was killed at it may have come half way; one that has ended needs nothing.
        if let Ok(target) = container.target() {
            let _ = container.init.runtime.resume(target).await;
        }
        return Err(error.into());
    }
    container.step(from, to);
    Ok(())
}

/// Lets a paused container go on.
pub(super) async fn go_on(container: &OciContainer) -> Result<(), Error> {
    let step = container.state.borrow().resuming();
    let (from, to) = step.map_err(|_| container.refuse("paused"))?;
    container.init.runtime.resume(container.target()?).await?;
    container.step(from, to);
    Ok(())
}

/// Waits until a command can begin in a container: it is not paused, and will not be before what is answered is
/// dropped. Of one that ends the caller hears by itself.
pub(crate) async fn may_begin(container: &OciContainer) -> RwLockReadGuard<'_, ()> {
    loop {
        until_resumed(container).await;
        let beginning = container.checkpoints.beginning.read().await;
        if !matches!(container.phase(), Phase::Paused { .. }) || container.state.borrow().is_ending() {
            return beginning;
        }
    }
}

/// Waits until a container is not paused any more, or ends.
async fn until_resumed(container: &OciContainer) {
    let mut state = container.state.subscribe();
    // The sender is the container's.
    let _ = state.wait_for(|state| !matches!(state.phase(), Phase::Paused { .. }) || state.is_ending()).await;
}

/// Lets it go on unless its master has done so.
async fn let_go_after(container: Arc<OciContainer>, limit: Duration) {
    tokio::select! {
        () = until_resumed(&container) => return,
        () = sleep(limit) => {}
    }
    if container.resume().await.is_ok() {
        let id = container.id();
        log::warn("a container was paused by a checkpoint and runs on without its master", &[("id", &id)]);
    }
}
