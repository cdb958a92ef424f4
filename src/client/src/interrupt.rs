//! Ctrl-C, SIGTERM, and the terminal's end (SIGHUP, SIGQUIT): the first one asks for a graceful end, the second for one
//! at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What has been asked for so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    times: u32,
    /// The exit status that the first signal gives.
    status: u8,
}

/// Counts signals as long as it lives.
pub(crate) struct Interrupt {
    asked: watch::Receiver<Asked>,
    listener: AbortHandle,
}

impl Interrupt {
    /// From now on signals do not end this process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        // Who started this process by nohup wants it to outlive its terminal.
        let ignored = std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
        let unless_ignored = |kind: SignalKind| (!is_in(ignored, kind)).then(|| signal(kind)).transpose();
        let mut hangup = unless_ignored(SignalKind::hangup())?;
        let mut quit = unless_ignored(SignalKind::quit())?;
        let (sender, asked) = watch::channel(Asked::default());
        let listener = tokio::spawn(async move {
            loop {
                let status = tokio::select! {
                    Some(()) = int.recv() => 130,
                    Some(()) = term.recv() => 143,
                    () = heard(&mut hangup) => 129,
                    () = heard(&mut quit) => 131,
                    else => return,
                };
                sender.send_modify(|asked| {
                    asked.times += 1;
                    if asked.times == 1 {
                        asked.status = status;
                    }
                });
            }
        });
        Ok(Self { asked, listener: listener.abort_handle() })
    }

    /// One whose signals are sent by a test.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (Self, impl Fn()) {
        let (sender, asked) = watch::channel(Asked::default());
        let listener = tokio::spawn(std::future::pending::<()>()).abort_handle();
        let signal = move || {
            sender.send_modify(|asked| *asked = Asked { times: asked.times + 1, status: 130 });
        };
        (Self { asked, listener }, signal)
    }

    /// Waits for the first signal.
    pub(crate) async fn first(&self) {
        self.times(1).await;
    }

    /// Waits for the second signal.
    pub(crate) async fn second(&self) {
        self.times(2).await;
    }

    async fn times(&self, times: u32) {
        let mut asked = self.asked.clone();
        if asked.wait_for(|asked| asked.times >= times).await.is_err() {
            // Nobody listens any more: no signal will come.
            std::future::pending::<()>().await;
        }
    }

    /// The exit status that a signal asked for.
    pub(crate) fn status(&self) -> Option<u8> {
        let asked = *self.asked.borrow();
        (asked.times > 0).then_some(asked.status)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Waits for a signal; for ever if it is left alone.
async fn heard(signal: &mut Option<Signal>) {
    let is_one = match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    };
    if !is_one {
        std::future::pending::<()>().await;
    }
}

/// The signals that a process ignores, a bit for each from SIGHUP on, out of its `/proc/PID/status`.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

fn is_in(mask: u64, kind: SignalKind) -> bool {
    let bit = kind.as_raw_value().checked_sub(1).and_then(|bit| u32::try_from(bit).ok());
    bit.and_then(|bit| mask.checked_shr(bit)).is_some_and(|rest| rest & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_told_by_the_kernel() {
        let status = |mask: &str| ignored(&format!("Name:\tx\nSigBlk:\tffff\nSigIgn:\t{mask}\nSigCgt:\tffff\n"));
        let nohup = status("0000000000000001");
        assert!(is_in(nohup, SignalKind::hangup()) && !is_in(nohup, SignalKind::quit()));
        let background = status("0000000000001006");
        assert!(!is_in(background, SignalKind::hangup()) && is_in(background, SignalKind::quit()));
        assert_eq!(status("none"), 0);
        assert_eq!(ignored(""), 0);
    }
}
