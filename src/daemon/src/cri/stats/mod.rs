//! What containers and pods use, read from cgroup files by the daemon itself: no shim is asked. What takes longer comes
//! from samples.

mod network;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use peapod_api::v1;
use peapod_cgroup::{Hierarchy, Stats};
use peapod_pod::{ContainerState, ContainerView, PodEntry};

use super::Node;
use super::convert::{container_attributes, pod_attributes};
use crate::usage::{Layers, Processors, Reading};

/// Nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// What statistics are read from; goes to a thread that may block.
#[derive(Clone)]
pub(crate) struct Sources {
    cgroups: Hierarchy,
    layers: Layers,
    processors: Processors,
    /// A directory on the file system of writable layers.
    mountpoint: String,
}

impl Sources {
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            cgroups: node.cgroups.clone(),
            layers: node.layers.clone(),
            processors: node.processors.clone(),
            mountpoint: node.config.state_root.to_string_lossy().into_owned(),
        }
    }

    /// A container's statistics. Processor and memory are absent when it has no cgroup (any more).
    pub(crate) fn container(&self, view: &ContainerView) -> v1::ContainerStats {
        let timestamp = now();
        let stats = is_running(view).then(|| self.read(&view.cgroup)).flatten();
        v1::ContainerStats {
            attributes: Some(container_attributes(view)),
            cpu: stats.as_ref().map(|(stats, rate)| cpu(stats, *rate, timestamp)),
            memory: stats.as_ref().map(|(stats, _)| memory(stats, timestamp)),
            // Absent for a moment after the container's creation.
            writable_layer: self.layers.of(&view.id).map(|layer| v1::FilesystemUsage {
                timestamp: layer.timestamp,
                fs_id: Some(v1::FilesystemIdentifier { mountpoint: self.mountpoint.clone() }),
                used_bytes: number(layer.bytes),
                inodes_used: number(layer.inodes),
            }),
            swap: stats.as_ref().map(|(stats, _)| v1::SwapUsage {
                timestamp,
                swap_available_bytes: None,
                swap_usage_bytes: number(stats.swap),
            }),
            io: None,
        }
    }

    /// A pod's statistics: those of its own cgroup, or the sum of its containers' where it has none to itself.
    pub(crate) fn pod(&self, entry: &PodEntry) -> v1::PodSandboxStats {
        let timestamp = now();
        let running = || entry.containers.values().filter(|view| is_running(view));
        // A pod that named no parent shares one with others.
        let own = entry.pod.spec.cgroup_parent.is_some().then(|| self.read(&entry.pod.cgroup_parent)).flatten();
        let (stats, rate) = own.unwrap_or_else(|| sum(running().filter_map(|view| self.read(&view.cgroup))));
        // Any process of the pod shows the pod's interfaces, if it has stayed with them.
        let network = entry.pod.netns.as_deref().and_then(|netns| {
            running().find_map(|view| match view.state {
                ContainerState::Running { pid, .. } => network::usage(pid, netns, timestamp),
                _ => None,
            })
        });
        v1::PodSandboxStats {
            attributes: Some(pod_attributes(&entry.pod)),
            linux: Some(v1::LinuxPodSandboxStats {
                cpu: Some(cpu(&stats, rate, timestamp)),
                memory: Some(memory(&stats, timestamp)),
                network,
                process: Some(v1::ProcessUsage { timestamp, process_count: number(stats.pids) }),
                containers: running().map(|view| self.container(view)).collect(),
                io: None,
            }),
            windows: None,
        }
    }

    /// With the processor time per second, once it is known.
    fn read(&self, cgroup: &str) -> Option<(Stats, Option<u64>)> {
        let stats = self.cgroups.cgroup(cgroup).ok()?.stats().ok()?;
        let rate = self.processors.rate(cgroup, Reading { at: Instant::now(), used: stats.cpu_ns });
        Some((stats, rate))
    }
}

/// Whether a container has processes.
pub(crate) fn is_running(view: &ContainerView) -> bool {
    matches!(view.state, ContainerState::Running { .. })
}

fn sum(all: impl Iterator<Item = (Stats, Option<u64>)>) -> (Stats, Option<u64>) {
    all.fold((Stats::default(), None), |(mut total, rates), (stats, rate)| {
        total.cpu_ns += stats.cpu_ns;
        total.memory_usage += stats.memory_usage;
        total.working_set += stats.working_set;
        total.rss += stats.rss;
        total.page_faults += stats.page_faults;
        total.major_page_faults += stats.major_page_faults;
        total.swap += stats.swap;
        total.pids += stats.pids;
        (total, rates.map_or(rate, |rates: u64| Some(rates + rate.unwrap_or_default())))
    })
}

fn number(value: u64) -> Option<v1::UInt64Value> {
    Some(v1::UInt64Value { value })
}

fn cpu(stats: &Stats, rate: Option<u64>, timestamp: i64) -> v1::CpuUsage {
    v1::CpuUsage {
        timestamp,
        usage_core_nano_seconds: number(stats.cpu_ns),
        usage_nano_cores: rate.and_then(number),
        ..v1::CpuUsage::default()
    }
}

fn memory(stats: &Stats, timestamp: i64) -> v1::MemoryUsage {
    v1::MemoryUsage {
        timestamp,
        working_set_bytes: number(stats.working_set),
        available_bytes: stats.memory_limit.and_then(|limit| number(limit.saturating_sub(stats.working_set))),
        usage_bytes: number(stats.memory_usage),
        rss_bytes: number(stats.rss),
        page_faults: number(stats.page_faults),
        major_page_faults: number(stats.major_page_faults),
        psi: None,
    }
}
