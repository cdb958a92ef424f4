//! A session's other side: the connection to the pod's shim, from the wait for it on.

use std::collections::VecDeque;
use std::future::pending;
use std::os::fd::OwnedFd;

use peapod_streaming_protocol::{SessionEnd, ToSession, ToShim};
use tokio::time::{Instant, sleep_until};

use super::registry::{AwaitedSession, NoSession};
use crate::bounds::SESSION_WAIT;

/// The connection to the pod's shim.
#[derive(Debug)]
pub(super) struct ShimLink {
    state: LinkState,
    /// What waits to be told.
    outbox: VecDeque<ToShim>,
}

#[derive(Debug)]
enum LinkState {
    Expected(AwaitedSession, Instant),
    Open(SessionEnd),
    Over,
}

/// What comes of it. After the last two nothing does.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// The shim says something, and hands descriptors over with it.
    Said(ToSession, Vec<OwnedFd>),
    /// There is no session.
    None(NoSession),
    /// The shim has ended it, or ended.
    Lost,
}

impl ShimLink {
    pub(super) fn new(expectation: AwaitedSession) -> Self {
        let end = Instant::now() + SESSION_WAIT;
        Self { state: LinkState::Expected(expectation, end), outbox: VecDeque::new() }
    }

    /// Has the shim told, once it is there: in this order.
    pub(super) fn tell(&mut self, message: ToShim) {
        // Of a terminal's sizes the last counts.
        if matches!(message, ToShim::Resize { .. }) {
            self.outbox.retain(|waiting| !matches!(waiting, ToShim::Resize { .. }));
        }
        self.outbox.push_back(message);
    }

    /// Takes back what was not told yet.
    pub(super) fn take_back(&mut self, message: &ToShim) {
        self.outbox.retain(|waiting| waiting != message);
    }

    /// What comes next; meanwhile the shim is told what waits. A call that is dropped has lost nothing.
    pub(super) async fn next(&mut self) -> LinkEvent {
        loop {
            match &mut self.state {
                LinkState::Expected(expectation, end) => {
                    let opening = tokio::select! {
                        opening = expectation.opening() => opening,
                        () = sleep_until(*end) => Err(NoSession::TooLate),
                    };
                    match opening {
                        Ok(session) => self.state = LinkState::Open(session),
                        Err(why) => {
                            self.state = LinkState::Over;
                            return LinkEvent::None(why);
                        }
                    }
                }
                LinkState::Open(session) => {
                    if let Some(event) = step(session, &mut self.outbox).await {
                        if matches!(event, LinkEvent::Lost) {
                            self.state = LinkState::Over;
                        }
                        return event;
                    }
                }
                LinkState::Over => return pending().await,
            }
        }
    }
}

/// None: something was told.
async fn step(session: &SessionEnd, outbox: &mut VecDeque<ToShim>) -> Option<LinkEvent> {
    let next = outbox.front().cloned();
    let tell = async {
        match &next {
            // That it is gone is heard by receiving, after what it has said before.
            Some(message) => drop(session.send(message, &[]).await),
            None => pending().await,
        }
    };
    tokio::select! {
        said = session.recv() => Some(match said {
            Ok(Some((message, descriptors))) => LinkEvent::Said(message, descriptors),
            // Nothing of what makes no sense is believed.
            Ok(None) | Err(_) => LinkEvent::Lost,
        }),
        () = tell => {
            outbox.pop_front();
            None
        }
    }
}
