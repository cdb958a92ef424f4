//! How those who look after a pod learn that it is to end.

use tokio::sync::watch;

/// What was asked for so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StopAsked {
    #[default]
    No,
    /// With grace.
    Gracefully,
    AtOnce,
}

/// Where it is heard.
#[derive(Clone)]
pub(super) struct StopLine(watch::Receiver<StopAsked>);

/// Where it is said; it is never taken back.
pub(super) struct StopSpeaker(watch::Sender<StopAsked>);

/// A line to one pod.
pub(super) fn stop_line() -> (StopSpeaker, StopLine) {
    let (sender, receiver) = watch::channel(StopAsked::No);
    (StopSpeaker(sender), StopLine(receiver))
}

impl StopSpeaker {
    pub(super) fn ask(&self, wish: StopAsked) {
        self.0.send_if_modified(|asked| {
            let is_more = *asked < wish;
            *asked = wish.max(*asked);
            is_more
        });
    }
}

impl StopLine {
    /// What was asked for so far.
    pub(super) fn so_far(&self) -> StopAsked {
        *self.0.borrow()
    }

    /// Waits until more than this is asked for, and says what.
    pub(super) async fn beyond(&self, known: StopAsked) -> StopAsked {
        let mut line = self.0.clone();
        match line.wait_for(|asked| *asked > known).await {
            Ok(asked) => *asked,
            // Nobody will ask any more.
            Err(_) => std::future::pending().await,
        }
    }
}
