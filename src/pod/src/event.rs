//! What happens to pods and containers, told one thing at a time: a change of what lists show as the events that make
//! it up. Pure.
//!
//! A commit may take several steps of a pod to the disk at once, and then they are shown as one change. Each is an
//! event of its own all the same, and has the pod as it was right after that step.

use std::sync::Arc;
use std::vec;

use crate::id::ContainerId;
use crate::publisher::Change;
use crate::view::{ContainerState, ContainerView, PodEntry, PodState};

/// What happened, with the whole pod as it was right after that.
#[derive(Clone, Debug)]
pub struct PodEvent {
    /// When it was shown first, in nanoseconds since the epoch. Events of one change have the same.
    pub at: i64,
    /// What.
    pub kind: PodEventKind,
    /// To whom.
    pub subject: PodEventSubject,
    /// The pod after it. Of a pod that is gone, as it was last, without containers.
    pub entry: Arc<PodEntry>,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodEventKind {
    /// It is there, without a process.
    Created,
    /// A container runs; a pod is ready.
    Started,
    /// A container has ended; a pod is not ready any more.
    Stopped,
    /// It is there no more.
    Deleted,
}

/// Whom an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodEventSubject {
    /// The pod itself.
    Pod,
    /// One of its containers.
    Container(ContainerId),
}

impl Change {
    /// The events that it consists of, in their order: a pod's beginning comes before those of its containers, its end
    /// after them. None if only something has changed of which no event tells, such as a limit.
    #[must_use]
    pub fn events(&self) -> PodEvents {
        match (&self.old, &self.new) {
            (old, Some(new)) => shown(self.at, old.as_ref(), new),
            (Some(old), None) => gone(self.at, old),
            (None, None) => PodEvents::default(),
        }
    }
}

/// Events of one pod, each made when it is asked for: a pod may have thousands of containers, and each event has all of
/// them.
#[derive(Debug, Default)]
pub struct PodEvents {
    at: i64,
    /// The pod after the last event that was made; none if there is no event.
    entry: Option<Arc<PodEntry>>,
    steps: vec::IntoIter<PodEventStep>,
}

/// What becomes of a pod, and is told as an event.
#[derive(Debug)]
enum PodEventStep {
    /// Nothing: it is so.
    Present(PodEventKind, PodEventSubject),
    /// The pod has this state.
    Pod(PodEventKind, PodState),
    /// A container is so.
    Container(Arc<ContainerView>),
    /// A container is there no more.
    ContainerGone(ContainerId),
}

impl PodEvents {
    fn new(at: i64, first: Arc<PodEntry>, steps: Vec<PodEventStep>) -> Self {
        Self { at, entry: Some(first), steps: steps.into_iter() }
    }
}

impl Iterator for PodEvents {
    type Item = PodEvent;

    fn next(&mut self) -> Option<PodEvent> {
        let entry = self.entry.as_mut()?;
        let (kind, subject) = match self.steps.next()? {
            PodEventStep::Present(kind, subject) => (kind, subject),
            PodEventStep::Pod(kind, state) => {
                // Copied only if the event before is still somewhere.
                Arc::make_mut(entry).pod.state = state;
                (kind, PodEventSubject::Pod)
            }
            PodEventStep::Container(view) => {
                let (kind, id) = (kind_of(&view.state), view.id.clone());
                Arc::make_mut(entry).containers.insert(id.clone(), view);
                (kind, PodEventSubject::Container(id))
            }
            PodEventStep::ContainerGone(id) => {
                Arc::make_mut(entry).containers.remove(&id);
                (PodEventKind::Deleted, PodEventSubject::Container(id))
            }
        };
        Some(PodEvent { at: self.at, kind, subject, entry: Arc::clone(entry) })
    }
}

impl PodEvent {
    /// A pod and its containers as they are, one event for each: what it came to last.
    #[must_use]
    pub fn present(at: i64, entry: Arc<PodEntry>) -> PodEvents {
        let kind = match entry.pod.state {
            PodState::Ready => PodEventKind::Started,
            PodState::NotReady => PodEventKind::Stopped,
        };
        let containers = entry.containers.iter();
        let containers = containers
            .map(|(id, view)| PodEventStep::Present(kind_of(&view.state), PodEventSubject::Container(id.clone())));
        let pod = PodEventStep::Present(kind, PodEventSubject::Pod);
        let steps = std::iter::once(pod).chain(containers).collect();
        PodEvents::new(at, entry, steps)
    }
}

/// Which event brings a container into this state.
fn kind_of(state: &ContainerState) -> PodEventKind {
    match state {
        ContainerState::Created => PodEventKind::Created,
        ContainerState::Running { .. } => PodEventKind::Started,
        ContainerState::Exited { .. } => PodEventKind::Stopped,
    }
}

fn shown(at: i64, old: Option<&Arc<PodEntry>>, new: &Arc<PodEntry>) -> PodEvents {
    let containers = old.map(|old| old.containers.clone()).unwrap_or_default();
    // What no event tells of (an address, say) is known from the first one on.
    let mut first = PodEntry { pod: new.pod.clone(), containers };
    for (id, view) in &mut first.containers {
        if let Some(now) = new.containers.get(id).filter(|now| now.state == view.state) {
            *view = Arc::clone(now);
        }
    }
    let before = old.map(|old| old.pod.state);
    // One that is shown was ready first.
    let ends = new.pod.state == PodState::NotReady && before != Some(PodState::NotReady);
    if ends {
        first.pod.state = PodState::Ready;
    }
    let mut steps = Vec::new();
    if before.is_none() {
        steps.push(PodEventStep::Present(PodEventKind::Created, PodEventSubject::Pod));
    }
    if before.is_none() || (before == Some(PodState::NotReady) && new.pod.state == PodState::Ready) {
        steps.push(PodEventStep::Pod(PodEventKind::Started, PodState::Ready));
    }
    for (id, view) in &new.containers {
        let before = old.and_then(|old| old.containers.get(id));
        let stages = stages(before.map(|before| &before.state), view);
        steps.extend(stages.into_iter().map(PodEventStep::Container));
    }
    for id in old.iter().flat_map(|old| old.containers.keys()).filter(|id| !new.containers.contains_key(*id)) {
        steps.push(PodEventStep::ContainerGone(id.clone()));
    }
    if ends {
        steps.push(PodEventStep::Pod(PodEventKind::Stopped, PodState::NotReady));
    }
    PodEvents::new(at, Arc::new(first), steps)
}

fn gone(at: i64, old: &Arc<PodEntry>) -> PodEvents {
    let mut steps: Vec<_> = old.containers.keys().cloned().map(PodEventStep::ContainerGone).collect();
    if old.pod.state == PodState::Ready {
        steps.push(PodEventStep::Pod(PodEventKind::Stopped, PodState::NotReady));
    }
    steps.push(PodEventStep::Present(PodEventKind::Deleted, PodEventSubject::Pod));
    PodEvents::new(at, Arc::clone(old), steps)
}

/// The states that a container went through, the last one being that of now.
fn stages(before: Option<&ContainerState>, now: &Arc<ContainerView>) -> Vec<Arc<ContainerView>> {
    if before == Some(&now.state) {
        return Vec::new();
    }
    let in_state = |state| Arc::new(ContainerView { state, ..ContainerView::clone(now) });
    let mut stages = Vec::new();
    if before.is_none() && now.state != ContainerState::Created {
        stages.push(in_state(ContainerState::Created));
    }
    if let ContainerState::Exited { started_at, .. } = now.state {
        match before {
            // Nothing else happens to one that has ended.
            Some(ContainerState::Exited { .. }) => return stages,
            Some(ContainerState::Running { .. }) => {}
            // Its process is not known any more.
            None | Some(ContainerState::Created) if started_at > 0 => {
                stages.push(in_state(ContainerState::Running { pid: 0, started_at }));
            }
            None | Some(ContainerState::Created) => {}
        }
    }
    stages.push(Arc::clone(now));
    stages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PodId;
    use crate::view::tests::{container, pod};

    fn in_state(view: &ContainerView, state: ContainerState) -> Arc<ContainerView> {
        Arc::new(ContainerView { state, ..view.clone() })
    }

    fn running(started_at: i64) -> ContainerState {
        ContainerState::Running { pid: 7, started_at }
    }

    fn exited(started_at: i64) -> ContainerState {
        let (reason, message) = ("Completed".to_owned(), String::new());
        ContainerState::Exited { started_at, finished_at: 9, exit_code: 0, reason, message }
    }

    fn entry(pod: &PodEntry, state: PodState, containers: &[&Arc<ContainerView>]) -> Arc<PodEntry> {
        let mut entry = pod.clone();
        entry.pod.state = state;
        entry.containers = containers.iter().map(|view| (view.id.clone(), Arc::clone(view))).collect();
        Arc::new(entry)
    }

    fn change(old: Option<&Arc<PodEntry>>, new: Option<&Arc<PodEntry>>) -> Change {
        let pod = old.or(new).map_or_else(|| PodId::random().unwrap(), |entry| entry.pod.id.clone());
        Change { number: 1, at: 5, pod, old: old.cloned(), new: new.cloned() }
    }

    /// Kind, whether it is the pod's, and the pod's and its containers' states after it.
    fn told(change: &Change) -> Vec<(PodEventKind, bool, bool, Vec<PodEventKind>)> {
        let told = change.events().map(|event| {
            assert_eq!(event.at, 5);
            let ready = event.entry.pod.state == PodState::Ready;
            let states = event.entry.containers.values().map(|view| kind_of(&view.state)).collect();
            (event.kind, event.subject == PodEventSubject::Pod, ready, states)
        });
        told.collect()
    }

    use PodEventKind::{Created, Deleted, Started, Stopped};

    #[test]
    fn each_step_of_a_life_is_an_event() {
        let pod = pod();
        let view = container(&pod.pod.id);
        let (created, up, down) =
            (in_state(&view, ContainerState::Created), in_state(&view, running(3)), in_state(&view, exited(3)));
        let empty = entry(&pod, PodState::Ready, &[]);
        let life = [
            None,
            Some(empty.clone()),
            Some(entry(&pod, PodState::Ready, &[&created])),
            Some(entry(&pod, PodState::Ready, &[&up])),
            Some(entry(&pod, PodState::Ready, &[&down])),
            Some(entry(&pod, PodState::NotReady, &[&down])),
            Some(entry(&pod, PodState::NotReady, &[])),
            None,
        ];
        let steps: Vec<_> = life.windows(2).map(|pair| told(&change(pair[0].as_ref(), pair[1].as_ref()))).collect();
        assert_eq!(
            steps,
            [
                vec![(Created, true, true, vec![]), (Started, true, true, vec![])],
                vec![(Created, false, true, vec![Created])],
                vec![(Started, false, true, vec![Started])],
                vec![(Stopped, false, true, vec![Stopped])],
                vec![(Stopped, true, false, vec![Stopped])],
                vec![(Deleted, false, false, vec![])],
                vec![(Deleted, true, false, vec![])],
            ]
        );
        assert!(told(&change(Some(&empty), Some(&empty))).is_empty());
    }

    #[test]
    fn steps_that_are_shown_at_once_are_told_one_by_one() {
        let pod = pod();
        let view = container(&pod.pod.id);
        let down = in_state(&view, exited(3));
        let never = in_state(&view, exited(0));
        let empty = entry(&pod, PodState::Ready, &[]);
        let all_at_once = [
            (Created, false, true, vec![Created]),
            (Started, false, true, vec![Started]),
            (Stopped, false, true, vec![Stopped]),
            (Stopped, true, false, vec![Stopped]),
        ];
        let ended = entry(&pod, PodState::NotReady, &[&down]);
        assert_eq!(told(&change(Some(&empty), Some(&ended))), all_at_once);
        let begin = [(Created, true, true, vec![]), (Started, true, true, vec![])];
        assert_eq!(told(&change(None, Some(&ended))), [&begin[..], &all_at_once].concat());
        let refused = entry(&pod, PodState::Ready, &[&never]);
        let told_of = told(&change(Some(&empty), Some(&refused)));
        assert_eq!(told_of, [(Created, false, true, vec![Created]), (Stopped, false, true, vec![Stopped])]);
        let last = told(&change(Some(&entry(&pod, PodState::Ready, &[&down])), None));
        assert_eq!(
            last,
            [(Deleted, false, true, vec![]), (Stopped, true, false, vec![]), (Deleted, true, false, vec![])]
        );
    }

    #[test]
    fn the_present_is_an_event_for_each() {
        let pod = pod();
        let view = container(&pod.pod.id);
        let kinds = |state, view: Arc<ContainerView>| -> Vec<_> {
            PodEvent::present(5, entry(&pod, state, &[&view])).map(|event| event.kind).collect()
        };
        assert_eq!(kinds(PodState::Ready, in_state(&view, running(3))), [Started, Started]);
        assert_eq!(kinds(PodState::Ready, in_state(&view, ContainerState::Created)), [Started, Created]);
        assert_eq!(kinds(PodState::NotReady, in_state(&view, exited(3))), [Stopped, Stopped]);
    }

    #[test]
    fn events_of_a_pod_with_many_containers_are_made_one_at_a_time() {
        let pod = pod();
        let views: Vec<_> = (0..500).map(|_| in_state(&container(&pod.pod.id), running(3))).collect();
        let views: Vec<_> = views.iter().collect();
        let full = entry(&pod, PodState::Ready, &views);
        let (empty, ended) = (entry(&pod, PodState::Ready, &[]), in_state(views[0], exited(3)));
        for (old, new, count) in [
            (Some(&empty), Some(&full), 1000),
            (Some(&full), Some(&empty), 500),
            (Some(&full), None, 502),
            (Some(&full), Some(&entry(&pod, PodState::NotReady, &[&ended])), 501),
        ] {
            let events = change(old, new).events();
            let places: Vec<_> = events.map(|event| Arc::as_ptr(&event.entry)).collect();
            assert_eq!(places.len(), count);
            let copies = places.iter().collect::<std::collections::BTreeSet<_>>().len();
            assert!(copies <= 2, "{copies} copies of the pod for {count} events");
        }
    }
}
