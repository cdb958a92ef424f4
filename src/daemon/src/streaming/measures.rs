//! What is counted of sessions and of their server.

use peapod_measure::{Counter, CounterSet, Gauge};

/// Words for the kinds of sessions, as URLs have them.
const KINDS: [&str; 3] = ["exec", "attach", "portforward"];

/// Of all streaming servers of this daemon.
#[derive(Clone, Debug)]
pub(crate) struct SessionMeasures {
    /// Clients were promised a session.
    pub(crate) promised: CounterSet,
    /// Those that have not come yet.
    pub(crate) pending: Gauge,
    /// They came, and their sessions began.
    pub(crate) opened: CounterSet,
    /// They came, and there was no session.
    pub(crate) failures: CounterSet,
    /// Servers that accepted clients.
    pub(crate) server_starts: Counter,
}

impl Default for SessionMeasures {
    fn default() -> Self {
        Self {
            promised: CounterSet::new(&KINDS),
            pending: Gauge::default(),
            opened: CounterSet::new(&KINDS),
            failures: CounterSet::new(&KINDS),
            server_starts: Counter::default(),
        }
    }
}
