//! Processor time per second, from two readings of a control group's counter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use peapod_sys::sync::lock;

use crate::bounds;

/// The least time between two readings that give a rate: over less, the steps of the kernel's accounting distort it.
const SHORTEST: Duration = Duration::from_millis(900);

/// So much earlier than it is due a group is read together with others.
const EARLY: Duration = bounds::PROCESSOR_PERIOD.saturating_sub(Duration::from_secs(9));

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

    /// Whether it is time for it, or nearly.
    fn is_due_at(&self, now: Instant) -> bool {
        let early = if self.before.is_some() { EARLY } else { Duration::ZERO };
        self.next() <= now + early
    }

    fn and(&self, reading: Reading) -> Self {
        Self { last: reading, before: Some(self.last).filter(|last| last.used <= reading.used) }
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

    /// Which of these groups are to be read by now; and if one is, with it those that were soon to be.
    pub(super) fn due(&self, groups: &BTreeSet<String>, now: Instant) -> Vec<String> {
        let readings = self.lock();
        let next = |group: &String| readings.get(group).map(Readings::next);
        if groups.iter().all(|group| next(group).is_some_and(|next| next > now)) {
            return Vec::new();
        }
        let is_soon = |group: &&String| readings.get(*group).is_none_or(|readings| readings.is_due_at(now));
        groups.iter().filter(is_soon).cloned().collect()
    }

    /// When the next one of these groups is to be read. One that could not be read is as one that was read just now.
    pub(super) fn next(&self, groups: &BTreeSet<String>) -> Option<Instant> {
        let readings = self.lock();
        let next = |group: &String| readings.get(group).map_or_else(|| Instant::now() + SHORTEST, Readings::next);
        groups.iter().map(next).min()
    }

    /// Keeps what somebody has read who asked for it, if that is old enough to make another reading needless.
    pub(super) fn note(&self, cgroup: &str, reading: Reading) {
        let mut readings = self.lock();
        if let Some(readings) = readings.get_mut(cgroup).filter(|readings| readings.is_due_at(reading.at)) {
            *readings = readings.and(reading);
        }
    }

    pub(super) fn put(&self, cgroup: String, reading: Reading) {
        let mut readings = self.lock();
        let first = Readings { last: reading, before: None };
        let next = readings.get(&cgroup).map_or(first, |before| before.and(reading));
        readings.insert(cgroup, next);
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
        assert_eq!(all.due(&BTreeSet::from(["/b".to_owned()]), start), ["/b"], "it was never read");
        all.retain(&BTreeSet::new());
        assert_eq!(all.rate("/a", reading(9000, 5)), None);
    }

    #[test]
    fn groups_are_read_together_and_not_if_somebody_else_has_read_them() {
        let (all, start) = (Processors::default(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let reading = |seconds, used| Reading { at: at(seconds), used };
        let groups = BTreeSet::from(["/a", "/b"].map(str::to_owned));
        all.put("/a".into(), reading(0, 0));
        assert_eq!(all.due(&groups, start), ["/b"], "the other one was read just now");
        for seconds in [1, 2] {
            all.put("/a".into(), reading(seconds, 0));
            all.put("/b".into(), reading(seconds + 4, 0));
        }
        let period = bounds::PROCESSOR_PERIOD.as_secs();
        assert_eq!(all.next(&groups), Some(at(2 + period)));
        assert_eq!(all.due(&groups, at(1 + period)), <[&str; 0]>::default());
        assert_eq!(all.due(&groups, at(2 + period)), ["/a", "/b"], "nobody is read alone soon after");
        // Somebody asks: soon after a reading that counts for nothing.
        all.note("/a", reading(5, 100));
        assert_eq!(all.rate("/a", reading(6, 400)), Some(100));
        all.note("/a", reading(12, 1000));
        assert_eq!((all.rate("/a", reading(14, 1200)), all.used("/a")), (Some(100), Some(1000)));
        assert_eq!(all.next(&groups), Some(at(6 + period)));
        all.note("/none", reading(5, 100));
        assert_eq!(all.used("/none"), None, "nobody asked to keep it");
    }
}
