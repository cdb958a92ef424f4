//! The tasks that take samples: of one layer at a time, of one more that takes long, and of all control groups that are
//! due; and, while somebody asks, of the processes of all containers.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peapod_pod::{PodState, Pods, Snapshot};

use super::layers::{Count, DueCount, LayerCounter, LayerUsage, WritableLayers};
use super::processors::Reading;
use super::running::{is_running, now};
use super::sources::Sources;

/// Time between two looks for what is due.
const LOOK: Duration = Duration::from_secs(1);

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
    let mut asked = sources.signals.asked();
    loop {
        match sources.layers.next(&pods.snapshot(), counter) {
            Some(due) => {
                count(&sources.layers, due, &end).await;
                sources.signals.tell_counted();
            }
            // Somebody who asks may know a container that began since the last look.
            None => drop(tokio::time::timeout(LOOK, asked.next()).await),
        }
    }
}

/// Only while somebody asks: nothing but metrics tells what comes of it.
async fn processes(pods: &Pods, sources: &Sources) -> Infallible {
    let end = CancelOnDrop::default();
    let mut asked = sources.signals.asked();
    loop {
        asked.next().await;
        let due = sources.processes.due(&pods.snapshot());
        let (cgroups, processes, ended) = (sources.cgroups.clone(), sources.processes.clone(), Arc::clone(&end.0));
        let go_on = move || !ended.load(Ordering::Relaxed);
        let work = move || due.iter().take_while(|_| go_on()).for_each(|view| processes.count(&cgroups, view, &go_on));
        if let Err(error) = tokio::task::spawn_blocking(work).await {
            tracing::warn!(%error, "processes of containers were not counted");
        }
        sources.signals.tell_counted();
    }
}

async fn count(layers: &WritableLayers, due: DueCount, end: &CancelOnDrop) {
    let (dir, ended, began) = (due.dir.clone(), Arc::clone(&end.0), Instant::now());
    let limit = due.counter.limit();
    let go_on = move || began.elapsed() < limit && !ended.load(Ordering::Relaxed);
    let counted = tokio::task::spawn_blocking(move || peapod_sys::usage(&dir, go_on)).await;
    let layer = |bytes, inodes| LayerUsage { bytes, inodes, timestamp: now() };
    let (layer, whole) = match counted {
        Ok(Ok(usage)) => (layer(usage.bytes, usage.inodes), usage.whole),
        // Not there before the container's start.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => (layer(0, 0), true),
        Ok(Err(error)) => {
            tracing::warn!(container = %due.id, %error, "a writable layer can't be counted");
            (layer(0, 0), false)
        }
        Err(error) => {
            tracing::warn!(container = %due.id, %error, "a writable layer was not counted");
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
    loop {
        let due = sources.processors.due(groups(&pods.snapshot()));
        if !due.is_empty() {
            let (cgroups, processors) = (sources.cgroups.clone(), sources.processors.clone());
            let read = move || {
                for group in due {
                    let used = cgroups.cgroup(&group).ok().and_then(|cgroup| cgroup.cpu_time().ok()).flatten();
                    if let Some(used) = used {
                        processors.put(group, Reading { at: Instant::now(), used });
                    }
                }
            };
            if let Err(error) = tokio::task::spawn_blocking(read).await {
                tracing::warn!(%error, "control groups were not read");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The control groups of everything that runs.
fn groups(snapshot: &Snapshot) -> BTreeSet<String> {
    let running = snapshot.containers().filter(|view| is_running(view));
    let pods = snapshot.pods().map(|entry| &entry.pod);
    let pods = pods.filter(|pod| pod.state == PodState::Ready && pod.spec.cgroup_parent.is_some());
    running.map(|view| view.cgroup.clone()).chain(pods.map(|pod| pod.cgroup_parent.clone())).collect()
}
