//! What is done to a running container: signals, limits, pause, terminal size, log.

use peapod_sys::boottime_ns;
use rustix::termios::{Winsize, tcsetwinsize};

use super::OciContainer;
use super::checkpoint;
use super::init_process::{SIGKILL, signal_number};
use super::state::{Phase, StopStep};
use crate::error::Error;
use crate::runtime::Target;
use crate::stdio::ContainerOutput;

impl OciContainer {
    /// Sends the stop signal, the first time, and sets the deadline or brings it forward. Does not wait: the supervisor
    /// kills. Before there is a program to be asked, only what the runtime does is ended: whoever wants the signal sent
    /// asks again.
    pub(crate) fn stop(&self, signal: u32, deadline: i64) -> Result<(), Error> {
        let signal = signal_number(signal)?;
        let mut step = StopStep::Nothing;
        self.state.send_modify(|state| step = state.request_stop(deadline, boottime_ns()));
        match step {
            StopStep::Interrupt => self.interrupt(),
            StopStep::Signal => self.init.signal(signal)?,
            StopStep::Nothing => {}
        }
        Ok(())
    }

    /// A signal to the container's first process, or to all.
    pub(crate) fn kill(&self, signal: u32, all: bool) -> Result<(), Error> {
        let signal = signal_number(signal)?;
        if matches!(self.phase(), Phase::Exited { .. } | Phase::StartFailed { .. }) {
            return Err(Error::NotFound { kind: "process of container", id: self.id().to_owned() });
        }
        if all { self.init.signal_all(signal) } else { self.init.signal(signal) }
    }

    /// KILL for all, as far as there is a group of its own.
    pub(super) fn kill_all(&self) -> Result<(), Error> {
        self.init.signal_all(SIGKILL)
    }

    /// Ends the process's input: ours was the end that kept it open, and who writes to it as well hears of this.
    pub(crate) fn close_stdin(&self) {
        self.state.send_if_modified(|state| state.take_stdin().is_some());
    }

    /// Changes limits; `resources` is an OCI object in JSON. Ends a change that goes on.
    pub(crate) async fn update(&self, resources: &[u8]) -> Result<(), Error> {
        self.target()?;
        let _turn = self.updates.turn().await;
        let target = Target { interrupt: &self.updates.interrupt, ..self.target()? };
        let updated = self.init.runtime.update(target, resources).await;
        if updated.is_err() {
            // What failed for its end is no fault of the runtime's.
            self.target()?;
        }
        Ok(updated?)
    }

    /// Whoever resumes it meanwhile waits until it is paused.
    pub(crate) async fn pause(&self) -> Result<(), Error> {
        let _turn = self.checkpoints.turn().await;
        checkpoint::freeze(self).await
    }

    /// Not before a checkpoint that goes on has come to its end: to whoever reads the processes at that moment they
    /// must stay as they are.
    pub(crate) async fn resume(&self) -> Result<(), Error> {
        let _turn = self.checkpoints.turn().await;
        checkpoint::go_on(self).await
    }

    /// One that has ended meanwhile stays so.
    pub(super) fn step(&self, from: Phase, to: Phase) {
        self.state.send_if_modified(|state| state.step(from, to).is_ok());
    }

    /// Opens the log's path anew.
    pub(crate) fn reopen_log(&self) -> Result<(), Error> {
        let missing = || Error::NotFound { kind: "log of container", id: self.id().to_owned() };
        self.output.as_ref().and_then(ContainerOutput::reopen_log).unwrap_or_else(|| Err(missing()))
    }

    /// Sets a terminal's size: the container's, or with an id an exec's.
    pub(crate) fn resize(&self, exec: &str, width: u32, height: u32) -> Result<(), Error> {
        let side = |field, value: u32| {
            u16::try_from(value).map_err(|_| Error::Invalid { field, why: format!("{value} is more than 65535") })
        };
        let size =
            Winsize { ws_col: side("width", width)?, ws_row: side("height", height)?, ws_xpixel: 0, ws_ypixel: 0 };
        let set = if exec.is_empty() {
            self.terminal.as_ref().map(|terminal| tcsetwinsize(terminal, size))
        } else {
            self.execs.get(exec)?.with_terminal(|terminal| tcsetwinsize(terminal, size))
        };
        let missing = || Error::NotFound { kind: "terminal of container", id: self.id().to_owned() };
        set.ok_or_else(missing)?.map_err(Error::errno("resize", self.init.bundle.join("terminal").as_ref()))
    }
}
