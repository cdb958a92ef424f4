//! The tasks that take samples: of one layer at a time, of one more that takes long, and of all control groups that are
//! due.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peapod_pod::{PodState, Pods, Snapshot};

use super::layers::{Count, Counter, DueCount, LayerUsage, WritableLayers};
use super::processors::Reading;
use super::sources::{Sources, is_running, now};

/// Time between two looks for what is due.
const LOOK: Duration = Duration::from_secs(1);

/// Takes samples until it is dropped.
pub(crate) async fn run(pods: &Pods, sources: &Sources) -> Infallible {
    tokio::select! {
        never = layers(pods, &sources.layers, Counter::Short) => never,
        never = layers(pods, &sources.layers, Counter::Long) => never,
        never = processors(pods, sources) => never,
    }
}

async fn layers(pods: &Pods, layers: &WritableLayers, counter: Counter) -> Infallible {
    let end = CancelOnDrop::default();
    loop {
        match layers.next(&pods.snapshot(), counter) {
            Some(due) => count(layers, due, &end).await,
            None => tokio::time::sleep(LOOK).await,
        }
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
                    let stats = cgroups.cgroup(&group).ok().and_then(|cgroup| cgroup.stats().ok());
                    if let Some(stats) = stats {
                        processors.put(group, Reading { at: Instant::now(), used: stats.cpu_ns });
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
