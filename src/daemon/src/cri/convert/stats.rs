//! Statistics as CRI says them.

use std::path::Path;

use peapod_api::v1;
use peapod_cgroup::{Stall, StallTime, Stats, SwapStats};
use peapod_pod::{ContainerView, PodEntry};

use super::{container_attributes, pod_attributes};
use crate::stats::{ContainerUsage, DEFAULT_INTERFACE, GroupUsage, InterfaceUsage, PodUsage};

/// `mountpoint`: a directory on the file system of writable layers.
pub(crate) fn container_stats(view: &ContainerView, usage: ContainerUsage, mountpoint: &Path) -> v1::ContainerStats {
    let ContainerUsage { timestamp, group, layer } = usage;
    let mountpoint = || mountpoint.to_string_lossy().into_owned();
    v1::ContainerStats {
        attributes: Some(container_attributes(view)),
        cpu: group.as_ref().map(|group| cpu(group, timestamp)),
        memory: group.as_ref().map(|group| memory(&group.stats, timestamp)),
        writable_layer: layer.map(|layer| v1::FilesystemUsage {
            timestamp: layer.timestamp,
            fs_id: Some(v1::FilesystemIdentifier { mountpoint: mountpoint() }),
            used_bytes: number(layer.bytes),
            inodes_used: number(layer.inodes),
        }),
        swap: group.as_ref().and_then(|group| swap(group.stats.swap, timestamp)),
        io: group.as_ref().and_then(|group| io(&group.stats, timestamp)),
    }
}

/// The same of a pod with its running containers.
pub(crate) fn pod_stats(entry: &PodEntry, usage: PodUsage, mountpoint: &Path) -> v1::PodSandboxStats {
    let PodUsage { timestamp, group, interfaces, containers } = usage;
    let containers = containers.into_iter().map(|(view, usage)| container_stats(&view, usage, mountpoint));
    v1::PodSandboxStats {
        attributes: Some(pod_attributes(&entry.pod)),
        linux: Some(v1::LinuxPodSandboxStats {
            cpu: Some(cpu(&group, timestamp)),
            memory: Some(memory(&group.stats, timestamp)),
            network: interfaces.map(|interfaces| network(interfaces, timestamp)),
            process: Some(v1::ProcessUsage { timestamp, process_count: group.stats.tasks.and_then(number) }),
            containers: containers.collect(),
            io: io(&group.stats, timestamp),
        }),
        windows: None,
    }
}

fn network(interfaces: Vec<InterfaceUsage>, timestamp: i64) -> v1::NetworkUsage {
    let usage = |interface: InterfaceUsage| v1::NetworkInterfaceUsage {
        name: interface.name,
        rx_bytes: interface.received.bytes.and_then(number),
        rx_errors: interface.received.errors.and_then(number),
        tx_bytes: interface.transmitted.bytes.and_then(number),
        tx_errors: interface.transmitted.errors.and_then(number),
    };
    let (default, others): (Vec<_>, Vec<_>) =
        interfaces.into_iter().map(usage).partition(|usage| usage.name == DEFAULT_INTERFACE);
    v1::NetworkUsage { timestamp, default_interface: default.into_iter().next(), interfaces: others }
}

fn number(value: u64) -> Option<v1::UInt64Value> {
    Some(v1::UInt64Value { value })
}

fn cpu(group: &GroupUsage, timestamp: i64) -> v1::CpuUsage {
    v1::CpuUsage {
        timestamp,
        usage_core_nano_seconds: group.stats.cpu.used.and_then(number),
        usage_nano_cores: group.rate.and_then(number),
        psi: group.stats.pressure.cpu.map(psi),
    }
}

fn memory(stats: &Stats, timestamp: i64) -> v1::MemoryUsage {
    let Stats { memory, faults, pressure, .. } = stats;
    let available = memory.limit.zip(memory.working_set).map(|(limit, used)| limit.saturating_sub(used));
    v1::MemoryUsage {
        timestamp,
        working_set_bytes: memory.working_set.and_then(number),
        available_bytes: available.and_then(number),
        usage_bytes: memory.usage.and_then(number),
        rss_bytes: memory.rss.and_then(number),
        page_faults: faults.all.and_then(number),
        major_page_faults: faults.major.and_then(number),
        psi: pressure.memory.map(psi),
    }
}

/// None on a node that does not count swap.
fn swap(swap: SwapStats, timestamp: i64) -> Option<v1::SwapUsage> {
    let used = swap.used?;
    Some(v1::SwapUsage {
        timestamp,
        swap_available_bytes: swap.limit.and_then(|limit| number(limit.saturating_sub(used))),
        swap_usage_bytes: number(used),
    })
}

/// It has nothing but pressure.
fn io(stats: &Stats, timestamp: i64) -> Option<v1::IoUsage> {
    stats.pressure.io.map(|stall| v1::IoUsage { timestamp, psi: Some(psi(stall)) })
}

fn psi(Stall { some, full }: Stall) -> v1::PsiStats {
    let data =
        |time: StallTime| v1::PsiData { total: time.total, avg10: time.avg10, avg60: time.avg60, avg300: time.avg300 };
    v1::PsiStats { full: Some(data(full)), some: Some(data(some)) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use peapod_pod::ContainerState;

    use super::super::usage_tests::{everything, interface, pod_view};
    use super::super::view_tests::view;
    use super::*;
    use crate::stats::{LayerUsage, Traffic};

    /// All fields but those of Windows, where the kernel tells everything and the pod has a control group of its own.
    #[test]
    fn no_field_is_forgotten() {
        let group = GroupUsage { stats: everything(), rate: Some(1) };
        let layer = Some(LayerUsage { bytes: 4096, inodes: 1, timestamp: 1 });
        let container = ContainerUsage { timestamp: 1, group: Some(group.clone()), layer };
        let view = Arc::new(view(ContainerState::Running { pid: 1, started_at: 1 }));
        let usage = PodUsage {
            timestamp: 1,
            group,
            interfaces: Some(vec![interface("eth0"), interface("net1")]),
            containers: vec![(view, container)],
        };
        let entry = PodEntry { pod: pod_view(), containers: BTreeMap::new() };
        let told = format!("{:?}", pod_stats(&entry, usage, Path::new("/var/lib/peapod")));
        let forgotten = [": None", "[]", "mountpoint: \"\""].map(|sign| told.matches(sign).count());
        assert_eq!(forgotten, [1, 0, 0], "{told}");
        assert!(told.ends_with("windows: None }"), "{told}");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut stats = Stats::default();
        stats.cpu.used = Some(7);
        (stats.memory.working_set, stats.memory.limit) = (Some(30), Some(100));
        let mut group = GroupUsage { stats, rate: None };
        let shown = cpu(&group, 1);
        assert_eq!((shown.timestamp, shown.usage_core_nano_seconds, shown.usage_nano_cores), (1, number(7), None));
        assert_eq!(shown.psi, None);
        assert_eq!(memory(&group.stats, 1).available_bytes, number(70));
        assert_eq!(memory(&group.stats, 1).rss_bytes, None);
        group.stats.memory.working_set = Some(101);
        assert_eq!(memory(&group.stats, 1).available_bytes, number(0));
        group.stats.memory.limit = None;
        assert_eq!(memory(&group.stats, 1).available_bytes, None);
        assert_eq!((swap(group.stats.swap, 1), io(&group.stats, 1)), (None, None));
    }

    #[test]
    fn swap_and_pressure() {
        let shown = |limit| swap(SwapStats { used: Some(3), limit }, 1).unwrap().swap_available_bytes;
        assert_eq!((shown(Some(10)), shown(Some(0)), shown(None)), (number(7), number(0), None));
        let time = |total| StallTime { avg10: 0.5, avg60: 0.25, avg300: 0.125, total };
        let mut stats = Stats::default();
        stats.pressure.io = Some(Stall { some: time(8), full: time(2) });
        let psi = io(&stats, 4).unwrap().psi.unwrap();
        assert_eq!((psi.some.unwrap().total, psi.full.unwrap().total, psi.some.unwrap().avg300), (8, 2, 0.125));
    }

    #[test]
    fn the_pods_own_interface_stands_apart() {
        let received = |name: &str, bytes| {
            let received = Traffic { bytes, ..Traffic::default() };
            InterfaceUsage { name: name.to_owned(), received, ..InterfaceUsage::default() }
        };
        let shown = network(vec![received("eth0", Some(5)), received("net1", None)], 9);
        let default = shown.default_interface.unwrap();
        assert_eq!((shown.timestamp, default.name.as_str(), default.rx_bytes), (9, "eth0", number(5)));
        let [other] = shown.interfaces.as_slice() else { panic!("{:?}", shown.interfaces) };
        assert_eq!((other.name.as_str(), other.rx_bytes), ("net1", None));
        assert_eq!(network(Vec::new(), 9).default_interface, None);
    }
}
