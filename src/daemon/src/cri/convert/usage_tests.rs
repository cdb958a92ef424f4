//! What statistics and metrics are tested with: a node that tells everything.

use std::sync::Arc;

use peapod_api::v1;
use peapod_cgroup::{CpuStats, DeviceIo, HugePages, MemoryStats, PageFaults, Pressure, Stall, Stats, SwapStats};
use peapod_pod::{ParentKind, PodState, PodView};

use super::view_tests::pod_id;
use crate::stats::{InterfaceUsage, Traffic};

pub(crate) fn pod_view() -> PodView {
    let metadata =
        v1::PodSandboxMetadata { name: "web-0".into(), uid: "u".into(), namespace: "shop".into(), attempt: 0 };
    let config = v1::PodSandboxConfig { metadata: Some(metadata), ..Default::default() };
    PodView {
        id: pod_id(),
        spec: Arc::new(super::pod_spec(Some(config), String::new()).unwrap()),
        state: PodState::Ready,
        created_at: 1,
        ips: Vec::new(),
        netns: None,
        shim_pid: 0,
        namespaces: Vec::new(),
        runtime_handler: String::new(),
        cgroup_parent: "/kubepods/pod1".into(),
        parent_kind: ParentKind::Given,
    }
}

pub(super) fn everything() -> Stats {
    let one = Some(1_500_000_000);
    Stats {
        cpu: CpuStats { used: one, user: one, system: one, periods: one, throttled_periods: one, throttled: one },
        memory: MemoryStats {
            usage: one,
            working_set: one,
            rss: one,
            cache: one,
            shared: one,
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
        pressure: Pressure { cpu: Some(Stall::default()), memory: Some(Stall::default()), io: Some(Stall::default()) },
    }
}

pub(super) fn interface(name: &str) -> InterfaceUsage {
    let traffic = Traffic { bytes: Some(10), packets: Some(11), errors: Some(12), dropped: Some(13) };
    InterfaceUsage { name: name.to_owned(), received: traffic, transmitted: traffic }
}
