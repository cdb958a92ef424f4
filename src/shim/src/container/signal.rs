//! Signals, and the moment of the KILL.

use std::time::Duration;

use peapod_sys::{boottime_ns, send_signal};

use super::{Container, Phase, lock, process};
use crate::error::Error;

/// KILL.
pub(super) const SIGKILL: i32 = 9;
/// How often processes of an exec are looked for: they may fork meanwhile.
const ROUNDS: usize = 16;

/// What was asked for so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stop {
    /// The stop signal was sent.
    signalled: bool,
    /// When to KILL, by `CLOCK_BOOTTIME`.
    pub(crate) deadline: Option<i64>,
}

impl Stop {
    /// How long until the KILL.
    pub(crate) fn left(&self) -> Option<Duration> {
        let left = self.deadline?.saturating_sub(boottime_ns());
        Some(Duration::from_nanos(u64::try_from(left).unwrap_or(0)))
    }
}

impl Container {
    /// Sends the stop signal, the first time, and sets the deadline or brings it forward. Does not wait: the supervisor kills.
    /// Before there is a program to be asked, only what the runtime does is ended: whoever wants the signal sent asks again.
    pub(crate) fn stop(&self, signal: u32, deadline: i64) -> Result<(), Error> {
        let signal = number(signal)?;
        let begun = !matches!(self.phase(), Phase::Created | Phase::Starting);
        let mut first = false;
        self.stop.send_modify(|stop| {
            first = begun && !stop.signalled;
            stop.signalled |= begun;
            stop.deadline = Some(stop.deadline.map_or(deadline, |before| before.min(deadline)));
        });
        if !begun {
            self.interrupt();
        }
        // With no grace at all the KILL comes alone: what ends by the stop signal first would look as if it had been asked.
        if first && deadline > boottime_ns() && self.phase() != Phase::Exited {
            self.signal_init(signal)?;
        }
        Ok(())
    }

    /// A signal to the container's first process, or to all.
    pub(crate) fn kill(&self, signal: u32, all: bool) -> Result<(), Error> {
        let signal = number(signal)?;
        if matches!(self.phase(), Phase::Exited | Phase::StartFailed) {
            return Err(Error::NotFound { kind: "process of container", id: self.id.clone() });
        }
        if !all {
            return self.signal_init(signal);
        }
        match &self.cgroup {
            Some(cgroup) if signal == SIGKILL => Ok(cgroup.kill()?),
            Some(cgroup) => {
                cgroup.pids()?.into_iter().for_each(|pid| signal_process(pid, signal));
                Ok(())
            }
            None => self.signal_init(signal),
        }
    }

    /// A signal to every process of the container that belongs to an exec's session. New ones may be born meanwhile: repeats
    /// until none is left when it is KILL.
    pub(crate) fn kill_session(&self, session: u32, signal: i32) -> Result<(), Error> {
        let Some(cgroup) = &self.cgroup else {
            signal_process(session, signal);
            return Ok(());
        };
        for _ in 0..ROUNDS {
            let pids = cgroup.pids()?;
            let ours: Vec<u32> = pids.into_iter().filter(|pid| process::session(*pid) == Some(session)).collect();
            ours.iter().for_each(|pid| signal_process(*pid, signal));
            if ours.is_empty() || signal != SIGKILL {
                break;
            }
        }
        Ok(())
    }

    /// KILL for all, as far as there is a group of its own.
    pub(crate) fn kill_group(&self) -> Result<(), Error> {
        match &self.cgroup {
            Some(cgroup) => Ok(cgroup.kill()?),
            None => self.signal_init(SIGKILL),
        }
    }

    /// Ends the process's input: ours was the end that kept it open.
    pub(crate) fn close_stdin(&self) {
        lock(&self.stdin).take();
    }

    fn signal_init(&self, signal: i32) -> Result<(), Error> {
        match send_signal(&self.pidfd, signal) {
            // It has just ended; the supervisor tells.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map_err(Error::io("signal", format!("/proc/{}", self.pid).as_ref())),
        }
    }
}

pub(crate) fn number(signal: u32) -> Result<i32, Error> {
    match i32::try_from(signal) {
        Ok(signal @ 1..=64) => Ok(signal),
        _ => Err(Error::Invalid { field: "signal", why: format!("{signal} is none: 1 to 64 are") }),
    }
}

/// One that is gone meanwhile is fine.
fn signal_process(pid: u32, signal: i32) {
    if let Ok(pidfd) = process::open(pid) {
        let _ = send_signal(&pidfd, signal);
    }
}
