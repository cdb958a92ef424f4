//! What the runtime's side counts of plugins.

use peapod_measure::{Counter, CounterSet};

use crate::call::PluginCallError;

/// How a call of a plugin ended.
const OUTCOMES: [&str; 5] = ["answered", "refused", "timed_out", "closed", "nonsense"];

/// Of all plugins. Clones share it.
#[derive(Clone, Debug)]
pub struct NriMeasures {
    /// Calls of plugins that are over, by how they ended.
    pub calls: CounterSet,
    /// What was not done because of plugins, or of rules about them, by why.
    pub refusals: CounterSet,
    /// Connections that did not become plugins that are called.
    pub turned_away: Counter,
    /// Installed plugins that were started.
    pub starts: Counter,
    /// Changes of limits of other containers than the one that was asked about, and those of them that failed.
    pub updates: Counter,
    /// Those that failed.
    pub failed_updates: Counter,
    /// Containers that plugins wanted to be stopped.
    pub evictions: Counter,
}

impl Default for NriMeasures {
    fn default() -> Self {
        Self {
            calls: CounterSet::new(&OUTCOMES),
            refusals: CounterSet::new(&RefusalReason::ALL.map(RefusalReason::word)),
            turned_away: Counter::default(),
            starts: Counter::default(),
            updates: Counter::default(),
            failed_updates: Counter::default(),
            evictions: Counter::default(),
        }
    }
}

impl NriMeasures {
    pub(crate) fn count_call<T>(&self, result: &Result<T, PluginCallError>) {
        self.calls.increment(match result {
            Ok(_) => "answered",
            Err(PluginCallError::Refused { .. } | PluginCallError::TooLong(_)) => "refused",
            Err(PluginCallError::TimedOut(_)) => "timed_out",
            Err(PluginCallError::Closed(_)) => "closed",
            Err(PluginCallError::Malformed) => "nonsense",
        });
    }

    /// Something is not done.
    pub fn count_refusal(&self, reason: RefusalReason) {
        self.refusals.increment(reason.word());
    }
}

/// Why something is not done that plugins were asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// A plugin does not want it.
    Plugin,
    /// Two plugins want different things.
    Conflict,
    /// A plugin that is required is not there.
    Required,
    /// Plugins changed what the configuration forbids.
    Forbidden,
    /// They want what can't be done.
    Impossible,
}

impl RefusalReason {
    const ALL: [Self; 5] = [Self::Plugin, Self::Conflict, Self::Required, Self::Forbidden, Self::Impossible];

    fn word(self) -> &'static str {
        match self {
            Self::Plugin => "plugin",
            Self::Conflict => "conflict",
            Self::Required => "required",
            Self::Forbidden => "forbidden",
            Self::Impossible => "impossible",
        }
    }
}
