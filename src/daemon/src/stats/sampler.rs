//! The tasks that take samples: of layers, of those that take long beside them, and of all control groups that are due;
//! and, while somebody asks, of the processes of all containers.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peapod_pod::{ContainerView, PodState, Pods, Snapshot, SnapshotNews};
use tokio::time::{sleep_until, timeout_at};

use super::layers::{Count, DueCount, DueCounts, LayerCounter, LayerProcessors, LayerUsage, WritableLayers};
use super::processors::Reading;
use super::running::{is_running, now};
use super::sources::Sources;

/// Time between two looks for what is due, at least.
const LOOK: Duration = Duration::from_secs(1);
/// Time for layers that are counted one after the other, before it is looked again which are due: what was never
/// counted comes first.
const ROUND: Duration = Duration::from_millis(20);

/// Takes samples until it is dropped.
pub(crate) async fn run(pods: &Pods, sources: &Sources) -> Infallible {
    tokio::select! {
        never = layers(pods, sources, LayerCounter::Short) => never,
        never = layers(pods, sources, LayerCounter::Long) => never,
        never = processors(pods, sources) => never,
        never = processes(pods, sources) => never,
    }
}

async fn layers(pods: &Pods, sources: &Sources, counter: LayerCounter) -> Infallible {
    let end = CancelOnDrop::default();
    let mut asked = sources.signals.asked_for_layers();
    let (mut news, mut counted) = (pods.news(), sources.signals.counted());
    loop {
        let began = Instant::now();
        let snapshot = pods.snapshot();
        let due = sources.layers.due(&snapshot, counter, |view| used(sources, &snapshot, view));
        let DueCounts { now: due, next } = due;
        if due.is_empty() {
            tokio::select! {
                // Somebody who asks may know a container that began since the last look.
                () = asked.next() => {}
                () = wait(began, next, &mut news) => {}
                // One may have been handed on.
                () = counted.next(), if counter == LayerCounter::Long => {}
            }
            continue;
        }
        let (layers, ended) = (sources.layers.clone(), Arc::clone(&end.0));
        if let Err(error) = tokio::task::spawn_blocking(move || count(&layers, due, &ended)).await {
            tracing::warn!(%error, "writable layers were not counted");
            tokio::time::sleep(LOOK).await;
        }
        sources.signals.tell_counted();
    }
}

fn used(sources: &Sources, snapshot: &Snapshot, view: &ContainerView) -> LayerProcessors {
    let of = |cgroup: &str| sources.processors.used(cgroup);
    let pod = snapshot.pod(&view.pod).map(|entry| &entry.pod).filter(|pod| pod.parent_kind.is_of_one_pod());
    LayerProcessors { container: of(&view.cgroup), pod: pod.and_then(|pod| of(&pod.cgroup_parent)) }
}

/// Until something is due, or there is news; at least [`LOOK`] after the last look began, as news come in crowds.
async fn wait(last: Instant, next: Option<Instant>, news: &mut SnapshotNews) {
    let soonest = last + LOOK;
    match next {
        None => news.changed().await,
        Some(next) => {
            let _ = timeout_at(next.max(soonest).into(), news.changed()).await;
        }
    }
    sleep_until(soonest.into()).await;
}

/// Only while somebody asks: nothing but metrics tells what comes of it.
async fn processes(pods: &Pods, sources: &Sources) -> Infallible {
    let end = CancelOnDrop::default();
    let mut asked = sources.signals.asked();
    loop {
        asked.next().await;
        let (snapshot, groups, processes) = (pods.snapshot(), sources.groups.clone(), sources.processes.clone());
        let ended = Arc::clone(&end.0);
        let go_on = move || !ended.load(Ordering::Relaxed);
        let work = move || {
            let due = processes.due(&snapshot, |cgroup| groups.cpu_time(cgroup));
            due.take_while(|_| go_on()).for_each(|due| processes.count(groups.hierarchy(), &due, &go_on));
        };
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::warn!(%error, "processes of containers were not counted");
        }
        sources.signals.tell_counted();
    }
}

/// Counts layers until that has taken a while: others may be more urgent by then.
fn count(layers: &WritableLayers, due: Vec<DueCount>, ended: &AtomicBool) {
    let began = Instant::now();
    for due in due {
        count_one(layers, due, ended);
        if began.elapsed() >= ROUND || ended.load(Ordering::Relaxed) {
            break;
        }
    }
}

fn count_one(layers: &WritableLayers, due: DueCount, ended: &AtomicBool) {
    let (began, limit) = (Instant::now(), due.counter.limit());
    let counted = peapod_sys::usage(&due.dir, || began.elapsed() < limit && !ended.load(Ordering::Relaxed));
    let layer = |bytes, inodes| LayerUsage { bytes, inodes, timestamp: now() };
    let (layer, whole) = match counted {
        Ok(usage) => (layer(usage.bytes, usage.inodes), usage.whole),
        // Not there before the container's start.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (layer(0, 0), true),
        Err(error) => {
            tracing::warn!(container = %due.id, %error, "a writable layer can't be counted");
            (layer(0, 0), false)
        }
    };
    let (id, cost) = (due.id.clone(), began.elapsed());
    if layers.put(due, Count { layer, whole, cost }) {
        let LayerUsage { bytes, inodes, .. } = layer;
        let seconds = cost.as_secs();
        tracing::warn!(container = %id, bytes, inodes, seconds, "a writable layer takes more than could be counted");
    }
}

/// Tells a walk that nobody waits for it any more.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn processors(pods: &Pods, sources: &Sources) -> Infallible {
    let mut news = pods.news();
    loop {
        let now = Instant::now();
        let snapshot = pods.snapshot();
        let running = groups(&snapshot);
        sources.processors.retain(&running);
        sources.interfaces.retain(&snapshot);
        // Each time: a group may be opened while it ends.
        sources.groups.retain(&running);
        let due = sources.processors.due(&running, now);
        if !due.is_empty() {
            let (groups, processors) = (sources.groups.clone(), sources.processors.clone());
            let read = move || {
                for group in due {
                    if let Some(used) = groups.cpu_time(&group) {
                        processors.put(group, Reading { at: Instant::now(), used });
                    }
                }
            };
            if let Err(error) = tokio::task::spawn_blocking(read).await {
                tracing::warn!(%error, "control groups were not read");
            }
        }
        let next = sources.processors.next(&running);
        wait(now, next, &mut news).await;
    }
}

/// The control groups of everything that runs.
fn groups(snapshot: &Snapshot) -> BTreeSet<String> {
    let running = snapshot.containers().filter(|view| is_running(view));
    let pods = snapshot.pods().map(|entry| &entry.pod);
    let pods = pods.filter(|pod| pod.state == PodState::Ready && pod.parent_kind.is_of_one_pod());
    running.map(|view| view.cgroup.clone()).chain(pods.map(|pod| pod.cgroup_parent.clone())).collect()
}
