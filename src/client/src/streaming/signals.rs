//! Signals that end a session, and the exit status that each gives.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::StreamError;

/// As long as it lives these signals do not end the process by themselves: a terminal has to be put right before.
pub(crate) struct EndingSignals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl EndingSignals {
    /// From now on.
    pub(crate) fn listen() -> Result<Self, StreamError> {
        let listen = |kind| signal(kind).map_err(StreamError::local("can't listen for signals"));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for one; answers 128 and its number.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.hangup.recv() => 129,
            _ = self.interrupt.recv() => 130,
            _ = self.quit.recv() => 131,
            _ = self.terminate.recv() => 143,
        }
    }
}
