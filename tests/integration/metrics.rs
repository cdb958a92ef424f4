//! Metrics: what is announced, what is told, and that it is what the kernel says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use peapod_tests::{Container, Daemon, Pod, cgroups, on_each_runtime, peapod, pod_metrics, v1, wait_for, wait_some};

use crate::resources::read;

/// Those of block devices, which a container may not have used, and of huge pages, of which a group above it decides.
const OPTIONAL: [&str; 2] = ["container_hugetlb_", "container_blkio_"];
const OF_DEVICES: [&str; 4] = ["fs_reads_bytes_total", "fs_reads_total", "fs_writes_bytes_total", "fs_writes_total"];

fn is_optional(name: &str) -> bool {
    OPTIONAL.iter().any(|start| name.starts_with(start)) || OF_DEVICES.iter().any(|end| name.ends_with(end))
}

async fn descriptors(daemon: &Daemon) -> BTreeMap<String, v1::MetricDescriptor> {
    let request = v1::ListMetricDescriptorsRequest {};
    let all = daemon.runtime().list_metric_descriptors(request).await.unwrap().into_inner().descriptors;
    all.into_iter().map(|descriptor| (descriptor.name.clone(), descriptor)).collect()
}

async fn metrics(daemon: &Daemon) -> Vec<v1::PodSandboxMetrics> {
    let request = v1::ListPodSandboxMetricsRequest {};
    pod_metrics(daemon.runtime().list_pod_sandbox_metrics(request).await.unwrap().into_inner().pod_metrics)
}

async fn of_pod(pod: &Pod<'_>) -> v1::PodSandboxMetrics {
    let all = metrics(pod.daemon).await;
    all.into_iter().find(|of| of.pod_sandbox_id == pod.id).expect("metrics of the pod")
}

async fn of_container(container: &Container<'_>) -> Vec<v1::Metric> {
    let pod = of_pod(&container.pod).await;
    let found = pod.container_metrics.into_iter().find(|of| of.container_id == container.id);
    found.expect("metrics of the container").metrics
}

/// The same as sampled after a time: who asks soon again is given what was told before.
async fn of_container_since(container: &Container<'_>, time: SystemTime) -> Vec<v1::Metric> {
    let time = i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap();
    wait_some("a new sample", async || {
        let told = of_container(container).await;
        told.iter().all(|metric| metric.timestamp >= time).then_some(told)
    })
    .await
}

fn value(metrics: &[v1::Metric], name: &str) -> u64 {
    let found = metrics.iter().find(|metric| metric.name == format!("container_{name}"));
    found.unwrap_or_else(|| panic!("no {name}")).value.expect("a value").value
}

fn number(container: &Container<'_>, controller: &str, v1_file: &str, v2_file: &str) -> u64 {
    read(container, controller, v1_file, v2_file).parse().unwrap()
}

/// The first call after a start has everything: whoever scrapes twice an hour is told as much as who does each second.
#[test]
fn all_that_is_announced_is_told_at_once() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("announced").run().await;
        let container = pod
            .container("main")
            .sh("sleep 1000")
            .resources(|limits| {
                limits.cpu_period = 100_000;
                limits.cpu_quota = 20_000;
                limits.cpu_shares = 1024;
                limits.memory_limit_in_bytes = 64 << 20;
                limits.memory_swap_limit_in_bytes = 64 << 20;
            })
            .start()
            .await;
        let of_pod = of_pod(&pod).await;
        let announced = descriptors(daemon).await;
        assert!(announced.len() >= 45, "{announced:?}");
        let pressure = announced.contains_key("container_pressure_cpu_waiting_seconds_total");
        assert_eq!(pressure, cgroups::is_v2() && fs::read("/proc/pressure/cpu").is_ok());
        let of_containers = of_pod.container_metrics.iter().flat_map(|of| &of.metrics);
        let told: Vec<_> = of_pod.metrics.iter().chain(of_containers).collect();
        for metric in &told {
            let keys = &announced.get(&metric.name).unwrap_or_else(|| panic!("not announced: {metric:?}")).label_keys;
            assert_eq!(keys.len(), metric.label_values.len(), "{metric:?}");
            assert!(metric.value.is_some() && metric.timestamp > 0, "{metric:?}");
        }
        let names: BTreeSet<_> = told.iter().map(|metric| &metric.name).collect();
        let missing: Vec<_> = announced.keys().filter(|name| !names.contains(name) && !is_optional(name)).collect();
        assert!(missing.is_empty(), "announced and not told: {missing:?}");

        let usage = told.iter().find(|metric| metric.name == "container_memory_usage_bytes").unwrap();
        let keys = &announced["container_memory_usage_bytes"].label_keys;
        let labels: BTreeMap<_, _> = keys.iter().map(String::as_str).zip(&usage.label_values).collect();
        let metadata = pod.config.metadata.clone().unwrap();
        assert_eq!((labels["container"].as_str(), labels["pod"]), ("main", &metadata.name));
        assert_eq!((labels["namespace"], labels["name"]), (&metadata.namespace, &container.id));
        assert!(labels["image"].contains("shell") && labels["id"].ends_with(&container.cgroup_name()), "{labels:?}");
    });
}

#[test]
fn values_are_those_of_the_kernel() {
    on_each_runtime(async |daemon| {
        let pod = daemon.pod("values").run().await;
        let container = pod
            .container("main")
            // Three processes, of which two have one pipe open beside what they begin with.
            .sh("head -c 3000000 /dev/zero >/written; sleep 1000 | sleep 1000 & wait")
            .resources(|limits| {
                limits.cpu_shares = 512;
                limits.memory_limit_in_bytes = 64 << 20;
            })
            .start()
            .await;
        let processes = || number_of_lines(&container);
        wait_for("three processes", async || processes() == 3).await;
        wait_for("what was written is counted", async || {
            value(&of_container(&container).await, "fs_usage_bytes") >= 3_000_000
        })
        .await;
        let peak = || number(&container, "memory", "memory.max_usage_in_bytes", "memory.peak");
        let (memory_before, second_before) = (peak(), seconds());
        let told = of_container_since(&container, SystemTime::now()).await;
        let (memory_after, second_after) = (peak(), seconds());
        let between = |name: &str, before: u64, after: u64| {
            let told = value(&told, name);
            assert!((before..=after).contains(&told), "{name}: {told} is not within {before} and {after}");
        };
        between("memory_max_usage_bytes", memory_before, memory_after);
        between("last_seen", second_before, second_after);
        assert!(value(&told, "memory_working_set_bytes") <= value(&told, "memory_usage_bytes"));
        assert!(value(&told, "memory_usage_bytes") <= value(&told, "memory_max_usage_bytes"));
        assert_eq!(value(&told, "threads"), number(&container, "pids", "pids.current", "pids.current"));
        assert_eq!(value(&told, "oom_events_total"), 0);
        assert_eq!(value(&told, "spec_memory_limit_bytes"), 64 << 20);
        assert_eq!((value(&told, "spec_cpu_shares"), value(&told, "spec_cpu_period")), (512, 100_000));
        assert!(told.iter().all(|metric| metric.name != "container_spec_cpu_quota"), "it has none");
        assert!(value(&told, "fs_limit_bytes") > value(&told, "fs_usage_bytes"));
        assert!(value(&told, "start_time_seconds") <= second_after);
        // Of before the fork, perhaps: what processes have open is counted each half minute.
        assert!((1..=3).contains(&value(&told, "processes")) && value(&told, "file_descriptors") >= 3);
        assert!(value(&told, "ulimits_soft") > 0);
    });
}

fn number_of_lines(container: &Container<'_>) -> usize {
    fs::read_to_string(container.cgroup_dir("pids").join("cgroup.procs")).unwrap_or_default().lines().count()
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn time_of_processors_is_counted_in_seconds() {
    peapod(async |daemon| {
        let pod = daemon.pod("busy").run().await;
        let container = pod.container("main").sh("while :; do :; done").start().await;
        wait_for("two seconds are used", async || {
            let told = of_container(&container).await;
            value(&told, "cpu_usage_seconds_total") >= 2 && value(&told, "cpu_user_seconds_total") >= 1
        })
        .await;
    });
}

/// Interfaces are the pod's, not its containers', and are told once.
#[test]
fn traffic_is_told_of_pods_with_a_network() {
    peapod(async |daemon| {
        let pod = daemon.pod("own").run().await;
        let first = pod.container("first").sh("sleep 1000").start().await;
        pod.container("second").sh("sleep 1000").start().await;
        let node = daemon.pod("node").host_network().run().await;
        node.container("main").sh("sleep 1000").start().await;
        let received = async || {
            let text = first.exec("cat /sys/class/net/eth0/statistics/rx_packets").await;
            text.trim().parse::<u64>().unwrap()
        };
        let before = received().await;
        let told = of_pod(&pod).await;
        let after = received().await;
        let found = value(&told.metrics, "network_receive_packets_total");
        assert!((before..=after).contains(&found), "{found} is not within {before} and {after}");
        assert_eq!(told.metrics.len(), 8, "{:?}", told.metrics);
        assert!(told.metrics.iter().all(|metric| metric.label_values.last().is_some_and(|name| name == "eth0")));
        let of_containers = told.container_metrics.iter().flat_map(|of| &of.metrics);
        assert!(of_containers.clone().count() > 60 && of_containers.clone().all(|it| !it.name.contains("_network_")));
        let of_node = of_pod(&node).await;
        assert!(of_node.metrics.is_empty(), "the node's traffic is not the pod's: {:?}", of_node.metrics);
        assert_eq!(of_node.container_metrics.len(), 1);
    });
}

#[test]
fn what_has_ended_is_told_no_more() {
    peapod(async |daemon| {
        let pod = daemon.pod("ends").run().await;
        let short = pod.container("short").sh("true").start().await;
        short.wait_exit().await;
        let long = pod.container("long").sh("sleep 1000").start().await;
        let created = pod.container("created").sh("true").create().await;
        let told: Vec<_> = of_pod(&pod).await.container_metrics.into_iter().map(|of| of.container_id).collect();
        assert_eq!(told, std::slice::from_ref(&long.id), "not {} and {}", short.id, created.id);
        long.stop(0).await.unwrap();
        let told = of_pod(&pod).await;
        assert!(told.container_metrics.is_empty() && told.metrics.is_empty(), "{told:?}");
        pod.stop().await.unwrap();
        assert!(metrics(daemon).await.is_empty(), "a pod that is not ready uses nothing");
    });
}

/// As of a container whose group somebody else has removed.
#[test]
fn what_cannot_be_read_hides_nothing_else() {
    peapod(async |daemon| {
        let broken = daemon.pod("broken").run().await;
        let lost = broken.container("main").sh("sleep 1000").start().await;
        let whole = daemon.pod("whole").run().await;
        let kept = whole.container("main").sh("sleep 1000").start().await;
        // Of version 1 the tree that counts is the freezer's.
        let group = lost.cgroup_dir("freezer");
        let root = Path::new("/sys/fs/cgroup");
        let root = if cgroups::is_v2() { root.to_owned() } else { root.join("freezer") };
        let pids = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        let move_to = |group: &Path| pids.lines().for_each(|pid| fs::write(group.join("cgroup.procs"), pid).unwrap());
        move_to(&root);
        // systemd removes a scope that is empty by itself.
        wait_for("the group is gone", async || fs::remove_dir(&group).is_ok() || !group.exists()).await;
        let told: Vec<_> = metrics(daemon).await.into_iter().flat_map(|pod| pod.container_metrics).collect();
        assert_eq!(told.iter().map(|of| &of.container_id).collect::<Vec<_>>(), [&kept.id]);
        let request = v1::StreamPodSandboxMetricsRequest {};
        let mut stream = daemon.runtime().stream_pod_sandbox_metrics(request).await.unwrap().into_inner();
        let mut streamed = Vec::new();
        while let Some(page) = stream.message().await.unwrap() {
            streamed.extend(pod_metrics(page.pod_sandbox_metrics).into_iter().flat_map(|pod| pod.container_metrics));
        }
        assert_eq!(streamed.iter().map(|of| &of.container_id).collect::<Vec<_>>(), [&kept.id]);
        // Back, so that its end can be told.
        fs::create_dir(&group).unwrap();
        move_to(&group);
        wait_for("both are told", async || {
            let told = metrics(daemon).await;
            told.iter().all(|pod| pod.container_metrics.len() == 1)
        })
        .await;
    });
}
