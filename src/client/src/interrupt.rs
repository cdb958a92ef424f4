//! Ctrl-C and SIGTERM: the first one asks for a graceful end, the second for one at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
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
        let (sender, asked) = watch::channel(Asked::default());
        let listener = tokio::spawn(async move {
            loop {
                let status = tokio::select! {
                    Some(()) = int.recv() => 130,
                    Some(()) = term.recv() => 143,
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
