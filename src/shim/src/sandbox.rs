//! The pod itself: namespaces held by descriptors, mounts, pod init.

pub(crate) mod create;
mod namespaces;
pub(crate) mod pod_init;
mod sysctl;

pub(crate) use namespaces::{MapOwnersError, try_to_map_owners};

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use peapod_shim_protocol::extension::event::Kind;
use peapod_shim_protocol::extension::{InitExited, Namespaces};
use peapod_sys::sync::lock;
use tokio::sync::{OnceCell, oneshot, watch};
use tokio::time::timeout;

use self::namespaces::MadeNamespaces;
use self::pod_init::PodInit;
use crate::error::Error;
use crate::events::Events;
use crate::init::User;
use crate::mount::unmount;
use crate::reaper::{ExitStatus, Reaper};
use crate::tasks;
use crate::users::{PodUsers, PodUsersCell};
use crate::{clock, log};

/// How long pod init may take after TERM, and after KILL.
const INIT: Duration = Duration::from_secs(2);

/// The pod's own things.
#[derive(Debug)]
pub(crate) struct PodSandbox {
    pub(crate) id: String,
    /// The pod's folder.
    bundle: PathBuf,
    reaper: Reaper,
    events: Arc<Events>,
    state: Mutex<SandboxState>,
    init: OnceCell<Arc<PodInit>>,
    /// Of its own; all its namespaces belong to theirs.
    users: PodUsersCell,
    stop: watch::Sender<SandboxStop>,
}

/// What there is of it.
#[derive(Debug, Default)]
enum SandboxState {
    #[default]
    Absent,
    /// Namespaces of users of its own are there, and are still to be set up.
    Prepared(MadeNamespaces),
    /// CreateSandbox is at it.
    Creating,
    Created(CreatedSandbox),
}

#[derive(Debug)]
struct CreatedSandbox {
    /// Nanoseconds since the epoch.
    at: i64,
    netns: String,
    ipc: Option<OwnedFd>,
    uts: Option<OwnedFd>,
    mounts: Vec<PathBuf>,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SandboxStop {
    #[default]
    No,
    /// No new containers.
    Stopping,
    /// Nothing runs and nothing is mounted, since then.
    Stopped { at: i64 },
}

impl PodSandbox {
    pub(crate) fn new(id: String, bundle: PathBuf, reaper: Reaper, events: Arc<Events>, users: PodUsersCell) -> Self {
        let (state, init, stop) = Default::default();
        Self { id, bundle, reaper, events, state, init, users, stop }
    }

    /// Paths of the pod's namespaces, which stay valid while the shim lives.
    pub(crate) fn namespaces(&self) -> Namespaces {
        let path = |fd: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
        let pid = self.init.get().map(|init| path(&init.namespace)).unwrap_or_default();
        let user = self.users.get().map(PodUsers::path).unwrap_or_default();
        let mut namespaces = Namespaces { pid, user, ..Namespaces::default() };
        match &*self.lock() {
            SandboxState::Created(made) => {
                namespaces.network.clone_from(&made.netns);
                namespaces.ipc = made.ipc.as_ref().map(path).unwrap_or_default();
                namespaces.uts = made.uts.as_ref().map(path).unwrap_or_default();
            }
            SandboxState::Prepared(made) => namespaces.network = made.network.as_ref().map(path).unwrap_or_default(),
            SandboxState::Absent | SandboxState::Creating => {}
        }
        namespaces
    }

    /// Path of the network namespace; `None` for the node's.
    pub(crate) fn network(&self) -> Result<Option<PathBuf>, Error> {
        match &*self.lock() {
            SandboxState::Created(made) if self.stop_state() == SandboxStop::No => {
                Ok(Some(PathBuf::from(&made.netns)).filter(|path| !path.as_os_str().is_empty()))
            }
            _ => Err(Error::State { kind: "pod", id: self.id.clone(), is: "not ready", wanted: "ready" }),
        }
    }

    /// Nanoseconds since the epoch; 0: not yet.
    pub(crate) fn created_at(&self) -> i64 {
        match &*self.lock() {
            SandboxState::Created(made) => made.at,
            SandboxState::Absent | SandboxState::Prepared(_) | SandboxState::Creating => 0,
        }
    }

    /// 0: there is none.
    pub(crate) fn init_pid(&self) -> u32 {
        self.init.get().map_or(0, |init| init.pid)
    }

    /// Starts pod init unless it was started; many may ask at once.
    pub(crate) async fn ensure_init(self: &Arc<Self>, user: User) -> Result<(), Error> {
        if self.stop_state() != SandboxStop::No {
            return Err(Error::Ending);
        }
        let start = || async {
            let (init, ended) = pod_init::start(&self.bundle, &self.reaper, &user, self.users.get()).await?;
            tasks::spawn(self.clone().see_end_of_init(init.clone(), ended));
            Ok::<_, Error>(init)
        };
        let init = self.init.get_or_try_init(start).await?;
        if init.has_ended() {
            let id = self.id.clone();
            return Err(Error::State { kind: "init of pod", id, is: "ended", wanted: "running" });
        }
        Ok(())
    }

    async fn see_end_of_init(self: Arc<Self>, init: Arc<PodInit>, ended: oneshot::Receiver<ExitStatus>) {
        let code = ended.await.map_or(255, |ended| ended.code);
        pod_init::remove_pid_file(&self.bundle);
        if self.stop_state() == SandboxStop::No {
            log::warn("pod init has ended", &[("code", &code)]);
        }
        self.events.push("", Kind::InitExited(InitExited { code, ..InitExited::default() }));
        init.ended();
    }

    pub(crate) fn stop_state(&self) -> SandboxStop {
        *self.stop.borrow()
    }

    /// It is to end.
    pub(crate) fn begin_stop(&self) {
        self.stop.send_if_modified(|stop| {
            let first = *stop == SandboxStop::No;
            if first {
                *stop = SandboxStop::Stopping;
            }
            first
        });
    }

    /// Nothing of it runs any more: gives the rest back.
    pub(crate) fn end_stop(&self) {
        if let SandboxState::Created(made) = &mut *self.lock() {
            (made.ipc, made.uts, made.mounts) = (None, None, Vec::new());
        }
        self.stop.send_if_modified(|stop| {
            let first = *stop == SandboxStop::Stopping;
            if first {
                *stop = SandboxStop::Stopped { at: clock::now_ns() };
            }
            first
        });
    }

    /// Waits until it is stopped; answers when that was.
    pub(crate) async fn wait_stopped(&self) -> i64 {
        let mut stop = self.stop.subscribe();
        // The sender is `self`'s.
        match stop.wait_for(|stop| matches!(stop, SandboxStop::Stopped { .. })).await.as_deref() {
            Ok(SandboxStop::Stopped { at }) => *at,
            _ => 0,
        }
    }

    /// Ends pod init, if there is one.
    pub(crate) async fn end_init(&self) -> Result<(), Error> {
        let Some(init) = self.init.get() else { return Ok(()) };
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            init.signal(signal);
            if timeout(INIT, init.wait()).await.is_ok() {
                return Ok(());
            }
        }
        Err(Error::Stuck { what: "pod init".to_owned(), seconds: 2 * INIT.as_secs() })
    }

    /// Unmounts what was mounted for it, the last first. Goes on over errors; the first is the answer.
    pub(crate) fn unmount(&self) -> Result<(), Error> {
        let mounts = match &*self.lock() {
            SandboxState::Created(made) => made.mounts.clone(),
            SandboxState::Absent | SandboxState::Prepared(_) | SandboxState::Creating => Vec::new(),
        };
        let unmounted = mounts.iter().rev().map(|target| unmount(target).map_err(Error::from));
        unmounted.fold(Ok(()), Result::and)
    }

    fn lock(&self) -> MutexGuard<'_, SandboxState> {
        lock(&self.state)
    }
}
