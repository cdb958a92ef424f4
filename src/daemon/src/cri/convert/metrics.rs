//! Metrics as CRI says them.

use peapod_api::v1;
use peapod_cgroup::Hierarchy;
use peapod_pod::PodView;

use crate::stats::metrics::{METRICS, Metric, MetricKind};
use crate::stats::{ContainerSample, NodeSample, PodSample};

/// Labels that all metrics have: those of cAdvisor in a kubelet.
const LABELS: [&str; 6] = ["id", "name", "image", "container", "pod", "namespace"];

/// What this node can tell.
pub(crate) fn metric_descriptors(cgroups: &Hierarchy) -> Vec<v1::MetricDescriptor> {
    let known = METRICS.iter().filter(|metric| metric.is_known(cgroups));
    let descriptor = |metric: &Metric| v1::MetricDescriptor {
        name: metric.name.to_owned(),
        help: metric.help.to_owned(),
        label_keys: LABELS.iter().chain(metric.labels()).map(|key| (*key).to_owned()).collect(),
    };
    known.map(descriptor).collect()
}

/// All values of a pod.
pub(crate) fn pod_metrics(pod: &PodSample, node: &NodeSample) -> v1::PodSandboxMetrics {
    v1::PodSandboxMetrics {
        pod_sandbox_id: pod.entry.pod.id.to_string(),
        metrics: of_pod(pod, node.timestamp),
        container_metrics: pod.containers.iter().map(|container| of_container(container, pod, node)).collect(),
    }
}

/// Of the pod alone: as those of cAdvisor they name no container and no image.
fn of_pod(sample: &PodSample, timestamp: i64) -> Vec<v1::Metric> {
    let pod = &sample.entry.pod;
    let id = pod.id.to_string();
    let common = labels(&pod.cgroup_parent, &id, "", "", pod);
    let mut all = Vec::new();
    for metric in &METRICS {
        metric.of_pod(sample, |own, value| all.push(message(metric, timestamp, &common, own, value)));
    }
    all
}

fn of_container(sample: &ContainerSample, pod: &PodSample, node: &NodeSample) -> v1::ContainerMetrics {
    let view = &sample.view;
    let id = view.id.to_string();
    let common = labels(&view.cgroup, &id, &view.image_name, &view.spec.metadata.name, &pod.entry.pod);
    let mut metrics = Vec::with_capacity(METRICS.len());
    for metric in &METRICS {
        let put = |own: &[&str], value| metrics.push(message(metric, sample.timestamp, &common, own, value));
        metric.of_container(sample, node.disk.as_ref(), put);
    }
    v1::ContainerMetrics { container_id: id, metrics }
}

/// Values of [`LABELS`].
fn labels<'a>(cgroup: &'a str, id: &'a str, image: &'a str, container: &'a str, pod: &'a PodView) -> [&'a str; 6] {
    let metadata = &pod.spec.metadata;
    [cgroup, id, image, container, &metadata.name, &metadata.namespace]
}

fn message(metric: &Metric, timestamp: i64, common: &[&str], own: &[&str], value: u64) -> v1::Metric {
    let kind = match metric.kind {
        MetricKind::Counter => v1::MetricType::Counter,
        MetricKind::Gauge => v1::MetricType::Gauge,
    };
    v1::Metric {
        name: metric.name.to_owned(),
        timestamp,
        metric_type: kind.into(),
        label_values: common.iter().chain(own).map(|value| (*value).to_owned()).collect(),
        value: Some(v1::UInt64Value { value }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use peapod_cgroup::{CpuStats, DeviceIo, HugePages, MemoryStats, PageFaults, Pressure, Stall, Stats, SwapStats};
    use peapod_pod::{ContainerState, ContainerView, PodEntry, PodState};

    use super::super::view_tests::{pod_id, view};
    use super::*;
    use crate::stats::{Disk, InterfaceUsage, LayerUsage, ProcessCounts, Traffic};

    const OWN: [&str; 9] =
        ["cpu", "device", "failure_type", "interface", "major", "minor", "operation", "pagesize", "scope"];

    fn node(view: ContainerView, stats: Stats) -> NodeSample {
        let metadata =
            v1::PodSandboxMetadata { name: "web-0".into(), uid: "u".into(), namespace: "shop".into(), attempt: 0 };
        let config = v1::PodSandboxConfig { metadata: Some(metadata), ..Default::default() };
        let pod = PodView {
            id: pod_id(),
            spec: Arc::new(super::super::pod_spec(Some(config), String::new()).unwrap()),
            state: PodState::Ready,
            created_at: 1,
            ips: Vec::new(),
            netns: None,
            shim_pid: 0,
            namespaces: Vec::new(),
            runtime_handler: String::new(),
            cgroup_parent: "/kubepods/pod1".into(),
        };
        let traffic = Traffic { bytes: Some(10), packets: Some(11), errors: Some(12), dropped: Some(13) };
        let interface = InterfaceUsage { name: "eth0".into(), received: traffic, transmitted: traffic };
        let container = ContainerSample {
            view: Arc::new(view),
            timestamp: 7_000_000_000,
            devices: stats.devices.iter().map(|_| Arc::from("/dev/sda")).collect(),
            stats,
            layer: Some(LayerUsage { bytes: 4096, inodes: 1, timestamp: 1 }),
            processes: Some(ProcessCounts {
                processes: 2,
                descriptors: Some(9),
                sockets: Some(3),
                descriptor_limit: Some(1024),
                task_limit: peapod_cgroup::TaskLimit::None,
            }),
        };
        NodeSample {
            timestamp: 8_000_000_000,
            pods: vec![PodSample {
                entry: Arc::new(PodEntry { pod, containers: BTreeMap::new() }),
                interfaces: vec![interface],
                containers: vec![container],
            }],
            disk: Some(Disk { device: "/dev/vda1".into(), bytes: 1 << 30, inodes: Some(100), free_inodes: Some(40) }),
        }
    }

    fn everything() -> Stats {
        let one = Some(1_500_000_000);
        Stats {
            cpu: CpuStats { used: one, user: one, system: one, periods: one, throttled_periods: one, throttled: one },
            memory: MemoryStats {
                usage: one,
                working_set: one,
                rss: one,
                cache: one,
                mapped_file: one,
                kernel: one,
                max_usage: one,
                limit_hits: one,
                limit: one,
            },
            faults: PageFaults { all: one, major: one, own: one, own_major: one },
            swap: SwapStats { used: one, limit: one },
            tasks: one,
            oom_kills: one,
            devices: vec![DeviceIo { major: 8, minor: 0, read_bytes: 1, written_bytes: 2, reads: 3, writes: 4 }],
            hugepages: vec![HugePages { size: "2MB".into(), usage: one, max_usage: one }],
            pressure: Pressure {
                cpu: Some(Stall::default()),
                memory: Some(Stall::default()),
                io: Some(Stall::default()),
            },
        }
    }

    fn running() -> ContainerView {
        let mut view = view(ContainerState::Running { pid: 1, started_at: 3_900_000_000 });
        Arc::make_mut(&mut view.spec).resources.cpu_quota = 20_000;
        view
    }

    fn told(node: &NodeSample) -> v1::PodSandboxMetrics {
        pod_metrics(&node.pods[0], node)
    }

    fn all(pod: &v1::PodSandboxMetrics) -> impl Iterator<Item = &v1::Metric> {
        pod.metrics.iter().chain(pod.container_metrics.iter().flat_map(|container| &container.metrics))
    }

    #[test]
    fn each_metric_has_values_with_as_many_labels_as_announced() {
        let pod = &told(&node(running(), everything()));
        for metric in &METRICS {
            let values: Vec<_> = all(pod).filter(|value| value.name == metric.name).collect();
            assert!(!values.is_empty(), "{}", metric.name);
            for value in values {
                assert_eq!(value.label_values.len(), LABELS.len() + metric.labels().len(), "{value:?}");
                assert!(value.value.is_some() && value.timestamp > 0, "{value:?}");
            }
        }
        let series: BTreeSet<_> = all(pod).map(|metric| (&metric.name, &metric.label_values)).collect();
        assert_eq!(series.len(), all(pod).count(), "a series is told twice");
        assert!(METRICS.iter().flat_map(Metric::labels).all(|key| OWN.contains(key) || *key == "ulimit"));
    }

    #[test]
    fn labels_are_those_of_cadvisor() {
        let told = told(&node(running(), everything()));
        let find = |name: &str| all(&told).find(|metric| metric.name == name).unwrap();
        let usage = find("container_cpu_usage_seconds_total");
        let id = "c".repeat(64);
        let image = "docker.io/library/busybox:latest";
        assert_eq!(usage.label_values, ["/peapod/c", &id, image, "main", "web-0", "shop", "total"]);
        assert_eq!((usage.value.unwrap().value, usage.timestamp), (1, 7_000_000_000));
        assert_eq!(usage.metric_type(), v1::MetricType::Counter);
        let received = find("container_network_receive_packets_total");
        assert_eq!(received.label_values, ["/kubepods/pod1", &"p".repeat(64), "", "", "web-0", "shop", "eth0"]);
        assert_eq!((received.value.unwrap().value, received.timestamp), (11, 8_000_000_000));
        assert_eq!(find("container_blkio_device_usage_total").label_values[6..], ["/dev/sda", "8", "0", "Read"]);
        assert_eq!(find("container_fs_usage_bytes").label_values[6..], ["/dev/vda1"]);
        assert_eq!(find("container_start_time_seconds").value.unwrap().value, 3);
        assert_eq!(find("container_spec_memory_limit_bytes").metric_type(), v1::MetricType::Gauge);
    }

    #[test]
    fn what_is_not_known_has_no_value() {
        let started = ContainerState::Running { pid: 1, started_at: 1 };
        let mut sample = node(view(started), Stats::default());
        (sample.disk, sample.pods[0].containers[0].processes) = (None, None);
        sample.pods[0].interfaces.clear();
        let told = told(&sample);
        let names: BTreeSet<_> = all(&told).map(|metric| metric.name.as_str()).collect();
        let known: Vec<_> = names.into_iter().collect();
        assert_eq!(
            known,
            [
                "container_last_seen",
                "container_spec_cpu_period",
                "container_spec_cpu_shares",
                "container_spec_memory_limit_bytes",
                "container_spec_memory_reservation_limit_bytes",
                "container_spec_memory_swap_limit_bytes",
                "container_start_time_seconds",
            ]
        );
    }
}
