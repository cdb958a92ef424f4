//! What containers and pods use, read from cgroup files by the daemon itself: no shim is asked. What takes longer comes
//! from samples.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use peapod_cgroup::{Hierarchy, Stats};
use peapod_pod::{ContainerState, ContainerView, PodEntry};

use super::layers::{LayerUsage, WritableLayers};
use super::network::{self, InterfaceUsage};
use super::processors::{Processors, Reading};

/// Nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Whether a container has processes.
pub(crate) fn is_running(view: &ContainerView) -> bool {
    matches!(view.state, ContainerState::Running { .. })
}

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
    pub(super) cgroups: Hierarchy,
    /// Sizes of writable layers.
    pub(crate) layers: WritableLayers,
    /// Processor time of control groups.
    pub(super) processors: Processors,
}

impl Sources {
    /// With no samples yet.
    pub(crate) fn new(cgroups: Hierarchy) -> Self {
        Self { cgroups, layers: WritableLayers::default(), processors: Processors::default() }
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
        // A pod that named no parent shares one with others.
        let own = entry.pod.spec.cgroup_parent.is_some().then(|| self.read(&entry.pod.cgroup_parent)).flatten();
        // Any process of the pod shows the pod's interfaces, if it has stayed with them.
        let interfaces = entry.pod.netns.as_deref().and_then(|netns| {
            running().find_map(|view| match view.state {
                ContainerState::Running { pid, .. } => network::interfaces(pid, netns),
                _ => None,
            })
        });
        PodUsage {
            timestamp,
            group: own.unwrap_or_else(|| sum(running().filter_map(|view| self.read(&view.cgroup)))),
            interfaces,
            containers: running().map(|view| (Arc::clone(view), self.container(view))).collect(),
        }
    }

    fn read(&self, cgroup: &str) -> Option<GroupUsage> {
        let stats = self.cgroups.cgroup(cgroup).ok()?.stats().ok()?;
        let rate = self.processors.rate(cgroup, Reading { at: Instant::now(), used: stats.cpu_ns });
        Some(GroupUsage { stats, rate })
    }
}

fn sum(all: impl Iterator<Item = GroupUsage>) -> GroupUsage {
    all.fold(GroupUsage::default(), |mut total, GroupUsage { stats, rate }| {
        total.stats.cpu_ns += stats.cpu_ns;
        total.stats.memory_usage += stats.memory_usage;
        total.stats.working_set += stats.working_set;
        total.stats.rss += stats.rss;
        total.stats.page_faults += stats.page_faults;
        total.stats.major_page_faults += stats.major_page_faults;
        total.stats.swap += stats.swap;
        total.stats.pids += stats.pids;
        total.rate = total.rate.map_or(rate, |rates| Some(rates + rate.unwrap_or_default()));
        total
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_without_a_group_uses_what_its_containers_use() {
        let usage = |used: u64, rate| GroupUsage {
            stats: Stats { cpu_ns: used, memory_usage: 2 * used, pids: 3 * used, ..Stats::default() },
            rate,
        };
        let total = sum([usage(1, None), usage(20, Some(5)), usage(300, Some(6))].into_iter());
        assert_eq!((total.stats.cpu_ns, total.stats.memory_usage, total.stats.pids), (321, 642, 963));
        assert_eq!(total.rate, Some(11));
        // None is known, which is not the same as nothing used.
        assert_eq!(sum([usage(1, None)].into_iter()).rate, None);
        assert_eq!(sum(std::iter::empty()).stats.cpu_ns, 0);
    }
}
