//! What clients were promised and have not come for. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use peapod_streaming_protocol::SessionToken;

use crate::bounds::{PENDING_COMMAND_BYTES, PENDING_SESSION, PENDING_SESSIONS};

/// After its time the server tells; one that it has not told of is forgotten so much later.
const MARGIN: Duration = Duration::from_secs(10);

/// One more can't be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// All that clients of one server were promised.
#[derive(Debug)]
pub(super) struct Pending<T> {
    promised: HashMap<SessionToken, PendingEntry<T>>,
    /// Of all.
    bytes: usize,
}

#[derive(Debug)]
struct PendingEntry<T> {
    since: Instant,
    bytes: usize,
    session: T,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { promised: HashMap::new(), bytes: 0 }
    }
}

impl<T> Pending<T> {
    /// Takes one more that takes so many bytes, if there is room.
    pub(super) fn add(&mut self, token: SessionToken, session: T, bytes: usize, now: Instant) -> Result<(), Full> {
        self.forget_late(now);
        if self.promised.len() >= PENDING_SESSIONS || self.bytes.saturating_add(bytes) > PENDING_COMMAND_BYTES {
            return Err(Full);
        }
        self.bytes += bytes;
        self.promised.insert(token, PendingEntry { since: now, bytes, session });
        Ok(())
    }

    /// It is promised no more.
    pub(super) fn take(&mut self, token: SessionToken) -> Option<T> {
        let PendingEntry { bytes, session, .. } = self.promised.remove(&token)?;
        self.bytes -= bytes;
        Some(session)
    }

    fn forget_late(&mut self, now: Instant) {
        let is_late = |since: Instant| now.saturating_duration_since(since) > PENDING_SESSION + MARGIN;
        let all = self.promised.iter();
        let late: Vec<_> = all.filter(|(_, promise)| is_late(promise.since)).map(|(token, _)| *token).collect();
        for token in late {
            self.take(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> SessionToken {
        SessionToken::random().unwrap()
    }

    #[test]
    fn each_is_taken_once() {
        let (mut pending, token) = (Pending::default(), token());
        pending.add(token, "session", 3, Instant::now()).unwrap();
        assert_eq!(pending.take(token), Some("session"));
        assert_eq!((pending.take(token), pending.bytes), (None, 0));
    }

    #[test]
    fn they_are_bounded_until_their_time_is_over() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        for _ in 0..PENDING_SESSIONS {
            pending.add(token(), (), 1, now).unwrap();
        }
        assert_eq!(pending.add(token(), (), 1, now), Err(Full));
        pending.add(token(), (), 1, now + PENDING_SESSION + 2 * MARGIN).unwrap();
        assert_eq!((pending.promised.len(), pending.bytes), (1, 1));
    }

    #[test]
    fn so_are_their_commands() {
        let (mut pending, now) = (Pending::default(), Instant::now());
        pending.add(token(), (), PENDING_COMMAND_BYTES - 1, now).unwrap();
        assert_eq!(pending.add(token(), (), 2, now), Err(Full));
        pending.add(token(), (), 1, now).unwrap();
    }
}
