//! Requests and limits as a kubelet words them for a runtime: pure.

use peapod_api::v1;

use super::facts::ThisNode;
use crate::manifest::{Container, ContainerResources, Pod, QosClass, Quantity};

/// The time in which a container has its share of processors, in microseconds.
const PERIOD: i64 = 100_000;
/// The least that the kernel takes.
const LEAST_QUOTA: i64 = 1000;
/// Of one processor.
const SHARES: i64 = 1024;
const LEAST_SHARES: i64 = 2;
const MOST_SHARES: i64 = 262_144;
/// Who goes last when memory is short, and who first.
const GUARANTEED_SCORE: i64 = -997;
const BEST_EFFORT_SCORE: i64 = 1000;

/// Of a container.
pub(super) fn of_container(pod: &Pod, container: &Container, node: &ThisNode) -> v1::LinuxContainerResources {
    let (own, whole) = (&container.resources, &pod.placement.resources);
    let limit = |name: &str| own.limit(name).or_else(|| whole.limit(name));
    let cpu = match own.request("cpu") {
        // Without a request of its own the pod's limit is none.
        request if request.is_zero() => own.limit("cpu").unwrap_or_default(),
        request => request,
    };
    let unified =
        if node.has_cgroup_v2 { [("memory.oom.group".to_owned(), "1".to_owned())].into() } else { Default::default() };
    v1::LinuxContainerResources {
        cpu_shares: shares(cpu),
        cpu_period: PERIOD,
        cpu_quota: limit("cpu").map_or(0, quota),
        memory_limit_in_bytes: limit("memory").map_or(0, Quantity::value),
        oom_score_adj: oom_score(pod, container, node),
        hugepage_limits: huge_pages(own, node),
        unified,
        ..Default::default()
    }
}

/// Of a pod as a whole: what its containers ask for together, or one init container if that is more.
pub(super) fn of_pod(pod: &Pod) -> Option<v1::LinuxContainerResources> {
    let whole = &pod.placement.resources;
    if whole.is_empty() && pod.all_containers().all(|container| container.resources.is_empty()) {
        return None;
    }
    let sum = |get: &dyn Fn(&ContainerResources) -> Quantity| {
        let together = pod.containers.iter().map(|one| get(&one.resources)).fold(Quantity::default(), Quantity::plus);
        pod.init_containers.iter().map(|one| get(&one.resources)).fold(together, Ord::max)
    };
    let request = |name: &str| match whole.request(name) {
        none if none.is_zero() => sum(&|one| one.request(name)),
        request => request,
    };
    // A container without a limit makes the sum of limits meaningless.
    let limit = |name: &str| match whole.limit(name) {
        Some(limit) => Some(limit),
        None if pod.containers.iter().all(|one| one.resources.limit(name).is_some()) => {
            Some(sum(&|one| one.limit(name).unwrap_or_default()))
        }
        None => None,
    };
    Some(v1::LinuxContainerResources {
        cpu_shares: shares(request("cpu")),
        cpu_period: PERIOD,
        cpu_quota: limit("cpu").map_or(0, quota),
        memory_limit_in_bytes: limit("memory").map_or(0, Quantity::value),
        ..Default::default()
    })
}

fn shares(cpu: Quantity) -> i64 {
    (cpu.milli().saturating_mul(SHARES) / 1000).clamp(LEAST_SHARES, MOST_SHARES)
}

fn quota(cpu: Quantity) -> i64 {
    (cpu.milli().saturating_mul(PERIOD) / 1000).max(LEAST_QUOTA)
}

/// A limit for each size of pages that the node has, zero where none are asked for.
fn huge_pages(resources: &ContainerResources, node: &ThisNode) -> Vec<v1::HugepageLimit> {
    let asked = |size: u64| {
        let name = resources.limits.keys().find(|name| {
            let text = name.strip_prefix("hugepages-").and_then(crate::manifest::size_of_pages);
            text == Some(size)
        });
        name.and_then(|name| resources.limit(name)).map_or(0, Quantity::value)
    };
    let limit = |size: &u64| v1::HugepageLimit {
        page_size: page_name(*size),
        limit: u64::try_from(asked(*size)).unwrap_or_default(),
    };
    node.huge_pages.iter().map(limit).collect()
}

/// As runtimes call them: `2MB`, `1GB`.
fn page_name(size: u64) -> String {
    match size {
        size if size % (1 << 30) == 0 => format!("{}GB", size >> 30),
        size if size % (1 << 20) == 0 => format!("{}MB", size >> 20),
        size => format!("{}KB", size >> 10),
    }
}

/// How soon the kernel kills it when memory is short.
fn oom_score(pod: &Pod, container: &Container, node: &ThisNode) -> i64 {
    let whole = &pod.placement.resources;
    match QosClass::of(whole, pod.all_containers().map(|container| &container.resources)) {
        QosClass::Guaranteed => GUARANTEED_SCORE,
        QosClass::BestEffort => BEST_EFFORT_SCORE,
        QosClass::Burstable => {
            let own = container.resources.request("memory").value();
            // What the pod asks for beyond its containers is shared out among them.
            let together: i64 = pod.containers.iter().map(|one| one.resources.request("memory").value()).sum();
            let rest = whole.request("memory").value().saturating_sub(together).max(0);
            let count = i64::try_from(pod.containers.len()).unwrap_or(1).max(1);
            let asked = own.saturating_add(rest / count);
            let score = BEST_EFFORT_SCORE - asked.saturating_mul(1000) / node.memory.max(1);
            score.clamp(BEST_EFFORT_SCORE + GUARANTEED_SCORE, BEST_EFFORT_SCORE - 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    fn resources(spec: &str) -> Vec<v1::LinuxContainerResources> {
        let node =
            ThisNode { memory: 4 << 30, processors: 4, huge_pages: vec![2 << 20, 1 << 30], ..Default::default() };
        let text = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{{spec}}}}}");
        let pod = manifest::read(&text).unwrap();
        pod.containers.iter().map(|container| of_container(&pod, container, &node)).collect()
    }

    fn numbers(spec: &str) -> (i64, i64, i64, i64) {
        let one = resources(spec).remove(0);
        (one.cpu_shares, one.cpu_quota, one.memory_limit_in_bytes, one.oom_score_adj)
    }

    #[test]
    fn they_are_what_a_kubelet_makes_of_them() {
        for (given, expected) in [
            ("{}", (2, 0, 0, 1000)),
            ("{requests: {cpu: 250m, memory: 1Gi}}", (256, 0, 0, 750)),
            ("{requests: {cpu: 1m}}", (2, 0, 0, 999)),
            ("{requests: {memory: 16Gi}}", (2, 0, 0, 3)),
            ("{limits: {cpu: 500m, memory: 64Mi}}", (512, 50_000, 64 << 20, -997)),
            ("{limits: {cpu: 1, memory: 1G}, requests: {cpu: 0.5}}", (512, 100_000, 1_000_000_000, 768)),
            ("{limits: {cpu: 1m}}", (2, 1000, 0, 999)),
            ("{requests: {cpu: 1000}}", (262_144, 0, 0, 999)),
        ] {
            assert_eq!(
                numbers(&format!("containers: [{{name: a, image: x, resources: {given}}}]")),
                expected,
                "{given}"
            );
        }
    }

    #[test]
    fn huge_pages_are_zero_unless_they_are_asked_for() {
        let given = "containers: [{name: a, image: x, resources: {limits: {memory: 1Gi, hugepages-2048Ki: 4Mi}}}]";
        let limits = resources(given).remove(0).hugepage_limits;
        let limits: Vec<_> = limits.iter().map(|one| (one.page_size.as_str(), one.limit)).collect();
        assert_eq!(limits, [("2MB", 4 << 20), ("1GB", 0)]);
    }

    #[test]
    fn what_a_pod_asks_for_counts_for_its_containers() {
        let spec = "resources: {requests: {memory: 2Gi}, limits: {cpu: 1, memory: 2Gi}}, \
                    containers: [{name: a, image: x}, {name: b, image: x, resources: {limits: {memory: 1Gi}}}]";
        let all: Vec<_> = resources(spec).iter().map(|r| (r.cpu_quota, r.memory_limit_in_bytes)).collect();
        assert_eq!(all, [(100_000, 2 << 30), (100_000, 1 << 30)]);
    }
}
