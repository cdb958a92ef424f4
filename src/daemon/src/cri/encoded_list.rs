//! Lists of all pods and of all containers as they are encoded, kept for who asks next. A kubelet asks for both each
//! second, and mostly nothing has changed: then nothing is encoded. What has changed is encoded alone.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use peapod_api::{Encoded, v1};
use peapod_pod::{ContainerView, PodEntry, Snapshot};
use peapod_sys::sync::lock;
use prost::Message;

use super::convert::{container, pod_sandbox};

/// The one field of a list's message.
const ENTRIES: u32 = 1;

/// What a list has entries of. One that is the same object is encoded to the same.
pub(crate) trait ListItem: Sized + 'static {
    /// An entry.
    type Entry: Message;
    /// The whole list.
    type List;

    fn all(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Self>>;
    fn entry(&self) -> Self::Entry;
}

impl ListItem for ContainerView {
    type Entry = v1::Container;
    type List = v1::ListContainersResponse;

    fn all(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Self>> {
        snapshot.containers()
    }

    fn entry(&self) -> v1::Container {
        container(self)
    }
}

impl ListItem for PodEntry {
    type Entry = v1::PodSandbox;
    type List = v1::ListPodSandboxResponse;

    fn all(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Self>> {
        snapshot.pods()
    }

    fn entry(&self) -> v1::PodSandbox {
        pod_sandbox(&self.pod)
    }
}

/// The two lists.
#[derive(Default)]
pub(crate) struct EncodedLists {
    pub(crate) containers: LastList<ContainerView>,
    pub(crate) pods: LastList<PodEntry>,
}

/// The list that was asked for last. It takes no more memory than its message, which has a bound.
pub(crate) struct LastList<T>(Mutex<Option<Arc<EncodedList<T>>>>);

impl<T> Default for LastList<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: ListItem> LastList<T> {
    /// All that there is in a snapshot.
    pub(crate) fn of(&self, snapshot: &Arc<Snapshot>) -> Arc<EncodedList<T>> {
        let before = lock(&self.0).clone();
        match before {
            Some(list) if Arc::ptr_eq(&list.of, snapshot) => list,
            before => {
                let list = Arc::new(EncodedList::new(snapshot, before.as_deref()));
                *lock(&self.0) = Some(Arc::clone(&list));
                list
            }
        }
    }
}

/// All entries of a snapshot, one behind the other, as fields of the list's message.
pub(crate) struct EncodedList<T> {
    of: Arc<Snapshot>,
    /// Where each is.
    entries: Vec<(Arc<T>, Range<usize>)>,
    bytes: Bytes,
}

impl<T: ListItem> EncodedList<T> {
    fn new(snapshot: &Arc<Snapshot>, before: Option<&Self>) -> Self {
        let known: HashMap<_, _> = before.into_iter().flat_map(Self::known).collect();
        let (mut entries, mut bytes) = (Vec::new(), Vec::with_capacity(before.map_or(0, |list| list.bytes.len())));
        for entry in T::all(snapshot) {
            let begin = bytes.len();
            match known.get(&Arc::as_ptr(entry)) {
                Some(encoded) => bytes.extend_from_slice(encoded),
                None => prost::encoding::message::encode(ENTRIES, &entry.entry(), &mut bytes),
            }
            entries.push((Arc::clone(entry), begin..bytes.len()));
        }
        Self { of: Arc::clone(snapshot), entries, bytes: bytes.into() }
    }

    /// What each is encoded to. As long as the list has an entry, nothing else is where that is.
    fn known(&self) -> impl Iterator<Item = (*const T, &[u8])> {
        self.entries.iter().filter_map(|(entry, range)| Some((Arc::as_ptr(entry), self.bytes.get(range.clone())?)))
    }

    /// All entries.
    pub(crate) fn all(&self) -> Encoded<T::List> {
        Encoded::from_bytes(self.bytes.clone())
    }

    /// Some of the snapshot's entries, in their order there.
    pub(crate) fn some<'a>(&self, some: impl Iterator<Item = &'a Arc<T>>) -> Encoded<T::List> {
        let (mut entries, mut bytes) = (self.entries.iter(), Vec::new());
        for wanted in some {
            let found = entries.find(|(entry, _)| Arc::ptr_eq(entry, wanted));
            bytes.extend_from_slice(found.and_then(|(_, range)| self.bytes.get(range.clone())).unwrap_or_default());
        }
        Encoded::from_bytes(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use peapod_pod::{ContainerState, PodId, PodState};
    use serde_json::json;

    use super::super::convert::{test_container_view, test_pod_view};
    use super::*;

    /// Numbers without order, the same in each run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % end
        }
    }

    fn pod_id(number: u64) -> PodId {
        serde_json::from_value(json!(format!("{number:064x}"))).unwrap()
    }

    fn any_container(numbers: &mut Numbers, pod: u64, number: u64) -> Arc<ContainerView> {
        let mut view = test_container_view(match numbers.below(3) {
            0 => ContainerState::Created,
            1 => ContainerState::Running { pid: 1, started_at: 5 },
            _ => ContainerState::Exited {
                started_at: 1,
                finished_at: 2,
                exit_code: 3,
                reason: "Error".into(),
                message: String::new(),
            },
        });
        view.id = serde_json::from_value(json!(format!("{:064x}", pod * 10 + number))).unwrap();
        (view.pod, view.created_at) = (pod_id(pod), numbers.0.cast_signed());
        let spec = Arc::make_mut(&mut view.spec);
        spec.labels = (0..numbers.below(3)).map(|key| (key.to_string(), "v".repeat(200))).collect();
        Arc::new(view)
    }

    fn any_pod(numbers: &mut Numbers, number: u64) -> Arc<PodEntry> {
        let mut pod = test_pod_view();
        (pod.id, pod.created_at) = (pod_id(number), numbers.0.cast_signed());
        pod.state = if numbers.below(2) == 0 { PodState::Ready } else { PodState::NotReady };
        let containers = (0..numbers.below(4)).map(|at| any_container(numbers, number, at));
        let containers: BTreeMap<_, _> = containers.map(|view| (view.id.clone(), view)).collect();
        Arc::new(PodEntry { pod, containers })
    }

    /// Another moment: pods came, went, were changed, or changed in one container.
    fn changed(numbers: &mut Numbers, before: &Snapshot) -> Arc<Snapshot> {
        let mut pods: BTreeMap<_, _> = before.pods().map(|entry| (entry.pod.id.clone(), Arc::clone(entry))).collect();
        for _ in 0..numbers.below(4) {
            let number = numbers.below(12);
            match numbers.below(3) {
                0 => drop(pods.remove(&pod_id(number))),
                1 => drop(pods.insert(pod_id(number), any_pod(numbers, number))),
                _ => {
                    let at = numbers.below(4);
                    if let Some(entry) = pods.get_mut(&pod_id(number)) {
                        let view = any_container(numbers, number, at);
                        Arc::make_mut(entry).containers.insert(view.id.clone(), view);
                    }
                }
            }
        }
        Arc::new(pods.into_values().collect())
    }

    fn fresh<T: ListItem>(entries: impl Iterator<Item = Arc<T>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        entries.for_each(|entry| prost::encoding::message::encode(ENTRIES, &entry.entry(), &mut bytes));
        bytes
    }

    #[test]
    fn what_is_kept_is_what_is_encoded_anew_whatever_happens() {
        let (lists, mut numbers, mut snapshot) = (EncodedLists::default(), Numbers(1), Arc::<Snapshot>::default());
        for _ in 0..2000 {
            snapshot = changed(&mut numbers, &snapshot);
            let (containers, pods) = (lists.containers.of(&snapshot), lists.pods.of(&snapshot));
            assert_eq!(*containers.all().bytes(), fresh(snapshot.containers().cloned()));
            assert_eq!(*pods.all().bytes(), fresh(snapshot.pods().cloned()));
            let is_running = |view: &&Arc<ContainerView>| matches!(view.state, ContainerState::Running { .. });
            let running = snapshot.containers().filter(is_running);
            let running: Vec<_> = running.collect();
            let some = containers.some(running.iter().copied());
            assert_eq!(*some.bytes(), fresh(running.into_iter().cloned()));
            let last = snapshot.pods().last();
            assert_eq!(*pods.some(last.into_iter()).bytes(), fresh(last.cloned().into_iter()));
        }
        // A list is what its message is encoded to.
        let containers = snapshot.containers().map(|view| container(view)).collect();
        let message = v1::ListContainersResponse { containers };
        assert!(!message.containers.is_empty());
        assert_eq!(lists.containers.of(&snapshot).all(), Encoded::from(message));
    }

    #[test]
    fn the_same_moment_is_encoded_once() {
        let (lists, snapshot) = (EncodedLists::default(), changed(&mut Numbers(3), &Snapshot::default()));
        let first = lists.pods.of(&snapshot);
        assert!(Arc::ptr_eq(&first, &lists.pods.of(&snapshot)));
        let same = Arc::new(Snapshot::clone(&snapshot));
        assert!(
            !Arc::ptr_eq(&first, &lists.pods.of(&same)),
            "who is asked for another moment does not answer this one"
        );
    }
}
