//! A container: its process, its streams, its end.
//!
//! `create` makes one; [`supervise`] is its task, which sees the end, carries out the stop deadline, and tells; `delete` removes what is left.

mod control;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod exec;
mod oom;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod signal;
pub(crate) mod start;
pub(crate) mod supervise;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peapod_cgroup::Cgroup;
use peapod_shim_protocol::exit::Exit;
use tokio::sync::{Notify, OnceCell, watch};

use crate::runtime::Runtime;
use crate::stdio::Uris;
use crate::stdio::copy::SharedLog;
use exec::Exec;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Created,
    /// The runtime runs `start`.
    Starting,
    Running,
    Paused,
    /// `start` failed: its end is nobody's news.
    StartFailed,
    Exited,
}

impl Phase {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::StartFailed => "failing",
            Self::Exited => "exited",
        }
    }
}

/// A container that the OCI runtime has created.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) runtime: Runtime,
    pub(crate) uris: Uris,
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
    /// None: the runtime left it in the root, where nothing is killed as a whole.
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) log: Option<SharedLog>,
    pub(crate) terminal: Option<OwnedFd>,
    /// Whether a rootfs was mounted for it.
    pub(crate) mounted: bool,
    stdin: Mutex<Option<OwnedFd>>,
    phase: watch::Sender<Phase>,
    /// Nanoseconds since the epoch; 0: never.
    started_at: Mutex<i64>,
    stop: watch::Sender<signal::Stop>,
    exit: watch::Sender<Option<Exit>>,
    execs: Mutex<HashMap<String, Arc<Exec>>>,
    /// Ends calls of the runtime that are going on.
    calls: Arc<Notify>,
    released: OnceCell<()>,
}

impl Container {
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    pub(crate) fn started_at(&self) -> i64 {
        *lock(&self.started_at)
    }

    /// Waits for the end; `None` when it was never started successfully.
    pub(crate) async fn wait(&self) -> Option<Exit> {
        let mut exit = self.exit.subscribe();
        // The sender is `self`'s.
        exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit)
    }

    /// It is to end: so are calls of the runtime for it and its commands.
    pub(crate) fn interrupt(&self) {
        self.calls.notify_waiters();
        lock(&self.execs).values().for_each(|exec| exec.interrupt());
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        rootfs(&self.bundle)
    }
}

/// Where a container's root file system is mounted.
pub(crate) fn rootfs(bundle: &Path) -> PathBuf {
    bundle.join("rootfs")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
