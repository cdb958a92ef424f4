//! The one place that waits for children. Container inits and detached execs become the shim's children when their
//! runtime has ended (the shim is their subreaper), perhaps before anybody knows their number: such ends are kept while
//! somebody expects one.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use peapod_sys::sync::lock;
use rustix::process::{WaitOptions, WaitStatus, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::clock;

/// How many ends of unknown children are kept while a runtime runs.
const LIMIT: usize = 1024;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitStatus {
    /// 128 + n for signal n.
    pub(crate) code: u32,
    pub(crate) signal: Option<u32>,
    /// Nanoseconds since the epoch.
    pub(crate) at: i64,
}

impl ExitStatus {
    fn of(status: WaitStatus) -> Self {
        let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
        let signal = number(status.terminating_signal());
        let code = signal.map_or_else(|| number(status.exit_status()).unwrap_or(255), |signal| 128 + signal);
        Self { code, signal, at: clock::now_ns() }
    }
}

/// Tells ends of children. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reaper {
    inner: Arc<Mutex<ChildTable>>,
}

#[derive(Debug, Default)]
struct ChildTable {
    watched: HashMap<u32, oneshot::Sender<ExitStatus>>,
    unclaimed: VecDeque<(u32, ExitStatus)>,
    expecting: usize,
}

/// While it lives, ends of unknown children are kept for [`Expectation::claim`].
#[derive(Debug)]
pub(crate) struct Expectation {
    reaper: Reaper,
}

impl Reaper {
    /// Reaps for ever; to be a task of its own.
    pub(crate) fn run(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let mut children = signal(SignalKind::child())?;
        let reaper = self.clone();
        Ok(async move {
            loop {
                reaper.reap();
                if children.recv().await.is_none() {
                    return;
                }
            }
        })
    }

    /// Starts a program; its end arrives through the receiver.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<(u32, oneshot::Receiver<ExitStatus>)> {
        // The shim has one thread: nothing is reaped between these two.
        let pid = command.spawn()?.id();
        Ok((pid, self.watch(pid)))
    }

    /// Keeps ends of unknown children from now on.
    pub(crate) fn expect(&self) -> Expectation {
        self.lock().expecting += 1;
        Expectation { reaper: self.clone() }
    }

    fn watch(&self, pid: u32) -> oneshot::Receiver<ExitStatus> {
        let (sender, receiver) = oneshot::channel();
        self.lock().watched.insert(pid, sender);
        receiver
    }

    fn reap(&self) {
        // `Ok(None)`: children, but none has ended. An error: no children.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            self.ended(pid.as_raw_nonzero().get().unsigned_abs(), ExitStatus::of(status));
        }
    }

    fn ended(&self, pid: u32, ended: ExitStatus) {
        let mut inner = self.lock();
        if let Some(sender) = inner.watched.remove(&pid) {
            // Nobody waits any more: fine, it is reaped.
            let _ = sender.send(ended);
        } else if inner.expecting > 0 {
            if inner.unclaimed.len() >= LIMIT {
                inner.unclaimed.pop_front();
            }
            inner.unclaimed.push_back((pid, ended));
        }
    }

    fn lock(&self) -> MutexGuard<'_, ChildTable> {
        lock(&self.inner)
    }
}

impl Expectation {
    /// The end of a process that a runtime has made, whether it has come or will come.
    pub(crate) fn claim(&self, pid: u32) -> oneshot::Receiver<ExitStatus> {
        let receiver = self.reaper.watch(pid);
        let mut inner = self.reaper.lock();
        if let Some(index) = inner.unclaimed.iter().rposition(|(unclaimed, _)| *unclaimed == pid)
            && let Some((_, ended)) = inner.unclaimed.remove(index)
            && let Some(sender) = inner.watched.remove(&pid)
        {
            let _ = sender.send(ended);
        }
        receiver
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        let mut inner = self.reaper.lock();
        inner.expecting = inner.expecting.saturating_sub(1);
        if inner.expecting == 0 {
            inner.unclaimed = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: u32) -> ExitStatus {
        ExitStatus { code, signal: None, at: 1 }
    }

    #[test]
    fn matches_an_end_that_came_early() {
        let reaper = Reaper::default();
        reaper.ended(7, end(1));
        let expectation = reaper.expect();
        reaper.ended(8, end(2));
        assert_eq!(expectation.claim(8).try_recv(), Ok(end(2)));
        // What ended before anybody expected it belonged to somebody else.
        let mut late = expectation.claim(7);
        assert!(late.try_recv().is_err());
        reaper.ended(7, end(3));
        assert_eq!(late.try_recv(), Ok(end(3)));
        reaper.ended(9, end(4));
        drop(expectation);
        assert!(reaper.lock().unclaimed.is_empty());
    }

    #[test]
    fn is_bounded() {
        let reaper = Reaper::default();
        let _expectation = reaper.expect();
        for pid in 0..5000 {
            reaper.ended(pid, end(0));
        }
        assert_eq!(reaper.lock().unclaimed.len(), LIMIT);
    }
}
