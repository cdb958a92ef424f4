//! Sessions that a client was promised and has not come for: each once, for a while, and not too many. Pure: it reads
//! no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use peapod_streaming_protocol::{Registration, SessionToken};

use crate::bounds::TOKENS;

/// What was registered and not claimed.
#[derive(Debug, Default)]
pub(super) struct TokenStore {
    registered: BTreeMap<SessionToken, (Registration, Instant)>,
    /// The same, the one that ends first in front.
    ends: BTreeSet<(Instant, SessionToken)>,
}

/// There are [`TOKENS`] already, or this one is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotRegistered;

impl TokenStore {
    pub(super) fn register(&mut self, registration: Registration, now: Instant) -> Result<(), NotRegistered> {
        let token = registration.token;
        if self.registered.len() >= TOKENS || self.registered.contains_key(&token) {
            return Err(NotRegistered);
        }
        let end = now + registration.expiry;
        self.ends.insert((end, token));
        self.registered.insert(token, (registration, end));
        Ok(())
    }

    /// What was registered with that token, which stays.
    pub(super) fn get(&self, token: &SessionToken, now: Instant) -> Option<&Registration> {
        self.registered.get(token).filter(|(_, end)| now < *end).map(|(registration, _)| registration)
    }

    /// Takes it: nobody else will.
    pub(super) fn claim(&mut self, token: &SessionToken, now: Instant) -> Option<Registration> {
        self.get(token, now)?;
        let (registration, end) = self.registered.remove(token)?;
        self.ends.remove(&(end, *token));
        Some(registration)
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Forgets one whose time is over; to be asked until there is none.
    pub(super) fn expire(&mut self, now: Instant) -> Option<SessionToken> {
        let (end, token) = *self.ends.first().filter(|(end, _)| *end <= now)?;
        self.ends.remove(&(end, token));
        self.registered.remove(&token);
        Some(token)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peapod_streaming_protocol::SessionKind;

    use super::*;

    fn token(number: usize) -> SessionToken {
        SessionToken::parse(format!("{number:016}").as_bytes()).unwrap()
    }

    fn registration(number: usize, seconds: u64) -> Registration {
        let [idle, creation, expiry] = [4 * 3600, 30, seconds].map(Duration::from_secs);
        Registration { token: token(number), kind: SessionKind::PortForward(vec![]), idle, creation, expiry }
    }

    #[test]
    fn each_is_claimed_once() {
        let (mut store, now) = (TokenStore::default(), Instant::now());
        store.register(registration(1, 60), now).unwrap();
        assert_eq!(store.register(registration(1, 90), now), Err(NotRegistered));
        assert!(store.get(&token(1), now).is_some());
        assert_eq!(store.claim(&token(2), now), None);
        assert_eq!(store.claim(&token(1), now).map(|registration| registration.token), Some(token(1)));
        assert_eq!(store.claim(&token(1), now), None);
        assert_eq!((store.next_end(), store.expire(now + Duration::from_secs(100))), (None, None));
    }

    #[test]
    fn they_end_in_their_order() {
        let (mut store, now) = (TokenStore::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        for (number, seconds) in [(1, 60), (2, 20), (3, 60)] {
            store.register(registration(number, seconds), now).unwrap();
        }
        assert_eq!(store.next_end(), Some(after(20)));
        assert_eq!(store.expire(after(19)), None);
        // It is over, whether or not somebody has looked.
        assert_eq!(store.claim(&token(2), after(20)), None);
        assert_eq!(store.expire(after(60)), Some(token(2)));
        assert_eq!(store.expire(after(60)), Some(token(1)));
        assert_eq!(store.expire(after(60)), Some(token(3)));
        assert_eq!(store.expire(after(60)), None);
    }

    #[test]
    fn they_have_a_bound() {
        let (mut store, now) = (TokenStore::default(), Instant::now());
        for number in 0..TOKENS {
            store.register(registration(number, 60), now).unwrap();
        }
        assert_eq!(store.register(registration(TOKENS, 60), now), Err(NotRegistered));
        store.claim(&token(7), now).unwrap();
        store.register(registration(TOKENS, 60), now).unwrap();
        store.clear();
        assert_eq!(store.next_end(), None);
    }
}
