//! Another process in a running container.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use peapod_sys::send_signal;
use peapod_sys::sync::lock;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::timeout;

use super::init_process::{InitProcess, SIGKILL, signal_number};
use super::lost;
use crate::bundle::check_id;
use crate::error::Error;
use crate::reaper::ExitStatus;
use crate::runtime::{Child, ExecOptions, RuntimeError};
use crate::stdio::console::ConsoleSocket;
use crate::stdio::exec_streams::ExecStreams;
use crate::stdio::handed::HandedStreams;
use crate::stdio::plan::Pumps;
use crate::tasks;
use crate::users::StreamGiver;
use crate::{clock, log, proc};

/// Execs of one container that nobody has deleted.
const EXECS: usize = 1024;
/// How long something may hold a terminal open after its command has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// A container's execs by id, until they are deleted.
#[derive(Debug, Default)]
pub(crate) struct Execs(Mutex<HashMap<String, Arc<ExecProcess>>>);

/// An exec: prepared, running, or ended and not yet deleted.
#[derive(Debug)]
pub(crate) struct ExecProcess {
    pub(crate) id: String,
    /// An OCI process, as JSON.
    process: Vec<u8>,
    pub(crate) streams: ExecStreams,
    state: watch::Sender<ExecState>,
    /// Ends the runtime's call that makes it.
    interrupt: Notify,
}

/// How far it is.
#[derive(Debug)]
enum ExecState {
    Prepared,
    /// Killed before it was started: it never is.
    Cancelled,
    /// The runtime makes it. `doomed`: its whole session is to be killed, also what has yet to be made of it.
    Starting {
        doomed: bool,
    },
    Running(Process),
    /// `pid` 0: it could not be started.
    Ended {
        pid: u32,
        session: u32,
        ended: ExitStatus,
    },
}

#[derive(Debug)]
struct Process {
    pid: u32,
    /// Its session's number. Under runc that is `pid`; crun makes the session by a process of its own, which has ended.
    session: u32,
    /// None: it has ended already.
    pidfd: Option<OwnedFd>,
    /// The end that keeps its input from ending.
    stdin: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    /// Its whole session was killed.
    doomed: bool,
}

impl Execs {
    /// Takes note of an exec to be. `process` is an OCI process, as JSON.
    pub(crate) fn prepare(&self, id: &str, process: Vec<u8>, streams: ExecStreams) -> Result<Arc<ExecProcess>, Error> {
        check_id(id)?;
        let mut execs = self.lock();
        if execs.contains_key(id) {
            return Err(Error::Exists { kind: "exec", id: id.to_owned() });
        }
        if execs.len() >= EXECS {
            return Err(Error::Full { what: "execs of a container", limit: EXECS });
        }
        let (state, interrupt) = (watch::Sender::new(ExecState::Prepared), Notify::new());
        let exec = Arc::new(ExecProcess { id: id.to_owned(), process, streams, state, interrupt });
        execs.insert(id.to_owned(), exec.clone());
        Ok(exec)
    }

    pub(crate) fn get(&self, id: &str) -> Result<Arc<ExecProcess>, Error> {
        let missing = || Error::NotFound { kind: "exec", id: id.to_owned() };
        self.lock().get(id).cloned().ok_or_else(missing)
    }

    /// Forgets one that has ended, was never started, or was killed with all of its session: that goes on by itself.
    pub(crate) fn delete(&self, id: &str) -> Result<Arc<ExecProcess>, Error> {
        let exec = self.get(id)?;
        if let ExecState::Starting { doomed: false } | ExecState::Running(Process { doomed: false, .. }) =
            *exec.state.borrow()
        {
            return Err(Error::State { kind: "exec", id: id.to_owned(), is: "running", wanted: "ended" });
        }
        self.remove(id);
        Ok(exec)
    }

    /// Forgets one that could not be started.
    pub(crate) fn remove(&self, id: &str) {
        self.lock().remove(id);
    }

    /// The container is to end: so are calls of the runtime for its execs.
    pub(crate) fn interrupt(&self) {
        self.lock().values().for_each(|exec| exec.interrupt.notify_waiters());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<ExecProcess>>> {
        lock(&self.0)
    }
}

impl ExecProcess {
    /// Runs it after [`ExecProcess::begin`]; answers what a session gets of it.
    pub(crate) async fn start(
        self: &Arc<Self>,
        init: &InitProcess,
        giver: StreamGiver<'_>,
    ) -> Result<HandedStreams, Error> {
        let started = self.run(init, giver).await;
        if started.is_err() {
            // Who waits for its end hears that there is none to wait for.
            self.finish(ExitStatus { code: 255, signal: None, at: clock::now_ns() });
        }
        started
    }

    /// A signal to its first process, or to all of its session. KILL for all also ends one that the runtime is just
    /// making, and one that was never started does not start any more.
    pub(crate) fn kill(&self, init: &InitProcess, signal: u32, all: bool) -> Result<(), Error> {
        let signal = signal_number(signal)?;
        let gone = || Error::NotFound { kind: "process of exec", id: self.id.clone() };
        let is_end = all && signal == SIGKILL;
        if is_end {
            self.state.send_if_modified(ExecState::doom);
        }
        let session = match &*self.state.borrow() {
            ExecState::Starting { .. } if is_end => {
                self.interrupt.notify_waiters();
                return Ok(());
            }
            ExecState::Prepared | ExecState::Cancelled | ExecState::Starting { .. } => return Err(gone()),
            ExecState::Running(process) if init.is_guest() => process.session,
            ExecState::Running(process) => {
                if let Some(pidfd) = &process.pidfd {
                    let sent = send_signal(pidfd, signal);
                    if !all {
                        return sent.map_err(Error::io("signal", &proc::path(process.pid)));
                    }
                    // One that has just ended is fine.
                } else if !all {
                    return Err(gone());
                }
                process.session
            }
            // What its first process left behind is still its session.
            ExecState::Ended { pid: 1.., session, .. } if all && !init.is_guest() => *session,
            ExecState::Ended { .. } => return Err(gone()),
        };
        init.signal_session(session, signal)
    }

    async fn run(self: &Arc<Self>, init: &InitProcess, giver: StreamGiver<'_>) -> Result<HandedStreams, Error> {
        let mut streams = self.streams.open(giver)?;
        let socket = format!("exec-{}.sock", self.id);
        let socket = self.streams.terminal().then(|| ConsoleSocket::bind(&init.bundle, &socket)).transpose()?;
        let request = ExecOptions {
            id: &self.id,
            process: &self.process,
            console: socket.as_ref().map(ConsoleSocket::for_runtime),
            streams: streams.process,
            init: init.pid,
            place: init.place_of_execs(),
        };
        let made = init.runtime.exec(init.target(&self.interrupt), request).await;
        if let Err(RuntimeError::Answer { .. }) = &made
            && let Err(error) = lost::kill(init, &self.names(&streams.ours.handed), socket.as_ref()).await
        {
            log::warn("a command that is not known can't be killed", &[("container", &init.id), ("error", &error)]);
        }
        let child = made?;
        proc::share_oom_score(init.pid, child.pid);
        self.note_process(init, &child);
        let mut pumps = None;
        if let Some(socket) = &socket {
            let connected = match socket.receive() {
                Ok(terminal) => streams.ours.connect_terminal(&terminal).map(|pumps| (terminal, pumps)),
                Err(error) => Err(error),
            };
            // It runs, and nobody will know of it.
            let (terminal, ends) = connected.inspect_err(|_| self.kill_session(init))?;
            pumps = ends;
            self.with_process(|process| process.terminal = Some(terminal));
        }
        let stdin = streams.ours.stdin;
        self.with_process(|process| process.stdin = stdin);
        tasks::spawn(self.clone().see_end(child.ended, pumps));
        if self.is_doomed() {
            // Who killed it found no process yet.
            self.kill_session(init);
        }
        Ok(streams.ours.handed)
    }

    /// The files by which its processes are known if nobody can tell their numbers.
    fn names(&self, handed: &HandedStreams) -> Vec<PathBuf> {
        match &self.streams {
            ExecStreams::Uris(uris) => lost::fifos(uris),
            ExecStreams::Session(_) => handed.names(),
        }
    }

    /// Waits for the end of the process, and of its terminal.
    async fn see_end(self: Arc<Self>, ended: oneshot::Receiver<ExitStatus>, pumps: Option<Pumps>) {
        let Ok(ended) = ended.await else { return };
        if let Some(pumps) = pumps {
            let _ = timeout(DRAIN, pumps.output).await;
            if let Some(input) = pumps.input {
                input.abort();
            }
        }
        self.finish(ended);
    }

    /// KILL for all of its session; what can't be is said in the log.
    pub(crate) fn kill_session(&self, init: &InitProcess) {
        if let Err(error) = self.kill(init, SIGKILL.unsigned_abs(), true) {
            log::warn("a command can't be killed", &[("container", &init.id), ("error", &error)]);
        }
    }

    /// It runs, with that number.
    fn note_process(&self, init: &InitProcess, child: &Child) {
        let pid = child.pid;
        // A runtime that makes no session leaves it in the container's, which must not be taken for the exec's.
        let containers = proc::session(init.pid);
        let session = proc::session(pid).filter(|session| Some(*session) != containers).unwrap_or(pid);
        let session = child.inner.unwrap_or(session);
        self.state.send_modify(|state| {
            let doomed = matches!(state, ExecState::Starting { doomed: true });
            // One that has ended already needs no handle.
            let pidfd = proc::open(pid).ok();
            *state = ExecState::Running(Process { pid, session, pidfd, stdin: None, terminal: None, doomed });
        });
    }

    /// From here on the runtime may make a process of it, once.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        let mut is = None;
        self.state.send_if_modified(|state| {
            match state {
                ExecState::Prepared => *state = ExecState::Starting { doomed: false },
                ExecState::Cancelled => is = Some("killed"),
                ExecState::Starting { .. } | ExecState::Running(_) | ExecState::Ended { .. } => is = Some("started"),
            }
            is.is_none()
        });
        is.map_or(Ok(()), |is| Err(Error::State { kind: "exec", id: self.id.clone(), is, wanted: "prepared" }))
    }

    /// 0: there is none.
    pub(crate) fn pid(&self) -> u32 {
        match &*self.state.borrow() {
            ExecState::Running(Process { pid, .. }) | ExecState::Ended { pid, .. } => *pid,
            ExecState::Prepared | ExecState::Cancelled | ExecState::Starting { .. } => 0,
        }
    }

    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        self.state.borrow().ended()
    }

    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.state.borrow(), ExecState::Starting { .. } | ExecState::Running(_))
    }

    fn is_doomed(&self) -> bool {
        matches!(*self.state.borrow(), ExecState::Running(Process { doomed: true, .. }))
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> Option<ExitStatus> {
        // The sender is `self`'s.
        let mut state = self.state.subscribe();
        state.wait_for(|state| state.ended().is_some()).await.ok().and_then(|state| state.ended())
    }

    pub(crate) fn close_stdin(&self) {
        self.with_process(|process| process.stdin = None);
    }

    /// Calls `with` with its terminal, if it has one.
    pub(crate) fn with_terminal<T>(&self, with: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        match &*self.state.borrow() {
            ExecState::Running(process) => process.terminal.as_ref().map(with),
            _ => None,
        }
    }

    /// Changes what is held of the process, if it runs. Nobody waits for that.
    fn with_process(&self, change: impl FnOnce(&mut Process)) {
        self.state.send_if_modified(|state| {
            if let ExecState::Running(process) = state {
                change(process);
            }
            false
        });
    }

    fn finish(&self, ended: ExitStatus) {
        self.state.send_modify(|state| {
            let (pid, session) = match state {
                ExecState::Running(Process { pid, session, .. }) | ExecState::Ended { pid, session, .. } => {
                    (*pid, *session)
                }
                ExecState::Prepared | ExecState::Cancelled | ExecState::Starting { .. } => (0, 0),
            };
            *state = ExecState::Ended { pid, session, ended };
        });
    }
}

impl ExecState {
    /// Its whole session is killed: also that part of it which the runtime has yet to make.
    fn doom(&mut self) -> bool {
        match self {
            Self::Prepared => *self = Self::Cancelled,
            Self::Starting { doomed } | Self::Running(Process { doomed, .. }) => *doomed = true,
            Self::Cancelled | Self::Ended { .. } => {}
        }
        false
    }

    fn ended(&self) -> Option<ExitStatus> {
        match self {
            Self::Ended { ended, .. } => Some(*ended),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "exec_tests.rs"]
mod tests;
