//! Changes of limits: one at a time. A master asks for the next one when it has heard of the one before; one that asks
//! while that still goes on is another than the first, which has died. What the dead one asked for is then ended, else
//! it would come to its end later and change limits that are set by now.

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::bounds::INTERRUPTED_CALL;

/// A container's changes of limits.
#[derive(Debug, Default)]
pub(super) struct Updates {
    busy: watch::Sender<bool>,
    /// Ends the runtime's call that goes on.
    pub(super) interrupt: Notify,
}

/// Whose turn it is; over when it is dropped.
pub(super) struct Turn<'a>(&'a Updates);

impl Updates {
    /// Waits until the change that goes on has ended, which is told to.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let mut busy = self.busy.subscribe();
        loop {
            if self.busy.send_if_modified(|busy| !std::mem::replace(busy, true)) {
                return Turn(self);
            }
            self.interrupt.notify_waiters();
            // One that has only just begun may not have heard.
            let _ = timeout(INTERRUPTED_CALL, busy.wait_for(|busy| !busy)).await;
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.busy.send_replace(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_one_ends_the_one_before() {
        let updates = Updates::default();
        let first = updates.turn().await;
        let ended = async {
            // It hears only the second time.
            updates.interrupt.notified().await;
            updates.interrupt.notified().await;
            drop(first);
        };
        let (_second, ()) = tokio::join!(updates.turn(), ended);
        assert!(timeout(INTERRUPTED_CALL * 3, updates.turn()).await.is_err(), "two at a time");
    }
}
