//! Another process in a running container.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};

use super::{Container, Phase, lock, process, record, signal};
use crate::clock;
use crate::core::Core;
use crate::error::Error;
use crate::log;
use crate::reaper::Ended;
use crate::runtime::{Call, read_pid};
use crate::stdio::Uris;
use crate::stdio::console::ConsoleSocket;

/// Execs of one container that nobody has deleted.
const EXECS: usize = 1024;

/// An exec: prepared, running, or ended and not yet deleted.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) id: String,
    /// An OCI process, as JSON.
    process: Vec<u8>,
    pub(crate) uris: Uris,
    state: Mutex<State>,
    /// Ends the runtime's call that makes it.
    call: Notify,
    ended: watch::Sender<Option<Ended>>,
}

#[derive(Debug, Default)]
struct State {
    begun: bool,
    /// Its whole session is killed: also that part of it which the runtime has yet to make.
    doomed: bool,
    pid: u32,
    /// Its own, but not led by it under every runtime: crun leaves that to a process of its own that is gone by then.
    session: u32,
    pidfd: Option<OwnedFd>,
    stdin: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
}

impl Container {
    /// Takes note of an exec to be.
    pub(crate) fn prepare_exec(&self, id: &str, process: Vec<u8>, uris: Uris) -> Result<(), Error> {
        super::create::check_id(id)?;
        let mut execs = lock(&self.execs);
        if execs.contains_key(id) {
            return Err(Error::Exists { kind: "exec", id: id.to_owned() });
        }
        if execs.len() >= EXECS {
            return Err(Error::Full { what: "execs of a container", limit: EXECS });
        }
        let (state, call, ended) = (Mutex::default(), Notify::new(), watch::Sender::new(None));
        execs.insert(id.to_owned(), Arc::new(Exec { id: id.to_owned(), process, uris, state, call, ended }));
        Ok(())
    }

    pub(crate) fn exec(&self, id: &str) -> Result<Arc<Exec>, Error> {
        let missing = || Error::NotFound { kind: "exec", id: id.to_owned() };
        lock(&self.execs).get(id).cloned().ok_or_else(missing)
    }

    /// Runs it; answers its process number. A failed one is gone.
    pub(crate) async fn start_exec(&self, core: &Arc<Core>, exec: &Arc<Exec>) -> Result<u32, Error> {
        if self.phase() != Phase::Running {
            let is = self.phase().word();
            return Err(Error::State { kind: "container", id: self.id.clone(), is, wanted: "running" });
        }
        exec.begin()?;
        let started = self.run_exec(core, exec).await;
        if started.is_err() {
            lock(&self.execs).remove(&exec.id);
            // Who waits for its end hears that there is none to wait for.
            exec.finish(Ended { code: 255, signal: None, at: clock::now_ns() });
        }
        started
    }

    /// Forgets one that has ended, was never started, or was killed with all of its session: that goes on by itself.
    pub(crate) fn delete_exec(&self, id: &str) -> Result<(u32, Option<Ended>), Error> {
        let exec = self.exec(id)?;
        if exec.is_running() && !lock(&exec.state).doomed {
            return Err(Error::State { kind: "exec", id: id.to_owned(), is: "running", wanted: "ended" });
        }
        lock(&self.execs).remove(id);
        Ok((exec.pid(), exec.ended()))
    }

    /// A signal to its first process, or to all of its session. KILL for all also ends one that the runtime is just making,
    /// and one that was never started does not start any more.
    pub(crate) fn kill_exec(&self, exec: &Exec, signal: u32, all: bool) -> Result<(), Error> {
        let signal = signal::number(signal)?;
        let (pid, session, begun) = {
            let mut state = lock(&exec.state);
            state.doomed |= all && signal == signal::SIGKILL;
            (state.pid, state.session, state.begun)
        };
        let gone = || Error::NotFound { kind: "process of exec", id: exec.id.clone() };
        if pid == 0 {
            if begun && all && signal == signal::SIGKILL {
                exec.interrupt();
                return Ok(());
            }
            return Err(gone());
        }
        if all {
            if let (Some(pidfd), None) = (lock(&exec.state).pidfd.as_ref(), exec.ended()) {
                // One that has just ended is fine.
                let _ = peapod_sys::send_signal(pidfd, signal);
            }
            // Also when its first process has ended: what that left behind is still its session.
            return self.kill_session(session, signal);
        }
        let state = lock(&exec.state);
        let pidfd = state.pidfd.as_ref().filter(|_| exec.ended().is_none()).ok_or_else(gone)?;
        peapod_sys::send_signal(pidfd, signal).map_err(Error::io("signal", format!("/proc/{pid}").as_ref()))
    }

    async fn run_exec(&self, core: &Arc<Core>, exec: &Arc<Exec>) -> Result<u32, Error> {
        let file = |suffix: &str| self.bundle.join(format!("exec-{}.{suffix}", exec.id));
        let (process_file, pid_file) = (file("json"), file("pid"));
        let _files = Files([&process_file, &pid_file]);
        record::write(&process_file, &exec.process)?;
        let mut streams = exec.uris.open(&core.null)?;
        let socket = if exec.uris.terminal {
            Some(ConsoleSocket::bind(&self.bundle, &format!("exec-{}.sock", exec.id))?)
        } else {
            None
        };
        let mut args = vec![OsStr::new("--detach"), "--process".as_ref(), process_file.as_os_str()];
        args.extend([OsStr::new("--pid-file"), pid_file.as_os_str()]);
        if let Some(socket) = &socket {
            args.extend([OsStr::new("--console-socket"), socket.for_runtime().as_os_str()]);
        }
        args.push(self.id.as_ref());
        let mut call = Call::new("exec", file("log"), &args);
        call.streams = Some(streams.process);
        call.interrupt = Some(&exec.call);
        call.oom_score_of = Some(self.pid);
        let expectation = core.reaper.expect();
        core.run(&self.runtime, call).await?;
        let pid = read_pid(&pid_file)?;
        let ended = expectation.claim(pid);
        process::share_oom_score(self.pid, pid);
        self.note_process(exec, pid);
        let mut pumps = None;
        if let Some(socket) = &socket {
            let connected = match socket.receive().await {
                Ok(terminal) => streams.ours.pump_terminal(&terminal).map(|pumps| (terminal, pumps)),
                Err(error) => Err(error),
            };
            let (terminal, ends) = connected.inspect_err(|_| {
                // It runs, and nobody will know of it.
                if let Err(error) = self.kill_exec(exec, signal::SIGKILL.unsigned_abs(), true) {
                    log::warn("a command can't be killed", &[("container", &self.id), ("error", &error)]);
                }
            })?;
            pumps = Some(ends);
            lock(&exec.state).terminal = Some(terminal);
        }
        lock(&exec.state).stdin = streams.ours.stdin;
        let waited_for = exec.clone();
        tokio::spawn(async move {
            if let Ok(ended) = ended.await {
                if let Some(pumps) = pumps {
                    let _ = tokio::time::timeout(super::supervise::DRAIN, pumps.output).await;
                    if let Some(input) = pumps.input {
                        input.abort();
                    }
                }
                waited_for.finish(ended);
            }
        });
        // Who killed it found no process yet.
        if lock(&exec.state).doomed
            && let Err(error) = self.kill_exec(exec, signal::SIGKILL.unsigned_abs(), true)
        {
            log::warn("a command can't be killed", &[("container", &self.id), ("error", &error)]);
        }
        Ok(pid)
    }

    /// It runs, with that number.
    fn note_process(&self, exec: &Exec, pid: u32) {
        let mut state = lock(&exec.state);
        state.pid = pid;
        // A runtime that makes no session leaves it in the container's, which must not be taken for the exec's.
        let containers = process::session(self.pid);
        state.session = process::session(pid).filter(|session| Some(*session) != containers).unwrap_or(pid);
        // One that has ended already needs no handle.
        state.pidfd = process::open(pid).ok();
    }
}

impl Exec {
    pub(crate) fn pid(&self) -> u32 {
        lock(&self.state).pid
    }

    /// From here on the runtime may make a process of it.
    fn begin(&self) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let is = match (state.begun, state.doomed) {
            (true, _) => "started",
            (false, true) => "killed",
            (false, false) => {
                state.begun = true;
                return Ok(());
            }
        };
        Err(Error::State { kind: "exec", id: self.id.clone(), is, wanted: "prepared" })
    }

    /// Ends the runtime's call, if it still makes it.
    pub(crate) fn interrupt(&self) {
        self.call.notify_waiters();
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        *self.ended.borrow()
    }

    pub(crate) fn is_running(&self) -> bool {
        lock(&self.state).begun && self.ended().is_none()
    }

    pub(crate) async fn wait(&self) -> Option<Ended> {
        // The sender is `self`'s.
        self.ended.subscribe().wait_for(Option::is_some).await.ok().and_then(|ended| *ended)
    }

    pub(crate) fn close_stdin(&self) {
        lock(&self.state).stdin.take();
    }

    /// Calls `with` with its terminal, if it has one.
    pub(crate) fn with_terminal<T>(&self, with: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        lock(&self.state).terminal.as_ref().map(with)
    }

    fn finish(&self, ended: Ended) {
        {
            let mut state = lock(&self.state);
            (state.pidfd, state.stdin, state.terminal) = (None, None, None);
        }
        self.ended.send_replace(Some(ended));
    }
}

/// Files that only the runtime's call needs.
struct Files<'a>([&'a std::path::Path; 2]);

impl Drop for Files<'_> {
    fn drop(&mut self) {
        for path in self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
