//! Starting shims, and noticing their ends.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use peapod_cgroup::Cgroup;
use peapod_sys::{Program, fail_point, watched};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Shim;
use super::spawner::{self, ProgramStart, ShimStart, SpawnJob};
use crate::bounds::SHIM_STARTS;
use crate::measures::PodMeasures;

/// Starts shims. Clones share the thread that does; it ends with the last one.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    jobs: mpsc::Sender<SpawnJob>,
    measures: PodMeasures,
}

/// The cgroup of shims, on its way: the kernel may take an RCU grace period (9 ms) to let a thread in.
pub(crate) struct ShimGroup(oneshot::Receiver<io::Result<()>>);

impl ShimGroup {
    /// Waits until shims can be born there.
    pub(crate) async fn entered(self) -> io::Result<()> {
        self.0.await.map_err(|_| io::Error::other("the shim-spawner thread ended"))?
    }
}

/// A shim that was just started.
#[derive(Debug)]
pub(crate) struct Launched {
    /// The connection.
    pub(crate) shim: Shim,
    /// Its PID.
    pub(crate) pid: u32,
}

impl Launcher {
    /// Of shims that live in that group. `sockets`: the directory of their sockets. Pods can be asked for at once;
    /// beside it comes what tells whether shims can live there.
    pub(crate) fn new(
        binary: PathBuf,
        group: Cgroup,
        sockets: PathBuf,
        measures: PodMeasures,
    ) -> io::Result<(Self, ShimGroup)> {
        let (jobs, inbox) = mpsc::channel(SHIM_STARTS);
        let (children, born) = mpsc::channel(SHIM_STARTS);
        let entered = spawner::start(binary, group, sockets, inbox, children)?;
        // Ends with the thread, which ends with the last launcher.
        tokio::spawn(reap(born));
        Ok((Self { jobs, measures }, ShimGroup(entered)))
    }

    /// Starts a pod's shim on a socket that is listening, and connected to, before the shim exists: so nothing has to
    /// be awaited, and once there is a shim nothing can fail any more.
    pub(crate) async fn launch(&self, pod: &str, bundle: &Path, runtime: &Path, socket: &Path) -> io::Result<Launched> {
        let began = Instant::now();
        let launched = self.try_launch(pod, bundle, runtime, socket).await;
        match &launched {
            Ok(_) => self.measures.shim_starts.observe_since(began),
            Err(_) => self.measures.shim_start_failures.increment(),
        }
        launched
    }

    async fn try_launch(&self, pod: &str, bundle: &Path, runtime: &Path, socket: &Path) -> io::Result<Launched> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        fail_point("shim-socket");
        // The first in the queue of one that listens: done at once, where a readiness would come after what else this
        // task does.
        let stream = UnixStream::connect(socket)?;
        stream.set_nonblocking(true)?;
        let shim = Shim::over(stream, socket)?;
        let (answer, started) = oneshot::channel();
        let (pod, bundle, runtime) = (pod.to_owned(), bundle.to_path_buf(), runtime.to_path_buf());
        let job = ShimStart { pod, bundle, runtime, socket: listener.into(), answer };
        let pid = self.start(SpawnJob::Shim(job), started).await?;
        fail_point("shim-started");
        Ok(Launched { shim, pid })
    }

    /// Starts another program that is to live where shims live; answers its PID.
    pub(crate) async fn launch_program(&self, program: Program, stdin: OwnedFd) -> io::Result<u32> {
        let (answer, started) = oneshot::channel();
        self.start(SpawnJob::Program(ProgramStart { program, stdin, answer }), started).await
    }

    async fn start(&self, job: SpawnJob, started: oneshot::Receiver<io::Result<u32>>) -> io::Result<u32> {
        let gone = || io::Error::other("the shim-spawner thread ended");
        self.jobs.send(job).await.map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}

/// Waits for the ends of shims: as many at a time as there are pods.
async fn reap(mut born: mpsc::Receiver<OwnedFd>) {
    let mut children = JoinSet::new();
    loop {
        tokio::select! {
            child = born.recv() => match child {
                Some(child) => drop(children.spawn(see_end(child))),
                None => return,
            },
            Some(_) = children.join_next() => {}
        }
    }
}

async fn see_end(child: OwnedFd) {
    let child = match watched(child) {
        Ok(child) => child,
        Err(error) => return tracing::warn!(%error, "a shim's end won't be noticed by the daemon's process table"),
    };
    // An error means that the daemon ends: its children are somebody else's then.
    let Ok(_ended) = child.readable().await else { return };
    let end = waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    if let Err(error) = end {
        tracing::debug!(%error, "a shim's end was seen by somebody else");
    }
}
