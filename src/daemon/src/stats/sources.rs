//! What containers and pods use, read from cgroup files by the daemon itself: no shim is asked. What takes longer comes
//! from samples.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use peapod_cgroup::{Hierarchy, Stats, StatsPart};
use peapod_pod::{ContainerState, ContainerView, PodEntry, PodState, Pods, Snapshot};
use peapod_sys::sync::lock;

use super::devices::DeviceNames;
use super::groups::OpenGroups;
use super::layers::{LayerUsage, WritableLayers};
use super::network::{self, InterfaceUsage, LastInterfaces};
use super::processes::ProcessCounters;
use super::processors::{Processors, Reading};
use super::running::{is_running, now};
use super::sample::{ContainerSample, LastSample, NodeSample, PodSample, disk};
use super::signals::Signals;
use crate::bounds::{FIRST_COUNT, SAMPLE_AGE};

/// What the processes of a control group use.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupUsage {
    pub(crate) stats: Stats,
    /// Nanoseconds of processor time per second; none before it is known.
    pub(crate) rate: Option<u64>,
}

/// What a container uses.
#[derive(Clone, Debug)]
pub(crate) struct ContainerUsage {
    /// When it was read, in nanoseconds since the epoch.
    pub(crate) timestamp: i64,
    /// None when it has no control group (any more).
    pub(crate) group: Option<GroupUsage>,
    /// None for a moment after the container's creation.
    pub(crate) layer: Option<LayerUsage>,
}

/// What a pod uses.
#[derive(Clone, Debug)]
pub(crate) struct PodUsage {
    /// When it was read, in nanoseconds since the epoch.
    pub(crate) timestamp: i64,
    pub(crate) group: GroupUsage,
    /// None of a pod in the node's network, and of one in which nothing runs.
    pub(crate) interfaces: Option<Vec<InterfaceUsage>>,
    /// Of those that run.
    pub(crate) containers: Vec<(Arc<ContainerView>, ContainerUsage)>,
}

/// What statistics are read from; goes to a thread that may block.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) groups: OpenGroups,
    /// Sizes of writable layers.
    pub(crate) layers: WritableLayers,
    /// Processor time of control groups.
    pub(super) processors: Processors,
    /// Processes of containers and what they have open.
    pub(super) processes: ProcessCounters,
    /// Interfaces of pods.
    pub(super) interfaces: LastInterfaces,
    pub(super) signals: Signals,
    /// A folder on the file system of writable layers.
    pub(super) disk: PathBuf,
    /// The last sample of everything.
    pub(super) last: Arc<Mutex<Option<LastSample>>>,
}

impl Sources {
    /// With no samples yet.
    pub(crate) fn new(cgroups: Hierarchy, disk: PathBuf) -> Self {
        Self {
            groups: OpenGroups::new(cgroups),
            layers: WritableLayers::default(),
            processors: Processors::default(),
            processes: ProcessCounters::default(),
            interfaces: LastInterfaces::default(),
            signals: Signals::default(),
            disk,
            last: Arc::default(),
        }
    }

    /// What a container uses. Blocks.
    pub(crate) fn container(&self, view: &ContainerView) -> ContainerUsage {
        ContainerUsage {
            timestamp: now(),
            group: is_running(view).then(|| self.read(&view.cgroup)).flatten(),
            layer: self.layers.of(&view.id),
        }
    }

    /// What a pod uses: its own control group, or all of its containers where it has none to itself. Blocks.
    pub(crate) fn pod(&self, entry: &PodEntry) -> PodUsage {
        let timestamp = now();
        let running = || entry.containers.values().filter(|view| is_running(view));
        let own = entry.pod.parent_kind.is_of_one_pod().then(|| self.read(&entry.pod.cgroup_parent)).flatten();
        let containers: Vec<_> = running().map(|view| (Arc::clone(view), self.container(view))).collect();
        let used = containers.iter().map(|(_, usage)| usage.group.as_ref()?.stats.cpu.used).sum();
        let groups = || containers.iter().filter_map(|(_, usage)| usage.group.clone());
        PodUsage {
            timestamp,
            group: own.unwrap_or_else(|| sum(groups())),
            interfaces: self.interfaces(entry, used),
            containers,
        }
    }

    /// The pod's interfaces, as any of its processes shows them that has stayed with them, once its containers have
    /// used so much of processors. None of a pod in the node's network, and of one in which nothing runs.
    fn interfaces(&self, entry: &PodEntry, used: Option<u64>) -> Option<Vec<InterfaceUsage>> {
        let netns = entry.pod.netns.as_deref()?;
        let read = || {
            entry.containers.values().find_map(|view| match view.state {
                ContainerState::Running { pid, .. } => network::interfaces(pid, netns),
                _ => None,
            })
        };
        self.interfaces.of(&entry.pod.id, used, read)
    }

    /// Has what takes longer counted where it never was, and waits for that: not long, and once in a container's life.
    pub(crate) async fn counted(&self, pods: &Pods) {
        let mut counted = self.signals.counted();
        self.signals.ask();
        // What is due of other layers comes in its own time: not now, beside what somebody waits for.
        if !all_running(&pods.snapshot(), |view| self.layers.of(&view.id).is_some()) {
            self.signals.ask_for_layers();
        }
        let is_known = |view: &ContainerView| self.layers.of(&view.id).is_some() && self.processes.knows(&view.id);
        let all = async {
            while !all_running(&pods.snapshot(), is_known) {
                counted.next().await;
            }
        };
        if tokio::time::timeout(FIRST_COUNT, all).await.is_err() {
            tracing::debug!("what new containers have open or have written takes long to count");
        }
    }

    /// What all pods use, at most [`SAMPLE_AGE`] ago. Blocks. Who asks meanwhile waits and gets the same.
    pub(crate) fn node(&self, snapshot: &Arc<Snapshot>) -> Arc<NodeSample> {
        // Not under the lock: a disk that answers no more keeps nobody else from asking again.
        let disk = disk(&self.disk);
        let mut last = lock(&self.last);
        if let Some(LastSample { taken, of, sample }) = &*last
            && Arc::ptr_eq(of, snapshot)
            && taken.elapsed() < SAMPLE_AGE
        {
            return Arc::clone(sample);
        }
        let (taken, timestamp) = (Instant::now(), now());
        let pods = snapshot.pods().filter(|entry| entry.pod.state == PodState::Ready);
        let mut names = DeviceNames::default();
        let pods = pods.map(|entry| self.sample(entry, &mut names)).collect();
        let sample = Arc::new(NodeSample { timestamp, pods, disk });
        *last = Some(LastSample { taken, of: Arc::clone(snapshot), sample: Arc::clone(&sample) });
        sample
    }

    fn sample(&self, entry: &Arc<PodEntry>, names: &mut DeviceNames) -> PodSample {
        let containers = entry.containers.values().filter(|view| is_running(view));
        let containers = containers.filter_map(|view| {
            // One whose group can't be read has just ended.
            let (timestamp, stats) = (now(), self.groups.stats(&view.cgroup, StatsPart::Counters)?);
            Some(ContainerSample {
                timestamp,
                devices: stats.devices.iter().map(|io| names.of(io.major, io.minor)).collect(),
                layer: self.layers.of(&view.id),
                processes: self.processes.of(&view.id),
                view: Arc::clone(view),
                stats,
            })
        });
        let containers: Vec<_> = containers.collect();
        let used = containers.iter().map(|container| container.stats.cpu.used).sum();
        let interfaces = self.interfaces(entry, used).unwrap_or_default();
        PodSample { containers, interfaces, entry: Arc::clone(entry) }
    }

    fn read(&self, cgroup: &str) -> Option<GroupUsage> {
        let stats = self.groups.stats(cgroup, StatsPart::Usage)?;
        let reading = |used| Reading { at: Instant::now(), used };
        let now = stats.cpu.used.map(reading);
        let rate = now.and_then(|now| self.processors.rate(cgroup, now));
        if let Some(now) = now {
            self.processors.note(cgroup, now);
        }
        Some(GroupUsage { stats, rate })
    }
}

/// Whether something holds of all containers that run in READY pods.
fn all_running(snapshot: &Snapshot, holds: impl Fn(&ContainerView) -> bool) -> bool {
    let ready = snapshot.pods().filter(|entry| entry.pod.state == PodState::Ready);
    let mut running = ready.flat_map(|entry| entry.containers.values()).filter(|view| is_running(view));
    running.all(|view| holds(view))
}

/// Sums what can be summed; what one does not tell is not known of all.
fn sum(all: impl Iterator<Item = GroupUsage>) -> GroupUsage {
    let mut total = GroupUsage { stats: Stats::default(), rate: None };
    for sum in summands(&mut total.stats) {
        *sum = Some(0);
    }
    for GroupUsage { mut stats, rate } in all {
        for (sum, one) in summands(&mut total.stats).into_iter().zip(summands(&mut stats)) {
            *sum = sum.zip(*one).map(|(sum, one)| sum.saturating_add(one));
        }
        total.rate = total.rate.map_or(rate, |rates| Some(rates + rate.unwrap_or_default()));
    }
    total
}

fn summands(stats: &mut Stats) -> [&mut Option<u64>; 7] {
    let Stats { cpu, memory, faults, tasks, .. } = stats;
    [
        &mut cpu.used,
        &mut memory.usage,
        &mut memory.working_set,
        &mut memory.rss,
        &mut faults.all,
        &mut faults.major,
        tasks,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_without_a_group_uses_what_its_containers_use() {
        let usage = |used: u64, rate| {
            let mut stats = Stats { tasks: Some(3 * used), ..Stats::default() };
            (stats.cpu.used, stats.memory.usage) = (Some(used), Some(2 * used));
            GroupUsage { stats, rate }
        };
        let total = sum([usage(1, None), usage(20, Some(5)), usage(300, Some(6))].into_iter());
        assert_eq!((total.stats.cpu.used, total.stats.memory.usage), (Some(321), Some(642)));
        assert_eq!((total.stats.tasks, total.stats.memory.rss), (Some(963), None));
        assert_eq!(total.rate, Some(11));
        // None is known, which is not the same as nothing used.
        assert_eq!(sum([usage(1, None)].into_iter()).rate, None);
        assert_eq!(sum(std::iter::empty()).stats.cpu.used, Some(0));
    }
}
