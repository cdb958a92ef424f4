//! Pods, containers and shims.

use peapod_pod::{ContainerState, PodMeasures, PodState, Snapshot};

use super::family::{FamilyReading, MetricFamily};

pub(super) static FAMILIES: [MetricFamily; 13] = [
    MetricFamily::gauge("peapod_pods", &["state"], "Pods that lists show, `ready` and `not_ready`."),
    MetricFamily::gauge(
        "peapod_containers",
        &["state"],
        "Containers that lists show, `created`, `running` and `exited`.",
    ),
    MetricFamily::gauge("peapod_shims", &[], "Pods that have a shim."),
    MetricFamily::histogram("peapod_shim_start_duration_seconds", &[], "From the wish for a shim up to its process."),
    MetricFamily::counter("peapod_shim_start_failures", &[], "Shims that could not be started."),
    MetricFamily::counter(
        "peapod_shims_lost",
        &[],
        "Shims that were gone, or could not be spoken to, without having been told to end.",
    ),
    MetricFamily::gauge(
        "peapod_container_turns_waiting",
        &[],
        "Starts and removals of containers that wait for their turn.",
    ),
    MetricFamily::gauge("peapod_container_turns_taken", &[], "Starts and removals of containers under way."),
    MetricFamily::counter(
        "peapod_swept",
        &["kind"],
        "What no record led to and was ended: `cgroup`, `pod`, `network`, `lease`, `files`.",
    ),
    MetricFamily::counter("peapod_sweep_failures", &["kind"], "The same that could not be ended, each time of trying."),
    MetricFamily::counter(
        "peapod_records_set_aside",
        &[],
        "Records of pods and containers that could not be read when the daemon started.",
    ),
    MetricFamily::counter("peapod_defects", &[], "Pods that were taken up again from their records after a panic."),
    MetricFamily::counter(
        "peapod_event_streams_dropped",
        &[],
        "Clients of GetContainerEvents that were too slow for what happened.",
    ),
];

pub(super) fn read(snapshot: &Snapshot, measures: &PodMeasures) -> Vec<FamilyReading> {
    let [pods, containers, shims, starts, failures, lost, waiting, taken, swept, unswept, records, defects, dropped] =
        &FAMILIES;
    let (mut ready, mut not_ready, mut with_shim) = (0_u64, 0_u64, 0_u64);
    for entry in snapshot.pods() {
        match entry.pod.state {
            PodState::Ready => ready += 1,
            PodState::NotReady => not_ready += 1,
        }
        with_shim += u64::from(entry.pod.shim_pid != 0);
    }
    let (mut created, mut running, mut exited) = (0_u64, 0_u64, 0_u64);
    for container in snapshot.containers() {
        match container.state {
            ContainerState::Created => created += 1,
            ContainerState::Running { .. } => running += 1,
            ContainerState::Exited { .. } => exited += 1,
        }
    }
    vec![
        pods.by([("ready", ready), ("not_ready", not_ready)]),
        containers.by([("created", created), ("running", running), ("exited", exited)]),
        shims.is(with_shim),
        starts.is(measures.shim_starts.read()),
        failures.is(measures.shim_start_failures.get()),
        lost.is(measures.shims_lost.get()),
        waiting.is(measures.turns_waiting.get()),
        taken.is(measures.turns_taken.get()),
        swept.by(measures.swept.iter()),
        unswept.by(measures.sweep_failures.iter()),
        records.is(measures.records_set_aside.get()),
        defects.is(measures.defects.get()),
        dropped.is(measures.subscribers_dropped.get()),
    ]
}
