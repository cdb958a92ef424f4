//! Metrics as CRI says them.

use bytes::Bytes;
use peapod_api::v1;
use peapod_cgroup::Hierarchy;
use peapod_pod::PodView;

use super::encoded_fields::EncodedFields;
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

/// All values of a pod: an encoded [`v1::PodSandboxMetrics`].
pub(crate) fn pod_metrics(pod: &PodSample, node: &NodeSample) -> Bytes {
    let view = &pod.entry.pod;
    let mut message = EncodedFields::default();
    message.text(1, view.id.as_str());
    // Of the pod alone: as those of cAdvisor they name no container and no image.
    let mut encoder = MetricEncoder::new(node.timestamp, [&view.cgroup_parent, view.id.as_str(), "", ""], view);
    for metric in &METRICS {
        metric.of_pod(pod, |own, value| {
            message.message(2, encoder.metric(metric, own, value));
        });
    }
    for container in &pod.containers {
        message.message(3, &container_metrics(container, pod, node));
    }
    message.into_bytes()
}

/// A [`v1::ContainerMetrics`].
fn container_metrics(sample: &ContainerSample, pod: &PodSample, node: &NodeSample) -> EncodedFields {
    let view = &sample.view;
    let own = [view.cgroup.as_str(), view.id.as_str(), &view.image_name, &view.spec.metadata.name];
    let mut encoder = MetricEncoder::new(sample.timestamp, own, &pod.entry.pod);
    let mut message = EncodedFields::default();
    message.text(1, view.id.as_str());
    for metric in &METRICS {
        metric.of_container(sample, node.disk.as_ref(), |own, value| {
            message.message(2, encoder.metric(metric, own, value));
        });
    }
    message
}

/// Encodes values of one pod or container, one after the other.
struct MetricEncoder {
    /// In nanoseconds since the epoch.
    timestamp: u64,
    /// Values of [`LABELS`], encoded once.
    labels: EncodedFields,
    /// The last value.
    metric: EncodedFields,
    number: EncodedFields,
}

impl MetricEncoder {
    /// `own` are the values of the first [`LABELS`]; the others are the pod's.
    fn new(timestamp: i64, own: [&str; 4], pod: &PodView) -> Self {
        let metadata = &pod.spec.metadata;
        let mut labels = EncodedFields::default();
        for label in own.into_iter().chain([&*metadata.name, &*metadata.namespace]) {
            labels.text(4, label);
        }
        let (metric, number) = <(EncodedFields, EncodedFields)>::default();
        Self { timestamp: u64::try_from(timestamp).unwrap_or_default(), labels, metric, number }
    }

    /// A [`v1::Metric`].
    fn metric(&mut self, metric: &Metric, own: &[&str], value: u64) -> &EncodedFields {
        let kind = match metric.kind {
            MetricKind::Counter => v1::MetricType::Counter,
            MetricKind::Gauge => v1::MetricType::Gauge,
        };
        self.number.clear().number(1, value);
        self.metric.clear().text(1, metric.name).number(2, self.timestamp).number(3, kind as u64);
        self.metric.all_of(&self.labels);
        for label in own {
            self.metric.text(4, label);
        }
        self.metric.message(5, &self.number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use peapod_cgroup::Stats;
    use peapod_pod::{ContainerState, ContainerView, PodEntry};
    use prost::Message;

    use super::super::usage_tests::{everything, interface, pod_view};
    use super::super::view_tests::view;
    use super::*;
    use crate::stats::{Disk, LayerUsage, ProcessCounts};

    const OWN: [&str; 9] =
        ["cpu", "device", "failure_type", "interface", "major", "minor", "operation", "pagesize", "scope"];

    fn node(view: ContainerView, stats: Stats) -> NodeSample {
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
                entry: Arc::new(PodEntry { pod: pod_view(), containers: BTreeMap::new() }),
                interfaces: vec![interface("eth0")],
                containers: vec![container],
            }],
            disk: Some(Disk { device: "/dev/vda1".into(), bytes: 1 << 30, inodes: Some(100), free_inodes: Some(40) }),
        }
    }

    fn running() -> ContainerView {
        let mut view = view(ContainerState::Running { pid: 1, started_at: 3_900_000_000 });
        Arc::make_mut(&mut view.spec).resources.cpu_quota = 20_000;
        view
    }

    fn told(node: &NodeSample) -> v1::PodSandboxMetrics {
        let bytes = pod_metrics(&node.pods[0], node);
        let pod = v1::PodSandboxMetrics::decode(bytes.clone()).unwrap();
        assert_eq!(pod.encode_to_vec(), bytes);
        pod
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
