//! Starting shims.
//!
//! All shims live in one cgroup, and moving a process there afterwards costs an RCU grace period (9 ms). So they are born there: one
//! thread of the daemon starts them all, and sits in that group itself or starts each into it, as the node has it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use peapod_cgroup::{Cgroup, Nursery};
use peapod_sys::{Born, Program, fail_point};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

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

#[derive(Debug)]
struct Job {
    program: Program,
    socket: OwnedFd,
    answer: oneshot::Sender<io::Result<u32>>,
}

impl Launcher {
    /// Starts the thread whose children are born in that group.
    pub(crate) async fn new(binary: PathBuf, group: Cgroup) -> io::Result<Self> {
        let (jobs, mut inbox) = mpsc::channel::<Job>(QUEUE);
        let (children, born) = mpsc::channel(QUEUE);
        let (ready, entered) = oneshot::channel();
        std::thread::Builder::new().name("shim-spawner".to_owned()).spawn(move || {
            let mut nursery = match group.nursery() {
                Ok(nursery) => nursery,
                Err(error) => {
                    // Who does not wait for it any more does not want it either.
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            if ready.send(Ok(())).is_err() {
                return;
            }
            while let Some(Job { program, socket, answer }) = inbox.blocking_recv() {
                let started = start(&mut nursery, &program, &socket).map(|Born { pid, pidfd, .. }| {
                    // An end that nobody waits for would stay in the process table. The receiver outlives this.
                    let _ = children.blocking_send(pidfd);
                    pid
                });
                // Now the shim alone has it: when that ends, nobody waits on it.
                drop(socket);
                // Nobody waits any more: the child, if there is one, sees its socket closed and ends.
                let _ = answer.send(started);
            }
        })?;
        entered.await.map_err(|_| io::Error::other("the shim-spawner thread ended"))??;
        // Ends with the thread, which ends with the last launcher.
        tokio::spawn(reap(born));
        Ok(Self { jobs, binary })
    }

    /// Starts a pod's shim on a socket that is listening before the shim exists, so that nothing has to be awaited.
    pub(crate) async fn launch(&self, pod: &str, bundle: &Path, socket: &Path) -> io::Result<Launched> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        fail_point("shim-socket");
        let pid = self.spawn(pod, bundle, OwnedFd::from(listener)).await?;
        fail_point("shim-started");
        Ok(Launched { shim: Shim::connect(socket).await?, pid })
    }

    async fn spawn(&self, pod: &str, bundle: &Path, socket: OwnedFd) -> io::Result<u32> {
        let words = [self.binary.as_os_str(), "-namespace".as_ref(), "peapod".as_ref(), "-id".as_ref(), pod.as_ref()];
        let words = words.into_iter().chain([OsStr::new("-bundle"), bundle.as_os_str()]);
        let path = std::env::var_os("PATH");
        let env = path.iter().map(|path| (OsStr::new("PATH"), path.as_os_str()));
        let program = Program::new(&self.binary, words, env, bundle)?;
        let (answer, started) = oneshot::channel();
        let gone = || io::Error::other("the shim-spawner thread ended");
        self.jobs.send(Job { program, socket, answer }).await.map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}

fn start(nursery: &mut Nursery, program: &Program, socket: &OwnedFd) -> io::Result<Born> {
    let born = program.spawn(socket.as_fd(), nursery.dir()?)?;
    if !born.placed {
        nursery.adopt(born.pid)?;
    }
    Ok(born)
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

#[allow(deprecated, reason = "its unsafe successor is for descriptors that may be closed elsewhere; these are owned")]
fn watched(child: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(child, Interest::READABLE)
}
