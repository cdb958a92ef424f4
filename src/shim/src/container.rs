//! A container: its process, its streams, its end.
//!
//! `create` makes one; [`supervise`] is its task, which sees the end, carries out the stop deadline, and tells;
//! `delete` removes what is left.

pub(crate) mod attach_point;
pub(crate) mod checkpoint;
mod control;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod exec;
pub(crate) mod guest;
pub(crate) mod host;
mod init_process;
mod lost;
pub(crate) mod mounts;
mod oom;
mod start;
pub(crate) mod state;
pub(crate) mod supervise;
mod updates;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use peapod_shim_protocol::exit::Exit;
use tokio::sync::{Notify, watch};

use self::checkpoint::Checkpoints;
use self::exec::Execs;
use self::init_process::InitProcess;
use self::state::{OciContainerState, Phase};
use self::updates::Updates;
use crate::error::Error;
use crate::runtime::Target;
use crate::stdio::{ContainerOutput, Uris};

/// A container that the OCI runtime has created.
#[derive(Debug)]
pub(crate) struct OciContainer {
    pub(crate) init: InitProcess,
    pub(crate) uris: Uris,
    pub(crate) execs: Execs,
    /// Where its output goes; none when it goes nowhere, or into a FIFO.
    output: Option<ContainerOutput>,
    terminal: Option<OwnedFd>,
    /// What was mounted for it, in that order.
    mounted: Vec<PathBuf>,
    updates: Updates,
    checkpoints: Checkpoints,
    state: watch::Sender<OciContainerState>,
    /// Ends calls of the runtime that are going on.
    interrupt: Arc<Notify>,
}

impl OciContainer {
    pub(crate) fn id(&self) -> &str {
        &self.init.id
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state.borrow().phase()
    }

    /// Waits for the end.
    pub(crate) async fn wait(&self) -> Exit {
        let mut state = self.state.subscribe();
        let mut exit = None;
        // The sender is `self`'s, so this ends with an exit.
        let _ = state
            .wait_for(|state| {
                exit = state.phase().exit();
                exit.is_some()
            })
            .await;
        match exit {
            Some(exit) => exit,
            None => std::future::pending().await,
        }
    }

    /// Its first process has ended: so are calls of the runtime to end, and no more to begin.
    fn begin_end(&self) {
        self.state.send_modify(OciContainerState::begin_end);
        self.interrupt();
    }

    /// It is to end: so are calls of the runtime for it and its commands.
    pub(crate) fn interrupt(&self) {
        self.interrupt.notify_waiters();
        self.updates.interrupt.notify_waiters();
        self.execs.interrupt();
    }

    /// What a call of the runtime for it is about, as long as it lives: after the interruption that comes with its end
    /// nothing would end one that hangs.
    fn target(&self) -> Result<Target<'_>, Error> {
        if self.state.borrow().is_ending() {
            return Err(self.refuse("running"));
        }
        Ok(self.init.target(&self.interrupt))
    }

    /// Refuses what needs a running container.
    pub(crate) fn check_running(&self) -> Result<(), Error> {
        let running = matches!(self.phase(), Phase::Running { .. });
        if running { self.target().map(drop) } else { Err(self.refuse("running")) }
    }

    /// The error of a request that its state does not allow.
    fn refuse(&self, wanted: &'static str) -> Error {
        Error::State { kind: "container", id: self.id().to_owned(), is: self.state.borrow().name(), wanted }
    }
}
