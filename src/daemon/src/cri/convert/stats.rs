//! Statistics as CRI says them.

use std::path::Path;

use peapod_api::v1;
use peapod_cgroup::Stats;
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
        swap: group.as_ref().map(|group| v1::SwapUsage {
            timestamp,
            swap_available_bytes: None,
            swap_usage_bytes: number(group.stats.swap),
        }),
        io: None,
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
            process: Some(v1::ProcessUsage { timestamp, process_count: number(group.stats.pids) }),
            containers: containers.collect(),
            io: None,
        }),
        windows: None,
    }
}

fn network(interfaces: Vec<InterfaceUsage>, timestamp: i64) -> v1::NetworkUsage {
    let usage = |interface: InterfaceUsage| v1::NetworkInterfaceUsage {
        name: interface.name,
        rx_bytes: interface.rx_bytes.and_then(number),
        rx_errors: interface.rx_errors.and_then(number),
        tx_bytes: interface.tx_bytes.and_then(number),
        tx_errors: interface.tx_errors.and_then(number),
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
        usage_core_nano_seconds: number(group.stats.cpu_ns),
        usage_nano_cores: group.rate.and_then(number),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let stats = Stats { cpu_ns: 7, working_set: 30, memory_limit: Some(100), ..Stats::default() };
        let group = GroupUsage { stats, rate: None };
        let cpu = cpu(&group, 1);
        assert_eq!((cpu.timestamp, cpu.usage_core_nano_seconds, cpu.usage_nano_cores), (1, number(7), None));
        assert_eq!(memory(&group.stats, 1).available_bytes, number(70));
        let boundless = Stats { memory_limit: None, ..group.stats };
        assert_eq!(memory(&boundless, 1).available_bytes, None);
        let over = Stats { working_set: 101, memory_limit: Some(100), ..boundless };
        assert_eq!(memory(&over, 1).available_bytes, number(0));
    }

    #[test]
    fn the_pods_own_interface_stands_apart() {
        let interface =
            |name: &str, rx_bytes| InterfaceUsage { name: name.to_owned(), rx_bytes, ..InterfaceUsage::default() };
        let shown = network(vec![interface("eth0", Some(5)), interface("net1", None)], 9);
        let default = shown.default_interface.unwrap();
        assert_eq!((shown.timestamp, default.name.as_str(), default.rx_bytes), (9, "eth0", number(5)));
        let [other] = shown.interfaces.as_slice() else { panic!("{:?}", shown.interfaces) };
        assert_eq!((other.name.as_str(), other.rx_bytes), ("net1", None));
        assert_eq!(network(Vec::new(), 9).default_interface, None);
    }
}
