//! The thread whose children the shims are, and what else outlives the daemon.
//!
//! All shims live in one cgroup, and moving a process there afterwards costs an RCU grace period (9 ms). So they are
//! born there: one thread of the daemon starts them all, and sits in that group itself or starts each into it, as the
//! node has it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use peapod_cgroup::{Cgroup, SpawnTarget};
use peapod_shim_protocol::sealed;
use peapod_sys::{Program, SpawnedChild};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use tokio::sync::{mpsc, oneshot};

use super::sealed::Views;

/// A shim to be started.
#[derive(Debug)]
pub(super) struct ShimStart {
    pub(super) pod: String,
    pub(super) bundle: PathBuf,
    /// The OCI runtime of the pod's containers.
    pub(super) runtime: PathBuf,
    /// The listening socket that the shim inherits. Closed here once the shim has it.
    pub(super) socket: OwnedFd,
    /// Gets the PID of the shim, or why there is none.
    pub(super) answer: oneshot::Sender<io::Result<u32>>,
}

/// Another program that is to live beside the shims.
#[derive(Debug)]
pub(super) struct ProgramStart {
    pub(super) program: Program,
    /// Its standard input. Closed here once the program has it.
    pub(super) stdin: OwnedFd,
    /// Gets the PID, or why there is none.
    pub(super) answer: oneshot::Sender<io::Result<u32>>,
}

/// What the thread starts.
#[derive(Debug)]
pub(super) enum SpawnJob {
    Shim(ShimStart),
    Program(ProgramStart),
}

/// State of the thread that starts shims.
struct Spawner {
    binary: PathBuf,
    spawn_target: SpawnTarget,
    views: Views,
}

/// Starts the thread, whose children are born in that group; their pidfds go to `children`. It ends when nobody can
/// send jobs any more. What is given back tells whether the group can be had.
pub(super) fn start(
    binary: PathBuf,
    group: Cgroup,
    sockets: PathBuf,
    mut jobs: mpsc::Receiver<SpawnJob>,
    children: mpsc::Sender<OwnedFd>,
) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let (ready, entered) = oneshot::channel();
    std::thread::Builder::new().name("shim-spawner".to_owned()).spawn(move || {
        let spawn_target = match group.spawn_target() {
            Ok(spawn_target) => spawn_target,
            Err(error) => {
                // Who does not wait for it any more does not want it either.
                let _ = ready.send(Err(error.into()));
                return;
            }
        };
        if ready.send(Ok(())).is_err() {
            return;
        }
        let mut spawner = Spawner { binary, spawn_target, views: Views::new(sockets) };
        while let Some(job) = jobs.blocking_recv() {
            let (started, answer) = match job {
                SpawnJob::Shim(job) => {
                    let started = spawner.spawn_shim(&job);
                    // Now the shim alone has it: when that ends, nobody waits on it.
                    drop(job.socket);
                    (started, job.answer)
                }
                SpawnJob::Program(job) => (spawner.spawn(&job.program, job.stdin.as_fd()), job.answer),
            };
            let (born, outcome) = match started {
                Ok(SpawnedChild { pid, pidfd, .. }) => (Some(pidfd), Ok(pid)),
                Err(error) => (None, Err(error)),
            };
            let heard = answer.send(outcome).is_ok();
            if let Some(pidfd) = born {
                if !heard {
                    // Nobody waits any more, so nobody would ever end it. One that has ended is fine.
                    let _ = peapod_sys::send_signal(&pidfd, Signal::KILL.as_raw());
                }
                // An end that nobody waits for would stay in the process table. The receiver outlives this.
                let _ = children.blocking_send(pidfd);
            }
        }
    })?;
    Ok(entered)
}

impl Spawner {
    fn spawn_shim(&mut self, job: &ShimStart) -> io::Result<SpawnedChild> {
        let arguments =
            [self.binary.as_os_str(), "-namespace".as_ref(), "peapod".as_ref(), "-id".as_ref(), job.pod.as_ref()];
        let arguments = arguments.into_iter().chain([OsStr::new("-bundle"), job.bundle.as_os_str()]);
        let env = [
            ("PATH", std::env::var_os("PATH")),
            (sealed::RUNTIME_ENV, self.views.find(&job.runtime)),
            (sealed::NULL_ENV, self.views.null()),
        ];
        let env = env.iter().filter_map(|(name, value)| Some((OsStr::new(*name), value.as_deref()?)));
        self.spawn(&Program::new(&self.binary, arguments, env, &job.bundle)?, job.socket.as_fd())
    }

    fn spawn(&mut self, program: &Program, stdin: BorrowedFd<'_>) -> io::Result<SpawnedChild> {
        let born = program.spawn(stdin, self.spawn_target.dir()?)?;
        if !born.in_cgroup
            && let Err(error) = self.spawn_target.attach(born.pid)
        {
            // No record leads to it, so it goes at once. Both fail only for one that is gone.
            let _ = peapod_sys::send_signal(&born, Signal::KILL.as_raw());
            let _ = waitid(WaitId::PidFd(born.as_fd()), WaitIdOptions::EXITED);
            return Err(error.into());
        }
        Ok(born)
    }
}
