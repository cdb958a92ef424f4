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

/// Who counts a layer. Each counts one at a time, so one that takes long holds up none that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LayerCounter {
    /// Those that take less than [`bounds::LAYER_SHORT_WALK`], and those of which nobody knows yet.
    Short,
    /// Those that took longer.
    Long,
}

impl LayerCounter {
    /// Time for one count.
    pub(super) fn limit(self) -> Duration {
        match self {
            Self::Short => bounds::LAYER_SHORT_WALK,
            Self::Long => bounds::LAYER_WALK,
        }
    }
}

/// How much of a layer the last count has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coverage {
    All,
    /// What there was time for.
    Part,
    /// The same, and [`LayerCounter::Long`] is to see the rest.
    HandedOn,
}

/// What a count ended with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count {
    pub(super) layer: LayerUsage,
    /// Everything was seen.
    pub(super) whole: bool,
    /// Time that it took.
    pub(super) cost: Duration,
}

/// Time of processors, as far as it is known: of a container, and of its pod with everything in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LayerProcessors {
    pub(super) container: Option<u64>,
    pub(super) pod: Option<u64>,
}

struct LayerSample {
    layer: LayerUsage,
    seen: Coverage,
    /// The container's state at the count, without its data.
    state: Discriminant<ContainerState>,
    /// Known to have been used at the count.
    used: LayerProcessors,
    taken: Instant,
    /// Time until the next count.
    pause: Duration,
    /// Who makes that.
    counter: LayerCounter,
}

/// A count that is to be made.
#[derive(Debug)]
pub(crate) struct DueCount {
    pub(crate) id: ContainerId,
    /// The layer's folder and the file system's own beside it.
    pub(crate) dir: PathBuf,
    state: Discriminant<ContainerState>,
    used: LayerProcessors,
    pub(super) counter: LayerCounter,
}

/// Which layers are to be counted.
#[derive(Debug)]
pub(crate) struct DueCounts {
    /// Now; the most urgent first.
    pub(super) now: Vec<DueCount>,
    /// When the next one is, if nothing happens.
    pub(super) next: Option<Instant>,
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

    /// Forgets containers that are gone, and answers which layers `counter` is to count next, the most urgent first:
    /// those that were never counted, then those counted longest ago. Of those that take long one. `used` tells what is
    /// known to have been used by now.
    pub(super) fn due(
        &self,
        snapshot: &Snapshot,
        counter: LayerCounter,
        used: impl Fn(&ContainerView) -> LayerProcessors,
    ) -> DueCounts {
        let now = Instant::now();
        let mut samples = self.lock();
        if counter == LayerCounter::Short {
            samples.retain(|id, _| snapshot.container(id).is_some());
        }
        let next = |view: &Arc<ContainerView>| match samples.get(&view.id) {
            None => (counter == LayerCounter::Short).then_some(now),
            Some(sample) if sample.counter == counter => sample.next(now, &view.state, || used(view)),
            Some(_) => None,
        };
        // Those that take long are few, if any.
        if counter == LayerCounter::Long && samples.values().all(|sample| sample.counter != counter) {
            return DueCounts { now: Vec::new(), next: None };
        }
        let times = snapshot.containers().filter_map(|view| Some((view, next(view)?)));
        let (due, later): (Vec<_>, Vec<_>) = times.partition(|(_, time)| *time <= now);
        let next = later.into_iter().map(|(_, time)| time).min();
        let mut due: Vec<_> = due.into_iter().map(|(view, _)| view).collect();
        due.sort_by_key(|view| samples.get(&view.id).map(|old| old.taken));
        if counter == LayerCounter::Long {
            due.truncate(1);
        }
        let count = |view: &Arc<ContainerView>| DueCount {
            id: view.id.clone(),
            dir: view.upper.parent().unwrap_or(&view.upper).to_owned(),
            state: discriminant(&view.state),
            used: used(view),
            counter,
        };
        DueCounts { now: due.into_iter().map(count).collect(), next }
    }

    /// Keeps what was counted. True if it is the first time that not everything was seen.
    pub(super) fn put(&self, due: DueCount, count: Count) -> bool {
        let Count { mut layer, whole, cost } = count;
        let mut samples = self.lock();
        let old = samples.get(&due.id);
        if let Some(old) = old.filter(|_| !whole) {
            // There is at least what was counted, and more was there before.
            layer.bytes = layer.bytes.max(old.layer.bytes);
            layer.inodes = layer.inodes.max(old.layer.inodes);
        }
        let counter = if cost < bounds::LAYER_SHORT_WALK { LayerCounter::Short } else { LayerCounter::Long };
        let seen = match (whole, due.counter, counter) {
            (true, ..) => Coverage::All,
            (false, LayerCounter::Short, LayerCounter::Long) => Coverage::HandedOn,
            (false, ..) => Coverage::Part,
        };
        let news = seen == Coverage::Part && old.is_none_or(|old| old.seen != Coverage::Part);
        // A container that has just begun writes most: it is counted again soon, then less and less often.
        let usual = old.filter(|old| old.state == due.state).map_or(FIRST_PAUSE, |old| old.pause * 2);
        let pause = usual.min(bounds::LAYER_PERIOD).max(cost * bounds::LAYER_COST_PARTS);
        let DueCount { state, used, .. } = due;
        let sample = LayerSample { layer, seen, state, used, taken: Instant::now(), pause, counter };
        samples.insert(due.id, sample);
        news
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, LayerSample>> {
        lock(&self.0)
    }
}

impl LayerSample {
    /// When it is to be counted again, or to be looked at again whether it is; none as long as nothing happens. A layer
    /// changes only while its container runs, and by what runs in its pod.
    fn next(&self, now: Instant, state: &ContainerState, used: impl Fn() -> LayerProcessors) -> Option<Instant> {
        let soon = self.taken + self.pause;
        match self.seen {
            _ if self.state != discriminant(state) => Some(now),
            Coverage::HandedOn => Some(now),
            Coverage::Part => Some(soon),
            Coverage::All if !matches!(state, ContainerState::Running { .. }) => None,
            // Soon after its begin, too: what it uses is read every ten seconds.
            Coverage::All if now < soon || self.pause < bounds::LAYER_PERIOD => Some(soon),
            Coverage::All => {
                let used = used();
                let is_idle = |then: Option<u64>, now| then.is_some() && then == now;
                let look = now + bounds::LAYER_PERIOD;
                let period = match is_idle(self.used.pod, used.pod) {
                    true => bounds::LAYER_IDLE_POD_PERIOD,
                    false => bounds::LAYER_IDLE_PERIOD,
                };
                // Those that do nothing are looked at together, and counted at the look that is nearest to their time.
                let idle = self.taken + period;
                let has_run = !is_idle(self.used.container, used.container);
                Some(if has_run || idle <= now + bounds::LAYER_PERIOD / 2 { now } else { look })
            }
        }
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
        put_by(all, LayerCounter::Short, letter, state, bytes, whole, Duration::from_millis(1))
    }

    fn put_by(
        all: &WritableLayers,
        counter: LayerCounter,
        letter: &str,
        state: &ContainerState,
        bytes: u64,
        whole: bool,
        cost: Duration,
    ) -> bool {
        let used = LayerProcessors { container: Some(7), pod: Some(9) };
        let due = DueCount { id: id(letter), dir: PathBuf::new(), state: discriminant(state), used, counter };
        all.put(due, Count { layer: LayerUsage { bytes, inodes: bytes / 10, timestamp: 1 }, whole, cost })
    }

    fn is_due(sample: &LayerSample, state: &ContainerState, container: Option<u64>) -> bool {
        is_due_with(sample, state, LayerProcessors { container, pod: Some(10) })
    }

    fn is_due_with(sample: &LayerSample, state: &ContainerState, used: LayerProcessors) -> bool {
        let now = Instant::now();
        sample.next(now, state, || used).is_some_and(|next| next <= now)
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
        assert!(is_due(&all.lock()[&id("a")], &ended, None), "it may have written since");
        put(&all, "a", &ended, 1, true);
        assert_eq!(pause(&all, "a"), FIRST_PAUSE);
        assert!(!is_due(&all.lock()[&id("a")], &ended, None), "it writes no more");
    }

    #[test]
    fn who_has_not_run_has_not_written() {
        let all = WritableLayers::default();
        let is_due_after = |age: Duration, used| {
            let mut samples = all.lock();
            let sample = samples.get_mut(&id("a")).unwrap();
            sample.taken = Instant::now().checked_sub(age).unwrap();
            is_due(sample, &RUNNING, used)
        };
        put(&all, "a", &RUNNING, 1, true);
        assert!(is_due_after(FIRST_PAUSE, Some(7)), "it has just begun, and nobody knows what it has used");
        for _ in 0..5 {
            put(&all, "a", &RUNNING, 1, true);
        }
        let period = bounds::LAYER_PERIOD;
        assert!(is_due_after(period, Some(8)) && is_due_after(period, None) && !is_due_after(period / 2, Some(8)));
        assert!(!is_due_after(period, Some(7)) && is_due_after(bounds::LAYER_IDLE_PERIOD, Some(7)));
        let is_due_in_idle_pod = |age: Duration, pod| {
            let mut samples = all.lock();
            let sample = samples.get_mut(&id("a")).unwrap();
            sample.taken = Instant::now().checked_sub(age).unwrap();
            is_due_with(sample, &RUNNING, LayerProcessors { container: Some(7), pod })
        };
        let (idle, idle_pod) = (bounds::LAYER_IDLE_PERIOD, bounds::LAYER_IDLE_POD_PERIOD);
        assert!(!is_due_in_idle_pod(idle, Some(9)) && is_due_in_idle_pod(idle_pod, Some(9)));
        assert!(is_due_in_idle_pod(idle, Some(10)) && is_due_in_idle_pod(idle, None), "another may have written there");
    }

    #[test]
    fn a_layer_that_takes_long_is_handed_on_and_comes_back() {
        const LONG: Duration = bounds::LAYER_SHORT_WALK;
        let all = WritableLayers::default();
        let sample = |look: fn(&LayerSample) -> bool| look(&all.lock()[&id("a")]);
        assert!(!put_by(&all, LayerCounter::Short, "a", &RUNNING, 100, false, LONG), "it will be seen whole");
        assert_eq!(all.of(&id("a")).map(|layer| layer.bytes), Some(100), "a lower bound until then");
        assert!(sample(|sample| sample.counter == LayerCounter::Long && is_due(sample, &RUNNING, None)), "at once");
        assert!(!put_by(&all, LayerCounter::Long, "a", &RUNNING, 1000, true, LONG * 3));
        assert!(sample(|sample| sample.counter == LayerCounter::Long && !is_due(sample, &RUNNING, None)));
        assert!(put_by(&all, LayerCounter::Long, "a", &RUNNING, 500, false, bounds::LAYER_WALK), "not even there");
        assert!(!put_by(&all, LayerCounter::Long, "a", &RUNNING, 500, false, bounds::LAYER_WALK), "told once");
        assert!(!put_by(&all, LayerCounter::Long, "a", &RUNNING, 10, true, LONG / 2));
        assert!(sample(|sample| sample.counter == LayerCounter::Short));
    }
}
