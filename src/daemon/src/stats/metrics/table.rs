//! The table of metrics, by name.

use peapod_cgroup::{Stall, TaskLimit};
use peapod_pod::ContainerState;

use super::MetricKind::{Counter, Gauge};
use super::Value::{
    Device, Disk, Faults, HugePages, Interface, Layer, Limits, Operations, Plain, Processes, Processors,
};
use super::{ContainerSample, Metric, MetricKind, Needs, ProcessCounts, Value, spec};

/// All that some node can tell.
pub(crate) static METRICS: [Metric; 56] = [
    metric("container_blkio_device_usage_total", "Bytes that went from and to a block device.", Counter, Operations),
    metric(
        "container_cpu_cfs_periods_total",
        "Periods over which the quota of processor time was enforced.",
        Counter,
        Plain(|of| limited(of, of.stats.cpu.periods)),
    ),
    metric(
        "container_cpu_cfs_throttled_periods_total",
        "Periods in which the quota of processor time was used up.",
        Counter,
        Plain(|of| limited(of, of.stats.cpu.throttled_periods)),
    ),
    metric(
        "container_cpu_cfs_throttled_seconds_total",
        "Time for which tasks had to stand still as the quota was used up, in seconds.",
        Counter,
        Plain(|of| limited(of, seconds(of.stats.cpu.throttled))),
    ),
    metric(
        "container_cpu_system_seconds_total",
        "Processor time used in the kernel, in seconds.",
        Counter,
        Plain(|of| seconds(of.stats.cpu.system)),
    ),
    metric(
        "container_cpu_usage_seconds_total",
        "Processor time used, in seconds.",
        Counter,
        Processors(|of| seconds(of.stats.cpu.used)),
    ),
    metric(
        "container_cpu_user_seconds_total",
        "Processor time used in programs, in seconds.",
        Counter,
        Plain(|of| seconds(of.stats.cpu.user)),
    ),
    metric("container_file_descriptors", "Open file descriptors.", Gauge, Processes(|counts| counts.descriptors)),
    metric(
        "container_fs_inodes_free",
        "Inodes that are free on the file system of writable layers.",
        Gauge,
        Disk(|disk| disk.free_inodes),
    ),
    metric(
        "container_fs_inodes_total",
        "Inodes of the file system of writable layers.",
        Gauge,
        Disk(|disk| disk.inodes),
    ),
    metric(
        "container_fs_limit_bytes",
        "Bytes of the file system of writable layers.",
        Gauge,
        Disk(|disk| Some(disk.bytes)),
    ),
    metric("container_fs_reads_bytes_total", "Bytes read from a block device.", Counter, Device(|io| io.read_bytes)),
    metric("container_fs_reads_total", "Reads from a block device.", Counter, Device(|io| io.reads)),
    metric("container_fs_usage_bytes", "Bytes that the writable layer takes.", Gauge, Layer(|layer| layer.bytes)),
    metric(
        "container_fs_writes_bytes_total",
        "Bytes written to a block device.",
        Counter,
        Device(|io| io.written_bytes),
    ),
    metric("container_fs_writes_total", "Writes to a block device.", Counter, Device(|io| io.writes)),
    needs(
        Needs::HugePageMaxima,
        metric(
            "container_hugetlb_max_usage_bytes",
            "The most bytes of huge pages that were ever used.",
            Gauge,
            HugePages(|pages| pages.max_usage),
        ),
    ),
    needs(
        Needs::HugePages,
        metric(
            "container_hugetlb_usage_bytes",
            "Bytes of huge pages that are used.",
            Gauge,
            HugePages(|pages| pages.usage),
        ),
    ),
    metric(
        "container_last_seen",
        "When the container was looked at, in seconds since the epoch.",
        Gauge,
        Plain(|of| since_epoch(of.timestamp)),
    ),
    metric("container_memory_cache", "Bytes of cached files.", Gauge, Plain(|of| of.stats.memory.cache)),
    metric(
        "container_memory_failcnt",
        "How often the memory limit was hit.",
        Counter,
        Plain(|of| of.stats.memory.limit_hits),
    ),
    metric("container_memory_failures_total", "Page faults.", Counter, Faults),
    metric(
        "container_memory_kernel_usage",
        "Bytes of memory of the kernel's own.",
        Gauge,
        Plain(|of| of.stats.memory.kernel),
    ),
    metric("container_memory_mapped_file", "Bytes of mapped files.", Gauge, Plain(|of| of.stats.memory.mapped_file)),
    metric(
        "container_memory_max_usage_bytes",
        "The most bytes of memory that were ever used.",
        Gauge,
        Plain(|of| of.stats.memory.max_usage),
    ),
    metric("container_memory_rss", "Bytes of anonymous memory.", Gauge, Plain(|of| of.stats.memory.rss)),
    metric("container_memory_swap", "Bytes of memory that are swapped out.", Gauge, Plain(|of| of.stats.swap.used)),
    metric(
        "container_memory_usage_bytes",
        "Bytes of memory that are used, all kinds of it.",
        Gauge,
        Plain(|of| of.stats.memory.usage),
    ),
    metric(
        "container_memory_working_set_bytes",
        "Bytes of memory that are used and can't be dropped at once.",
        Gauge,
        Plain(|of| of.stats.memory.working_set),
    ),
    metric("container_network_receive_bytes_total", "Bytes received.", Counter, Interface(|it| it.received.bytes)),
    metric(
        "container_network_receive_errors_total",
        "Errors while receiving.",
        Counter,
        Interface(|it| it.received.errors),
    ),
    metric(
        "container_network_receive_packets_dropped_total",
        "Packets dropped while receiving.",
        Counter,
        Interface(|it| it.received.dropped),
    ),
    metric(
        "container_network_receive_packets_total",
        "Packets received.",
        Counter,
        Interface(|it| it.received.packets),
    ),
    metric(
        "container_network_transmit_bytes_total",
        "Bytes transmitted.",
        Counter,
        Interface(|it| it.transmitted.bytes),
    ),
    metric(
        "container_network_transmit_errors_total",
        "Errors while transmitting.",
        Counter,
        Interface(|it| it.transmitted.errors),
    ),
    metric(
        "container_network_transmit_packets_dropped_total",
        "Packets dropped while transmitting.",
        Counter,
        Interface(|it| it.transmitted.dropped),
    ),
    metric(
        "container_network_transmit_packets_total",
        "Packets transmitted.",
        Counter,
        Interface(|it| it.transmitted.packets),
    ),
    metric(
        "container_oom_events_total",
        "Processes that the kernel killed for lack of memory.",
        Counter,
        Plain(|of| of.stats.oom_kills),
    ),
    needs(
        Needs::Pressure,
        metric(
            "container_pressure_cpu_stalled_seconds_total",
            "Time for which all tasks waited for a processor, in seconds.",
            Counter,
            Plain(|of| stalled(of.stats.pressure.cpu)),
        ),
    ),
    needs(
        Needs::Pressure,
        metric(
            "container_pressure_cpu_waiting_seconds_total",
            "Time for which some tasks waited for a processor, in seconds.",
            Counter,
            Plain(|of| waiting(of.stats.pressure.cpu)),
        ),
    ),
    needs(
        Needs::Pressure,
        metric(
            "container_pressure_io_stalled_seconds_total",
            "Time for which all tasks waited for block devices, in seconds.",
            Counter,
            Plain(|of| stalled(of.stats.pressure.io)),
        ),
    ),
    needs(
        Needs::Pressure,
        metric(
            "container_pressure_io_waiting_seconds_total",
            "Time for which some tasks waited for block devices, in seconds.",
            Counter,
            Plain(|of| waiting(of.stats.pressure.io)),
        ),
    ),
    needs(
        Needs::Pressure,
        metric(
            "container_pressure_memory_stalled_seconds_total",
            "Time for which all tasks waited for memory, in seconds.",
            Counter,
            Plain(|of| stalled(of.stats.pressure.memory)),
        ),
    ),
    needs(
        Needs::Pressure,
        metric(
            "container_pressure_memory_waiting_seconds_total",
            "Time for which some tasks waited for memory, in seconds.",
            Counter,
            Plain(|of| waiting(of.stats.pressure.memory)),
        ),
    ),
    metric("container_processes", "Processes.", Gauge, Processes(|counts| Some(counts.processes))),
    metric("container_sockets", "Open file descriptors of sockets.", Gauge, Processes(|counts| counts.sockets)),
    metric(
        "container_spec_cpu_period",
        "The period of the quota of processor time, in microseconds.",
        Gauge,
        Plain(spec::cpu_period),
    ),
    metric(
        "container_spec_cpu_quota",
        "The quota of processor time, in microseconds of each period.",
        Gauge,
        Plain(spec::cpu_quota),
    ),
    metric(
        "container_spec_cpu_shares",
        "Shares of processor time, on the scale of cgroup v1.",
        Gauge,
        Plain(spec::cpu_shares),
    ),
    metric(
        "container_spec_memory_limit_bytes",
        "The limit of memory in bytes; 0 is none.",
        Gauge,
        Plain(spec::memory_limit),
    ),
    metric(
        "container_spec_memory_reservation_limit_bytes",
        "Bytes of memory that are never taken away.",
        Gauge,
        Plain(spec::memory_reservation),
    ),
    metric(
        "container_spec_memory_swap_limit_bytes",
        "The limit of swap in bytes; 0 is also none.",
        Gauge,
        Plain(spec::swap_limit),
    ),
    metric(
        "container_start_time_seconds",
        "When the container was started, in seconds since the epoch.",
        Gauge,
        Plain(started),
    ),
    metric("container_threads", "Tasks: each thread counts.", Gauge, Plain(|of| of.stats.tasks)),
    metric("container_threads_max", "The limit of tasks; 0 is none.", Gauge, Processes(task_limit)),
    metric("container_ulimits_soft", "Soft limits of the container's first process.", Gauge, Limits),
];

const fn metric(name: &'static str, help: &'static str, kind: MetricKind, value: Value) -> Metric {
    Metric { name, help, kind, value, needs: Needs::Nothing }
}

const fn needs(needs: Needs, metric: Metric) -> Metric {
    Metric { needs, ..metric }
}

fn seconds(nanoseconds: Option<u64>) -> Option<u64> {
    nanoseconds.map(|time| time / 1_000_000_000)
}

fn since_epoch(nanoseconds: i64) -> Option<u64> {
    seconds(u64::try_from(nanoseconds).ok())
}

fn started(of: &ContainerSample) -> Option<u64> {
    match of.view.state {
        ContainerState::Running { started_at, .. } => since_epoch(started_at),
        _ => None,
    }
}

/// Without a quota nothing is enforced.
fn limited(of: &ContainerSample, value: Option<u64>) -> Option<u64> {
    spec::cpu_quota(of).and(value)
}

fn waiting(stall: Option<Stall>) -> Option<u64> {
    stall.map(|stall| stall.some.total / 1_000_000)
}

fn stalled(stall: Option<Stall>) -> Option<u64> {
    stall.map(|stall| stall.full.total / 1_000_000)
}

fn task_limit(counts: &ProcessCounts) -> Option<u64> {
    match counts.task_limit {
        TaskLimit::Unknown => None,
        TaskLimit::None => Some(0),
        TaskLimit::AtMost(limit) => Some(limit),
    }
}
