//! Starting shims.
//!
//! All shims live in one cgroup. On cgroup v1 a process can't be born into another cgroup, and moving it afterwards costs
//! an RCU grace period (9 ms); so one thread of the daemon sits in the shims' cgroup and starts them all: they inherit it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use peapod_sys::fail_point;
use tokio::sync::{mpsc, oneshot};

use super::Shim;

/// How many starts may wait for the thread.
const QUEUE: usize = 256;

/// Starts shims. Clones share the thread; it ends with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    jobs: mpsc::Sender<Job>,
    binary: PathBuf,
}

/// A shim that was just started.
#[derive(Debug)]
pub(crate) struct Launched {
    /// The connection.
    pub(crate) shim: Shim,
    /// Its PID.
    pub(crate) pid: u32,
}

struct Job {
    command: Command,
    answer: oneshot::Sender<io::Result<tokio::process::Child>>,
}

impl Launcher {
    /// Starts the thread and puts it into the cgroup that all shims inherit, through `enter`, which is called on it.
    pub(crate) async fn new(
        binary: PathBuf,
        enter: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, mut inbox) = mpsc::channel::<Job>(QUEUE);
        let (ready, entered) = oneshot::channel();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("shim-spawner".to_owned()).spawn(move || {
            // tokio's child handles reap what this thread starts.
            let _runtime = runtime.enter();
            let outcome = enter();
            let failed = outcome.is_err();
            if ready.send(outcome).is_err() || failed {
                return;
            }
            while let Some(Job { command, answer }) = inbox.blocking_recv() {
                // Nobody waits any more: the child, if there is one, sees its socket closed and ends.
                let _ = answer.send(tokio::process::Command::from(command).spawn());
            }
        })?;
        entered.await.map_err(|_| io::Error::other("the shim-spawner thread ended"))??;
        Ok(Self { jobs, binary })
    }

    /// Starts a pod's shim on a socket that is listening before the shim exists, so that nothing has to be awaited.
    pub(crate) async fn launch(&self, pod: &str, bundle: &Path, socket: &Path) -> io::Result<Launched> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        fail_point("shim-socket");
        let child = self.spawn(pod, bundle, OwnedFd::from(listener)).await?;
        fail_point("shim-started");
        let pid = child.id().ok_or_else(|| io::Error::other("the shim ended at once: see shim.log in its bundle"))?;
        Ok(Launched { shim: Shim::connect(socket).await?, pid })
    }

    async fn spawn(&self, pod: &str, bundle: &Path, listener: OwnedFd) -> io::Result<tokio::process::Child> {
        let mut command = Command::new(&self.binary);
        command
            .args(["-namespace", "peapod", "-id", pod, "-bundle"])
            .arg(bundle)
            .current_dir(bundle)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
            .stdin(Stdio::from(listener))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (answer, spawned) = oneshot::channel();
        let gone = || io::Error::other("the shim-spawner thread ended");
        self.jobs.send(Job { command, answer }).await.map_err(|_| gone())?;
        spawned.await.map_err(|_| gone())?
    }
}
