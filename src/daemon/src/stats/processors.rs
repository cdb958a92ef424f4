//! Processor time per second, from two readings of a control group's counter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use peapod_sys::sync::lock;

use crate::bounds;

/// The least time between two readings that give a rate: over less, the steps of the kernel's accounting distort it.
const SHORTEST: Duration = Duration::from_millis(900);

/// A reading of a counter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) at: Instant,
    /// Nanoseconds since the group was made.
    pub(crate) used: u64,
}

/// The last two readings of a group.
#[derive(Clone, Copy, Debug)]
struct Readings {
    last: Reading,
    before: Option<Reading>,
}

impl Readings {
    /// When the next one is due: the second soon after the first, so that there is a rate.
    fn next(&self) -> Instant {
        self.last.at + if self.before.is_some() { bounds::PROCESSOR_PERIOD } else { SHORTEST }
    }
}

/// The readings of each control group that has processes. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Processors(Arc<Mutex<BTreeMap<String, Readings>>>);

impl Processors {
    /// Nanoseconds of processor time per second up to this reading; none before there is one that is old enough, or if
    /// the group is another one by now.
    pub(crate) fn rate(&self, cgroup: &str, now: Reading) -> Option<u64> {
        let readings = self.lock();
        let Readings { last, before } = readings.get(cgroup)?;
        let old = [Some(*last), *before].into_iter().flatten();
        let old = old.into_iter().find(|old| now.at.saturating_duration_since(old.at) >= SHORTEST)?;
        let (used, time) = (now.used.checked_sub(old.used)?, now.at.saturating_duration_since(old.at));
        u64::try_from(u128::from(used) * 1_000_000_000 / time.as_nanos().max(1)).ok()
    }

    /// What the last reading of a group has brought.
    pub(super) fn used(&self, cgroup: &str) -> Option<u64> {
        self.lock().get(cgroup).map(|readings| readings.last.used)
    }

    /// Forgets all other groups.
    pub(super) fn retain(&self, groups: &BTreeSet<String>) {
        self.lock().retain(|group, _| groups.contains(group));
    }

    /// Which of these groups are to be read by now.
    pub(super) fn due(&self, groups: &BTreeSet<String>, now: Instant) -> Vec<String> {
        let readings = self.lock();
        let is_due = |group: &&String| readings.get(*group).is_none_or(|readings| readings.next() <= now);
        groups.iter().filter(is_due).cloned().collect()
    }

    /// Whether one of these groups is to be read by now, which are those that were [kept](Self::retain).
    pub(super) fn is_any_due(&self, groups: &BTreeSet<String>, now: Instant) -> bool {
        let readings = self.lock();
        readings.len() < groups.len() || readings.values().any(|readings| readings.next() <= now)
    }

    pub(super) fn put(&self, cgroup: String, reading: Reading) {
        let mut readings = self.lock();
        let before = readings.get(&cgroup).map(|readings| readings.last).filter(|last| last.used <= reading.used);
        readings.insert(cgroup, Readings { last: reading, before });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Readings>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_youngest_reading_that_is_old_enough() {
        let (all, start) = (Processors::default(), Instant::now());
        let reading = |ms: u64, used: u64| Reading { at: start + Duration::from_millis(ms), used };
        let second = 1_000_000_000;
        assert_eq!(all.rate("/a", reading(5000, second)), None);
        all.put("/a".into(), reading(0, 0));
        assert_eq!(all.rate("/a", reading(500, second)), None);
        assert_eq!(all.rate("/a", reading(2000, second)), Some(second / 2));
        all.put("/a".into(), reading(2000, second));
        assert_eq!(all.rate("/a", reading(2001, second)), Some(second * 1000 / 2001));
        assert_eq!(all.rate("/a", reading(4000, 5 * second)), Some(2 * second));
        // A container of the same path that was started anew.
        assert_eq!(all.rate("/a", reading(4000, 5)), None);
        all.put("/a".into(), reading(4000, 5));
        assert_eq!(all.rate("/a", reading(4001, 5)), None);
        let groups = BTreeSet::from(["/a".to_owned()]);
        let soon = start + Duration::from_secs(3);
        assert!(!all.is_any_due(&groups, soon) && all.is_any_due(&groups, soon + bounds::PROCESSOR_PERIOD));
        assert!(all.is_any_due(&BTreeSet::from(["/a".to_owned(), "/b".to_owned()]), soon), "one could not be read");
        assert_eq!(all.due(&BTreeSet::from(["/b".to_owned()]), start), ["/b"], "it was never read");
        all.retain(&BTreeSet::new());
        assert_eq!(all.rate("/a", reading(9000, 5)), None);
    }
}
