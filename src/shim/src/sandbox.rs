//! The pod itself: namespaces held by descriptors, mounts, pod init.

pub(crate) mod create;
pub(crate) mod namespaces;
pub(crate) mod pod_init;
pub(crate) mod stop;
mod sysctl;

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peapod_shim_protocol::extension::Namespaces;
use tokio::sync::{OnceCell, watch};

use pod_init::PodInit;

/// The pod's own things.
#[derive(Debug, Default)]
pub(crate) struct Sandbox {
    state: Mutex<State>,
    init: OnceCell<Arc<PodInit>>,
    stop: watch::Sender<Stop>,
}

#[derive(Debug, Default)]
struct State {
    /// Nanoseconds since the epoch; 0: not yet.
    created_at: i64,
    netns: String,
    ipc: Option<OwnedFd>,
    uts: Option<OwnedFd>,
    mounts: Vec<PathBuf>,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    #[default]
    No,
    /// No new containers.
    Stopping,
    /// Nothing runs and nothing is mounted, since then.
    Stopped { at: i64 },
}

impl Sandbox {
    /// Paths of the pod's namespaces, which stay valid while the shim lives.
    pub(crate) fn namespaces(&self) -> Namespaces {
        let state = self.lock();
        let path = |fd: Option<&OwnedFd>| {
            fd.map(|fd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd())).unwrap_or_default()
        };
        Namespaces {
            network: state.netns.clone(),
            ipc: path(state.ipc.as_ref()),
            uts: path(state.uts.as_ref()),
            pid: path(self.init.get().map(|init| &init.namespace)),
            ..Namespaces::default()
        }
    }

    /// 0: not yet.
    pub(crate) fn created_at(&self) -> i64 {
        self.lock().created_at
    }

    pub(crate) fn init_pid(&self) -> u32 {
        self.init.get().map_or(0, |init| init.pid)
    }

    pub(crate) fn stop_state(&self) -> Stop {
        *self.stop.borrow()
    }

    /// Whether new containers have no place any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop_state() != Stop::No
    }

    /// Waits until it is stopped; answers when that was.
    pub(crate) async fn wait_stopped(&self) -> i64 {
        let mut stop = self.stop.subscribe();
        // The sender is `self`'s.
        match stop.wait_for(|stop| matches!(stop, Stop::Stopped { .. })).await.as_deref() {
            Ok(Stop::Stopped { at }) => *at,
            _ => 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
