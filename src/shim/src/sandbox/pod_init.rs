//! Starting pod init: PID 1 of a PID namespace that the pod's containers share.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::error::Error;
use crate::init::User;
use crate::reaper::{ExitStatus, Reaper};
use crate::stdio::copy;
use crate::users::PodUsers;
use crate::{files, init, proc, read_only};

/// How long pod init may take until it has given everything up and is in place.
const READY: Duration = Duration::from_secs(10);
/// File in the pod's bundle with its number, for those who clean up after a dead shim.
pub(crate) const PID_FILE: &str = "init.pid";

/// Pod init, running or ended.
#[derive(Debug)]
pub(crate) struct PodInit {
    pub(crate) pid: u32,
    pidfd: OwnedFd,
    pub(crate) namespace: OwnedFd,
    ended: watch::Sender<bool>,
}

impl PodInit {
    /// Tells those who wait.
    pub(super) fn ended(&self) {
        self.ended.send_replace(true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// One that has ended is fine.
    pub(crate) fn signal(&self, signal: i32) {
        let _ = peapod_sys::send_signal(&self.pidfd, signal);
    }

    pub(crate) async fn wait(&self) {
        // The sender is `self`'s.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// Starts it, as that user. Its end arrives through the receiver.
pub(super) async fn start(
    bundle: &Path,
    reaper: &Reaper,
    user: &User,
    users: Option<&PodUsers>,
) -> Result<(Arc<PodInit>, oneshot::Receiver<ExitStatus>), Error> {
    let (order, order_writer) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    let (answer, answer_writer) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    rustix::io::write(&order_writer, init::InitOrder::of(user, users.map(PodUsers::path)).as_bytes())
        .map_err(failed("tell it its user"))?;
    drop(order_writer);
    // The end of one that was born into a user namespace may come before its number is known.
    let expectation = users.map(|_| reaper.expect());
    let (pid, ended) = spawn(bundle, reaper, order, answer_writer, users.is_some())?;
    let mut heard = Vec::new();
    // The reading end goes with this: who says that it is ready from then on fails, and ends.
    let answer = timeout(READY, read_answer(answer, &mut heard)).await;
    let text = String::from_utf8_lossy(&heard);
    let born = expectation.zip(init::born(&text)).map(|(expectation, born)| (born, expectation.claim(born)));
    let failure = match answer {
        Ok(Ok(())) if init::is_ready(&text) && born.is_some() == users.is_some() => {
            let (pid, ended) = born.unwrap_or((pid, ended));
            return adopt(bundle, pid).map(|init| (Arc::new(init), ended));
        }
        Ok(Ok(())) => init::complaint(&text).unwrap_or_else(|| "it ended without a word".to_owned()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it was not ready within {} s", READY.as_secs()),
    };
    // What was born, and its maker if it is still at it.
    for (pid, ended) in born.into_iter().chain([(pid, ended)]) {
        kill(pid, ended);
    }
    Err(Error::Init(failure))
}

/// Unless it has ended: then it was reaped, and its number may be anybody's.
fn kill(pid: u32, mut ended: oneshot::Receiver<ExitStatus>) {
    if ended.try_recv() == Err(TryRecvError::Empty)
        && let Ok(pidfd) = proc::open(pid)
    {
        let _ = peapod_sys::send_signal(pidfd, libc::SIGKILL);
    }
}

fn adopt(bundle: &Path, pid: u32) -> Result<PodInit, Error> {
    let path = proc::path(pid).join("ns/pid");
    let namespace = File::open(&path).map_err(Error::io("open", &path))?.into();
    let file = bundle.join(PID_FILE);
    files::write(&file, format!("{pid}\n").as_bytes()).map_err(Error::io("write", &file))?;
    let pidfd = proc::open(pid).map_err(Error::io("open", &proc::path(pid)))?;
    Ok(PodInit { pid, pidfd, namespace, ended: watch::Sender::new(false) })
}

/// It has ended: nobody needs to look for it.
pub(super) fn remove_pid_file(bundle: &Path) {
    let _ = std::fs::remove_file(bundle.join(PID_FILE));
}

/// Children of the calling thread begin in a new PID namespace until it goes back to its own. Nothing else runs
/// meanwhile: the shim has one thread. It must be this one, as the child is to die with it. What is to belong to a user
/// namespace is made by the child itself: it enters that, and there makes the process that is to be pod init.
fn spawn(
    bundle: &Path,
    reaper: &Reaper,
    order: OwnedFd,
    answer: OwnedFd,
    with_users: bool,
) -> Result<(u32, oneshot::Receiver<ExitStatus>), Error> {
    // A process with rights over pod init could open its binary through `/proc/1/exe`.
    let exe =
        read_only::open(Path::new("/proc/self/exe")).map_err(failed("make a read-only mount of the shim's binary"))?;
    let own = File::open("/proc/self/ns/pid").map_err(failed("open our PID namespace"))?;
    let mut command = Command::new(format!("/proc/self/fd/{}", exe.as_raw_fd()));
    command.arg0(init::NAME).env_clear().current_dir(bundle);
    command.stdin(Stdio::from(order)).stdout(Stdio::from(answer)).stderr(Stdio::null());
    if with_users {
        return reaper.spawn(&mut command).map_err(failed("start it"));
    }
    unshare(CloneFlags::CLONE_NEWPID).map_err(failed("make a PID namespace"))?;
    let spawned = reaper.spawn(&mut command);
    let back = setns(own, CloneFlags::CLONE_NEWPID).map_err(failed("go back to our PID namespace"));
    let spawned = spawned.map_err(failed("start it"))?;
    back.map(|()| spawned)
}

/// Until nobody can say anything more.
async fn read_answer(answer: OwnedFd, text: &mut Vec<u8>) -> io::Result<()> {
    let answer = peapod_sys::watched(answer)?;
    let mut buffer = [0; 256];
    // Its words are few; more are not ours.
    while text.len() < 1024 {
        match copy::read_some(&answer, &mut buffer).await? {
            0 => break,
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(())
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Init(format!("can't {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn who_has_ended_is_not_killed_by_its_number() {
        for (has_ended, signal) in [(true, libc::SIGTERM), (false, libc::SIGKILL)] {
            let mut process = Command::new("sleep").arg("1000").spawn().unwrap();
            let (sender, ended) = oneshot::channel();
            let _kept = if has_ended {
                sender.send(ExitStatus { code: 0, signal: None, at: 1 }).unwrap();
                None
            } else {
                Some(sender)
            };
            kill(process.id(), ended);
            // The first one counts.
            peapod_sys::send_signal(proc::open(process.id()).unwrap(), libc::SIGTERM).unwrap();
            assert_eq!(process.wait().unwrap().signal(), Some(signal));
        }
    }
}
