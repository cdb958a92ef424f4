//! Sizes of writable layers, as last counted.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use peapod_pod::{ContainerId, ContainerState, ContainerView, Snapshot};
use peapod_sys::sync::lock;

use crate::bounds;

/// Time between the first count of a container's layer and the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What a writable layer takes of its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerUsage {
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    /// When it was counted, in nanoseconds since the epoch.
    pub(crate) timestamp: i64,
}

struct LayerSample {
    layer: LayerUsage,
    /// Not everything was seen at the last count.
    partial: bool,
    /// The container's state at the count, without its data.
    state: Discriminant<ContainerState>,
    taken: Instant,
    /// Time until the next count.
    pause: Duration,
}

/// A count that is to be made.
#[derive(Debug)]
pub(crate) struct DueCount {
    pub(crate) id: ContainerId,
    /// The layer's folder and the file system's own beside it.
    pub(crate) dir: PathBuf,
    state: Discriminant<ContainerState>,
}

/// A sample for each container that was counted. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct WritableLayers(Arc<Mutex<BTreeMap<ContainerId, LayerSample>>>);

impl WritableLayers {
    /// The last sample of a container; none before the first count.
    pub(crate) fn of(&self, id: &ContainerId) -> Option<LayerUsage> {
        self.lock().get(id).map(|sample| sample.layer)
    }

    /// The sum of all samples.
    pub(crate) fn total(&self) -> LayerUsage {
        self.lock().values().fold(LayerUsage::default(), |total, LayerSample { layer, .. }| LayerUsage {
            bytes: total.bytes.saturating_add(layer.bytes),
            inodes: total.inodes.saturating_add(layer.inodes),
            timestamp: total.timestamp.max(layer.timestamp),
        })
    }

    /// Forgets containers that are gone, and answers which layer is to be counted next.
    pub(super) fn next(&self, snapshot: &Snapshot) -> Option<DueCount> {
        let mut samples = self.lock();
        samples.retain(|id, _| snapshot.container(id).is_some());
        let due = |view: &&Arc<ContainerView>| samples.get(&view.id).is_none_or(|sample| sample.is_due(&view.state));
        let oldest = snapshot.containers().filter(due).min_by_key(|view| samples.get(&view.id).map(|old| old.taken));
        oldest.map(|view| DueCount {
            id: view.id.clone(),
            dir: view.upper.parent().unwrap_or(&view.upper).to_owned(),
            state: discriminant(&view.state),
        })
    }

    /// Keeps what was counted. True if it is the first time that not everything was seen.
    pub(super) fn put(&self, due: DueCount, mut layer: LayerUsage, whole: bool, cost: Duration) -> bool {
        let mut samples = self.lock();
        let old = samples.get(&due.id);
        let news = !whole && old.is_none_or(|old| !old.partial);
        if let Some(old) = old.filter(|_| !whole) {
            // There is at least what was counted, and more was there before.
            layer.bytes = layer.bytes.max(old.layer.bytes);
            layer.inodes = layer.inodes.max(old.layer.inodes);
        }
        // A container that has just begun writes most: it is counted again soon, then less and less often.
        let usual = old.filter(|old| old.state == due.state).map_or(FIRST_PAUSE, |old| old.pause * 2);
        let pause = usual.min(bounds::LAYER_PERIOD).max(cost * bounds::LAYER_COST_PARTS);
        let sample = LayerSample { layer, partial: !whole, state: due.state, taken: Instant::now(), pause };
        samples.insert(due.id, sample);
        news
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, LayerSample>> {
        lock(&self.0)
    }
}

impl LayerSample {
    /// A layer changes only while its container runs.
    fn is_due(&self, state: &ContainerState) -> bool {
        let again = matches!(state, ContainerState::Running { .. }) || self.partial;
        self.state != discriminant(state) || (again && self.taken.elapsed() >= self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: ContainerState = ContainerState::Running { pid: 1, started_at: 1 };

    fn id(letter: &str) -> ContainerId {
        serde_json::from_value(serde_json::json!(letter.repeat(64))).unwrap()
    }

    fn put(all: &WritableLayers, letter: &str, state: &ContainerState, bytes: u64, whole: bool) -> bool {
        let due = DueCount { id: id(letter), dir: PathBuf::new(), state: discriminant(state) };
        all.put(due, LayerUsage { bytes, inodes: bytes / 10, timestamp: 1 }, whole, Duration::from_millis(1))
    }

    fn pause(all: &WritableLayers, letter: &str) -> Duration {
        all.lock()[&id(letter)].pause
    }

    #[test]
    fn a_count_that_was_cut_short_lowers_nothing_and_is_told_once() {
        let all = WritableLayers::default();
        assert!(!put(&all, "a", &RUNNING, 1000, true));
        assert!(put(&all, "a", &RUNNING, 200, false), "the first one that was cut short");
        assert!(!put(&all, "a", &RUNNING, 300, false));
        assert_eq!(all.of(&id("a")), Some(LayerUsage { bytes: 1000, inodes: 100, timestamp: 1 }));
        assert!(!put(&all, "a", &RUNNING, 500, true));
        assert!(!put(&all, "b", &RUNNING, 20, true));
        assert_eq!(all.total(), LayerUsage { bytes: 520, inodes: 52, timestamp: 1 });
        assert_eq!(all.of(&id("c")), None);
    }

    #[test]
    fn counts_come_less_and_less_often_until_something_happens() {
        let all = WritableLayers::default();
        let pauses: Vec<u64> = (0..6)
            .map(|_| {
                put(&all, "a", &RUNNING, 1, true);
                pause(&all, "a").as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        let ended = ContainerState::Exited {
            started_at: 1,
            finished_at: 2,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
        };
        assert!(all.lock()[&id("a")].is_due(&ended), "it may have written since");
        put(&all, "a", &ended, 1, true);
        assert_eq!(pause(&all, "a"), FIRST_PAUSE);
        assert!(!all.lock()[&id("a")].is_due(&ended), "it writes no more");
    }
}
