//! Changes that wait for subscribers: once for all of them, and no more than there is room for. Who has not taken what
//! makes way for newer ones is lost to the sequence, and holds nothing any more.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use peapod_measure::Counter;
use serde::Serialize;
use tokio::sync::watch;

use crate::bounds::{CHANGES_KEPT, CHANGES_KEPT_BYTES};
use crate::id::{ContainerId, PodId};
use crate::view::{ContainerView, PodEntry, PodView};

/// A view, with its names and paths, without what was asked for.
const VIEW_BYTES: u64 = 2 << 10;

/// What one change made of a pod: no more than what is otherwise than before.
#[derive(Debug)]
pub(super) struct Delta {
    pub(super) number: u64,
    /// Nanoseconds since the epoch.
    pub(super) at: i64,
    pub(super) pod: PodId,
    /// None: it is not shown any more.
    pub(super) shown: Option<PodView>,
    /// Those that are shown otherwise; none in the place of those that are shown no more.
    pub(super) containers: Vec<(ContainerId, Option<Arc<ContainerView>>)>,
    bytes: u64,
}

impl Delta {
    pub(super) fn new(number: u64, at: i64, pod: PodId, old: Option<&Arc<PodEntry>>, new: Option<&PodEntry>) -> Self {
        let mut containers = Vec::new();
        let is_known = |spec| old.is_some_and(|old| Arc::ptr_eq(&old.pod.spec, spec));
        let mut bytes =
            VIEW_BYTES + new.map_or(0, |new| if is_known(&new.pod.spec) { 0 } else { length(&*new.pod.spec) });
        for (id, view) in new.iter().flat_map(|new| &new.containers) {
            let before = old.and_then(|old| old.containers.get(id));
            if !before.is_some_and(|before| Arc::ptr_eq(before, view)) {
                containers.push((id.clone(), Some(Arc::clone(view))));
                let is_known = before.is_some_and(|before| Arc::ptr_eq(&before.spec, &view.spec));
                bytes += VIEW_BYTES + if is_known { 0 } else { length(&*view.spec) };
            }
        }
        if let Some(new) = new {
            let gone = old.iter().flat_map(|old| old.containers.keys()).filter(|id| !new.containers.contains_key(*id));
            containers.extend(gone.map(|id| (id.clone(), None)));
        }
        Self { number, at, pod, shown: new.map(|new| new.pod.clone()), containers, bytes }
    }
}

/// Of what was asked for, as its record has it: what nobody else holds once it is another.
fn length(spec: &impl Serialize) -> u64 {
    let mut count = ByteCount(0);
    // A counter takes everything.
    let _ = serde_json::to_writer(&mut count, spec);
    count.0
}

struct ByteCount(u64);

impl io::Write for ByteCount {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A subscriber was too slow: so many changes are lost to it, and all that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} changes came faster than they were taken, and are lost: begin again with what is now")]
pub struct Lagged(pub u64);

/// How far a subscriber is.
#[derive(Clone, Copy, Debug)]
enum SubscriberPlace {
    /// It has taken all up to this one.
    Taken(u64),
    /// The same, and what followed is lost to it.
    Lost(u64),
}

/// Of all subscribers, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    /// Number of the last change.
    last: u64,
    /// The last ones, without a gap.
    kept: VecDeque<Arc<Delta>>,
    /// What these take.
    bytes: u64,
    places: BTreeMap<u64, SubscriberPlace>,
    /// Of the last subscriber.
    newest: u64,
    /// Subscribers that were too slow.
    dropped: Counter,
}

impl ChangeLog {
    /// Number of the last change before it, and its own.
    pub(super) fn add_subscriber(&mut self) -> (u64, u64) {
        self.newest += 1;
        self.places.insert(self.newest, SubscriberPlace::Taken(self.last));
        (self.last, self.newest)
    }

    /// One more change.
    pub(super) fn push(&mut self, delta: impl FnOnce(u64) -> Delta) {
        self.last += 1;
        if !self.places.values().any(|place| matches!(place, SubscriberPlace::Taken(_))) {
            return;
        }
        let delta = delta(self.last);
        self.bytes = self.bytes.saturating_add(delta.bytes);
        self.kept.push_back(Arc::new(delta));
        while self.kept.len() > CHANGES_KEPT || self.bytes > CHANGES_KEPT_BYTES {
            let Some(oldest) = self.kept.front().map(|delta| delta.number) else { break };
            for place in self.places.values_mut() {
                if let SubscriberPlace::Taken(taken) = *place
                    && taken < oldest
                {
                    *place = SubscriberPlace::Lost(taken);
                    self.dropped.increment();
                }
            }
            self.trim();
        }
    }

    /// What everybody has taken who is not lost makes way.
    fn trim(&mut self) {
        let taken = self.places.values().filter_map(|place| match place {
            SubscriberPlace::Taken(taken) => Some(*taken),
            SubscriberPlace::Lost(_) => None,
        });
        let all = taken.min().unwrap_or(self.last);
        while let Some(oldest) = self.kept.front().filter(|delta| delta.number <= all) {
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            self.kept.pop_front();
        }
    }
}

/// The log, for those who publish and those who read.
#[derive(Debug, Default)]
pub(super) struct Changes {
    log: Mutex<ChangeLog>,
    news: watch::Sender<()>,
}

impl Changes {
    pub(super) fn lock(&self) -> MutexGuard<'_, ChangeLog> {
        // A number is never half-counted.
        peapod_sys::sync::lock(&self.log)
    }

    /// How many subscribers were too slow.
    pub(super) fn dropped(&self) -> Counter {
        self.lock().dropped.clone()
    }

    /// There is something new.
    pub(super) fn tell(&self) {
        self.news.send_replace(());
    }

    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// The next change for a subscriber; none if it has all.
    pub(super) fn take(&self, subscriber: u64) -> Result<Option<Arc<Delta>>, Lagged> {
        let mut log = self.lock();
        let last = log.last;
        let next = match log.places.get_mut(&subscriber) {
            Some(SubscriberPlace::Lost(taken)) => return Err(Lagged(last - *taken)),
            Some(SubscriberPlace::Taken(taken)) if *taken < last => {
                *taken += 1;
                *taken
            }
            _ => return Ok(None),
        };
        let ahead = log.kept.front().map_or(0, |first| next - first.number);
        let delta = usize::try_from(ahead).ok().and_then(|ahead| log.kept.get(ahead)).cloned();
        log.trim();
        Ok(delta)
    }

    pub(super) fn remove_subscriber(&self, subscriber: u64) {
        let mut log = self.lock();
        log.places.remove(&subscriber);
        log.trim();
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.lock().kept.len()
    }
}
