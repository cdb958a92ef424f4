//! How often things of several kinds happened.

use std::sync::Arc;

use crate::Counter;

/// A counter for each of the kinds that there are, which are known from the beginning.
#[derive(Clone, Debug)]
pub struct CounterSet(Arc<[(&'static str, Counter)]>);

impl CounterSet {
    /// Of these kinds, each in a word.
    #[must_use]
    pub fn new(kinds: &[&'static str]) -> Self {
        Self(kinds.iter().map(|kind| (*kind, Counter::default())).collect())
    }

    /// One more of a kind. One that there is not counts nowhere.
    pub fn increment(&self, kind: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == kind) {
            counter.increment();
        }
    }

    /// Each kind with its number, in the order of the beginning.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(kind, counter)| (*kind, counter.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_apart() {
        let set = CounterSet::new(&["one", "other"]);
        set.clone().increment("other");
        set.increment("none");
        assert_eq!(set.iter().collect::<Vec<_>>(), [("one", 0), ("other", 1)]);
    }
}
