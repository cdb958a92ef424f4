//! Work on a thread of its own that nobody waits for any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says to who works, until it is dropped, that somebody waits.
#[derive(Debug, Default)]
pub struct Wanted(Cancelled);

impl Wanted {
    /// What the one who works looks at.
    #[must_use]
    pub fn cancelled(&self) -> Cancelled {
        self.0.clone()
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Looked at by who works, set by who gives up.
#[derive(Clone, Debug, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// Whether nobody waits any more.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_wanted_until_it_is_dropped() {
        let wanted = Wanted::default();
        let cancelled = wanted.cancelled();
        assert!(!cancelled.is_set());
        drop(wanted);
        assert!(cancelled.is_set());
    }
}
