//! The streams of a port-forward: two for each connection, which come one after the other. Pure: it reads no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::bounds::REQUEST_ID_BYTES;
use crate::spdy::{Headers, StreamId};

/// The streams of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamPair {
    pub(super) data: StreamId,
    pub(super) error: StreamId,
    pub(super) port: u16,
}

/// Streams whose other half has not come.
#[derive(Debug)]
pub(super) struct HalfPairs {
    halves: BTreeMap<PairKey, Half>,
    /// How long it may take until it does.
    patience: Duration,
}

/// What two streams have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PairKey {
    /// What clients call it.
    Request(String),
    /// Of clients that name nothing: the number of the error stream, which comes right before the data stream.
    Error(StreamId),
}

#[derive(Clone, Copy, Debug)]
struct Half {
    stream: StreamId,
    is: PairStream,
    port: u16,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PairStream {
    Data,
    Error,
}

/// What a new stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// One half, of that kind.
    Half(PairStream),
    /// The other half.
    Whole(PairStream, StreamPair),
}

/// Its headers don't say what it is, or say of another that it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPair;

impl HalfPairs {
    pub(super) fn new(patience: Duration) -> Self {
        Self { halves: BTreeMap::new(), patience }
    }

    pub(super) fn enter(&mut self, stream: StreamId, headers: &Headers, now: Instant) -> Result<Entered, NoPair> {
        let is = match headers.get("streamtype") {
            Some("data") => PairStream::Data,
            Some("error") => PairStream::Error,
            _ => return Err(NoPair),
        };
        let port = headers.get("port").and_then(|port| port.parse().ok()).filter(|port| *port > 0).ok_or(NoPair)?;
        let key = match (headers.get("requestid").filter(|id| !id.is_empty()), is) {
            (Some(id), _) if id.len() > REQUEST_ID_BYTES => return Err(NoPair),
            (Some(id), _) => PairKey::Request(id.to_owned()),
            (None, PairStream::Error) => PairKey::Error(stream),
            (None, PairStream::Data) => PairKey::Error(stream.checked_sub(2).ok_or(NoPair)?),
        };
        let Some(half) = self.halves.get(&key) else {
            self.halves.insert(key, Half { stream, is, port, since: now });
            return Ok(Entered::Half(is));
        };
        if half.is == is || half.port != port {
            return Err(NoPair);
        }
        let (data, error) = match is {
            PairStream::Data => (stream, half.stream),
            PairStream::Error => (half.stream, stream),
        };
        self.halves.remove(&key);
        Ok(Entered::Whole(is, StreamPair { data, error, port }))
    }

    /// Forgets a half that the client has given up.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.halves.retain(|_, half| half.stream != stream);
    }

    /// Forgets halves that have waited for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<StreamId> {
        let patience = self.patience;
        self.halves.extract_if(.., |_, half| half.since + patience <= now).map(|(_, half)| half.stream).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn headers(kind: &str, port: &str, id: Option<&str>) -> Headers {
        let mut all = vec![("streamtype", kind), ("port", port)];
        all.extend(id.map(|id| ("requestid", id)));
        Headers::of(&all)
    }

    #[test]
    fn halves_find_each_other() {
        let (mut pairs, now) = (HalfPairs::new(PATIENCE), Instant::now());
        let mut enter = |stream, kind, port, id| pairs.enter(stream, &headers(kind, port, id), now);
        assert_eq!(enter(1, "error", "80", Some("0")), Ok(Entered::Half(PairStream::Error)));
        assert_eq!(enter(3, "data", "81", Some("1")), Ok(Entered::Half(PairStream::Data)));
        let pair = StreamPair { data: 5, error: 1, port: 80 };
        assert_eq!(enter(5, "data", "80", Some("0")), Ok(Entered::Whole(PairStream::Data, pair)));
        let pair = StreamPair { data: 3, error: 7, port: 81 };
        assert_eq!(enter(7, "error", "81", Some("1")), Ok(Entered::Whole(PairStream::Error, pair)));
        // Clients that count on the order.
        assert_eq!(enter(9, "error", "80", None), Ok(Entered::Half(PairStream::Error)));
        let pair = StreamPair { data: 11, error: 9, port: 80 };
        assert_eq!(enter(11, "data", "80", None), Ok(Entered::Whole(PairStream::Data, pair)));
        assert!(pairs.halves.is_empty());
    }

    #[test]
    fn what_makes_no_pair_is_refused() {
        let (mut pairs, now) = (HalfPairs::new(PATIENCE), Instant::now());
        let mut enter = |stream, kind, port, id| pairs.enter(stream, &headers(kind, port, id), now);
        for (kind, port) in [("error", "0"), ("error", "65536"), ("data", "-1"), ("data", ""), ("stdin", "80")] {
            assert_eq!(enter(1, kind, port, Some("0")), Err(NoPair));
        }
        assert_eq!(enter(1, "data", "80", None), Err(NoPair));
        // It would be kept for as long as the other half does not come.
        let (longest, longer) = ("x".repeat(REQUEST_ID_BYTES), "x".repeat(REQUEST_ID_BYTES + 1));
        assert_eq!(enter(1, "error", "80", Some(&longer)), Err(NoPair));
        assert_eq!(enter(1, "error", "80", Some(&longest)), Ok(Entered::Half(PairStream::Error)));
        enter(3, "error", "80", Some("0")).unwrap();
        assert_eq!(enter(5, "error", "80", Some("0")), Err(NoPair));
        assert_eq!(enter(5, "data", "81", Some("0")), Err(NoPair));
        assert_eq!(pairs.enter(7, &Headers::default(), now), Err(NoPair));
    }

    #[test]
    fn halves_wait_for_a_while() {
        let (mut pairs, now) = (HalfPairs::new(PATIENCE), Instant::now());
        for (stream, id, after) in [(1, "0", 0), (3, "1", 10), (5, "2", 20)] {
            pairs.enter(stream, &headers("error", "80", Some(id)), now + Duration::from_secs(after)).unwrap();
        }
        pairs.forget(3);
        assert!(pairs.expire(now + Duration::from_secs(29)).is_empty());
        assert_eq!(pairs.expire(now + Duration::from_secs(30)), [1]);
        assert_eq!(pairs.expire(now + Duration::from_secs(60)), [5]);
    }
}
