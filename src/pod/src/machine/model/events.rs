//! What subscribers are told of a life: each thing begins, goes on and ends in its order, and nothing ends untold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{PodEventKind, PodEventSubject};
use crate::publisher::Change;
use crate::view::{ContainerState, PodEntry, PodState};

/// Each thing with the event that it came to last.
type Last = BTreeMap<PodEventSubject, PodEventKind>;

/// A pod is shown otherwise, or no more.
pub(super) fn changed(old: Option<&PodEntry>, new: Option<&PodEntry>) {
    let Some(pod) = old.or(new).map(|entry| entry.pod.id.clone()) else { return };
    let share = |entry: Option<&PodEntry>| entry.cloned().map(Arc::new);
    let change = Change { number: 1, at: 1, pod, old: share(old), new: share(new) };
    let mut last = state(old);
    for event in change.events() {
        let before = last.insert(event.subject.clone(), event.kind);
        let is_next = match (before, event.kind) {
            (None, PodEventKind::Created) | (Some(PodEventKind::Created), PodEventKind::Started) => true,
            // One that could not be started, or was stopped before.
            (Some(PodEventKind::Created | PodEventKind::Started), PodEventKind::Stopped) => true,
            (Some(PodEventKind::Created | PodEventKind::Stopped), PodEventKind::Deleted) => true,
            _ => false,
        };
        assert!(is_next, "{:?}: {:?} is told after {before:?}", event.subject, event.kind);
        if event.kind == PodEventKind::Deleted {
            last.remove(&event.subject);
            assert!(event.subject != PodEventSubject::Pod || last.is_empty(), "a pod goes before {last:?}");
        } else if (&event.subject, event.kind) != (&PodEventSubject::Pod, PodEventKind::Created) {
            // A pod that has only been created is shown as ready, too: there is no third state.
            assert_eq!(state(Some(&event.entry)), last, "the pod as it is after {:?}", event.kind);
        }
    }
    assert_eq!(state(new), last, "what is shown, and what events told");
}

fn state(entry: Option<&PodEntry>) -> Last {
    let Some(entry) = entry else { return Last::new() };
    let pod = match entry.pod.state {
        PodState::Ready => PodEventKind::Started,
        PodState::NotReady => PodEventKind::Stopped,
    };
    let containers = entry.containers.iter().map(|(id, view)| {
        let kind = match view.state {
            ContainerState::Created => PodEventKind::Created,
            ContainerState::Running { .. } => PodEventKind::Started,
            ContainerState::Exited { .. } => PodEventKind::Stopped,
        };
        (PodEventSubject::Container(id.clone()), kind)
    });
    containers.chain([(PodEventSubject::Pod, pod)]).collect()
}
