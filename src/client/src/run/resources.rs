//! Requests and limits as a kubelet words them for a runtime: pure.

use peapod_api::v1;

use super::facts::ThisNode;
use crate::manifest::{Container, ContainerResources, Pod, QosClass, Quantity, together};

/// The time in which a container has its share of processors, in microseconds.
const PERIOD: i64 = 100_000;
/// The least that the kernel takes.
const LEAST_QUOTA: i64 = 1000;
/// Of one processor.
const SHARES: i64 = 1024;
const LEAST_SHARES: i64 = 2;
const MOST_SHARES: i64 = 262_144;
/// A limit that a pod as a whole has, and no container.
pub(super) const PIDS: &str = "pids";
/// Who goes last when memory is short, and who first.
const GUARANTEED_SCORE: i64 = -997;
const BEST_EFFORT_SCORE: i64 = 1000;

/// What becomes of limits of a pod as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum WholeLimits {
    /// They are told with the sums of its containers', as by a kubelet, of a cgroup that is not the runtime's to make:
    /// they hold for each container that has none of its own.
    #[default]
    Told,
    /// They hold for each container that has none of its own, and nothing is told: the runtime would set what it is
    /// told on a cgroup of the pod's, where a sum is no limit.
    Untold,
    /// The runtime makes the pod a cgroup with them: they hold for its containers together.
    Together,
}

/// Of a container.
pub(super) fn of_container(
    pod: &Pod,
    container: &Container,
    node: &ThisNode,
    whole_limits: WholeLimits,
) -> v1::LinuxContainerResources {
    let (own, whole) = (&container.resources, &pod.placement.resources);
    let limit = |name: &str| match whole_limits {
        WholeLimits::Told | WholeLimits::Untold => own.limit(name).or_else(|| whole.limit(name)),
        WholeLimits::Together => own.limit(name),
    };
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

/// Of a pod as a whole, without what it takes itself. Nothing if it asks for nothing.
pub(super) fn of_pod(pod: &Pod, whole_limits: WholeLimits) -> Option<v1::LinuxContainerResources> {
    let whole = &pod.placement.resources;
    if whole.is_empty() && pod.all_containers().all(|container| container.resources.is_empty()) {
        return None;
    }
    match whole_limits {
        WholeLimits::Told => {}
        WholeLimits::Untold => return None,
        WholeLimits::Together => return Some(together_of_pod(pod)),
    }
    let request = |name: &str| match whole.requests.get(name) {
        Some(request) => *request,
        None => sum(pod, |one| one.request(name)),
    };
    let limit = |name: &str| match whole.limit(name) {
        Some(limit) => limit,
        None => sum(pod, |one| one.limit(name).unwrap_or_default()),
    };
    Some(amounts(request("cpu"), limit("cpu"), limit("memory")))
}

/// What all containers of a pod have together. Of what the pod itself does not say their sum is a limit only if each of
/// them has one, as on a kubelet's cgroup.
fn together_of_pod(pod: &Pod) -> v1::LinuxContainerResources {
    let whole = &pod.placement.resources;
    let request = whole.requests.get("cpu").copied().unwrap_or_else(|| sum(pod, |one| one.request("cpu")));
    let limit = |name: &str| {
        let is_each = || pod.all_containers().all(|container| container.resources.limit(name).is_some());
        let all = || is_each().then(|| sum(pod, |one| one.limit(name).unwrap_or_default()));
        whole.limit(name).or_else(all).unwrap_or_default()
    };
    let pages = whole.limits.keys().filter_map(|name| {
        let size = crate::manifest::size_of_pages(name.strip_prefix("hugepages-")?)?;
        let limit = u64::try_from(whole.limit(name)?.value()).ok()?;
        Some(v1::HugepageLimit { page_size: page_name(size), limit })
    });
    let pids = whole.limit(PIDS).map(|pids| ("pids.max".to_owned(), pids.value().to_string()));
    v1::LinuxContainerResources {
        hugepage_limits: pages.collect(),
        unified: pids.into_iter().collect(),
        ..amounts(request, limit("cpu"), limit("memory"))
    }
}

/// What a pod takes beside its containers.
pub(super) fn overhead(pod: &Pod) -> Option<v1::LinuxContainerResources> {
    let amount = |name: &str| pod.placement.overhead.get(name).copied().unwrap_or_default();
    (!pod.placement.overhead.is_empty()).then(|| amounts(amount("cpu"), amount("cpu"), amount("memory")))
}

fn sum(pod: &Pod, amount: impl Fn(&ContainerResources) -> Quantity) -> Quantity {
    together(&pod.init_containers, &pod.containers, amount)
}

fn amounts(cpu: Quantity, cpu_limit: Quantity, memory: Quantity) -> v1::LinuxContainerResources {
    v1::LinuxContainerResources {
        cpu_shares: shares(cpu),
        cpu_period: PERIOD,
        cpu_quota: if cpu_limit.is_zero() { 0 } else { quota(cpu_limit) },
        memory_limit_in_bytes: memory.value(),
        ..Default::default()
    }
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
            // What the pod asks for beyond its containers is shared out among them.
            let beyond = whole.request("memory").value().saturating_sub(sum(pod, |one| one.request("memory")).value());
            let share = beyond.max(0) / i64::try_from(pod.all_containers().count()).unwrap_or(i64::MAX).max(1);
            let memory = |container: &Container| container.resources.request("memory").value().saturating_add(share);
            let asked = match container.is_sidecar() {
                // It goes no sooner than whom it serves.
                true => pod.containers.iter().map(memory).min().max(Some(memory(container))).unwrap_or_default(),
                false => memory(container),
            };
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
        pod.containers.iter().map(|container| of_container(&pod, container, &node, WholeLimits::Told)).collect()
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

    fn pod(spec: &str) -> Pod {
        manifest::read(&format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{{spec}}}}}")).unwrap()
    }

    fn scores(spec: &str) -> Vec<i64> {
        let (pod, node) = (pod(spec), ThisNode { memory: 10 << 30, ..Default::default() });
        pod.all_containers()
            .map(|container| of_container(&pod, container, &node, WholeLimits::Told).oom_score_adj)
            .collect()
    }

    fn asking(name: &str, memory: &str, more: &str) -> String {
        format!("{{name: {name}, image: x, resources: {{requests: {{memory: {memory}}}}}{more}}}")
    }

    #[test]
    fn a_sidecar_goes_no_sooner_than_whom_it_serves() {
        let (small, large) = (asking("m", "1Gi", ""), asking("big", "3Gi", ""));
        let sidecar = |memory: &str| asking("s", memory, ", restartPolicy: Always");
        let with = |init: &str| format!("initContainers: [{init}], containers: [{small}, {large}]");
        assert_eq!(scores(&with(&sidecar("100Mi"))), [900, 900, 700]);
        assert_eq!(scores(&with(&sidecar("2Gi"))), [800, 900, 700]);
        // An init container that ends is by itself.
        assert_eq!(scores(&with(&asking("i", "512Mi", ""))), [950, 900, 700]);
        // 6 GiB beyond what the containers ask for, for three of them.
        let whole = format!("resources: {{requests: {{memory: 11Gi}}}}, {}", with(&sidecar("1Gi")));
        assert_eq!(scores(&whole), [700, 700, 500]);
    }

    #[test]
    fn a_pod_asks_for_the_most_that_runs_at_a_time() {
        let of = |spec: &str| {
            let of_pod = of_pod(&pod(spec), WholeLimits::Told).unwrap();
            (of_pod.cpu_shares, of_pod.cpu_quota, of_pod.memory_limit_in_bytes >> 20)
        };
        let one = |name: &str, cpu: &str, memory: &str, more: &str| {
            format!("{{name: {name}, image: x, resources: {{limits: {{cpu: {cpu}, memory: {memory}}}}}{more}}}")
        };
        let (first, last) = (one("a", "500m", "100Mi", ""), one("z", "500m", "400Mi", ""));
        let second = one("b", "500m", "100Mi", "");
        let sidecar = one("s", "250m", "50Mi", ", restartPolicy: Always");
        let main = format!("containers: [{}, {{name: other, image: x}}]", one("m", "500m", "200Mi", ""));
        let with = |init: &[&String]| {
            let init: Vec<&str> = init.iter().map(|text| text.as_str()).collect();
            format!("initContainers: [{}], {main}", init.join(", "))
        };
        // Of a container without limits nothing is counted, as by a kubelet.
        assert_eq!(of(&main), (512, 50_000, 200));
        assert_eq!(of(&with(&[&sidecar])), (768, 75_000, 250));
        // Before the sidecar, and beside it.
        assert_eq!(of(&with(&[&last, &sidecar])), (768, 75_000, 400));
        assert_eq!(of(&with(&[&sidecar, &last])), (768, 75_000, 450));
        assert_eq!(of(&with(&[&first, &sidecar, &second])), (768, 75_000, 250));
        // What the pod says as a whole counts, and what it leaves open is its containers'.
        let whole = |limits: &str| format!("resources: {{limits: {{{limits}}}}}, {}", with(&[&sidecar]));
        assert_eq!(of(&whole("cpu: 2")), (768, 200_000, 250));
        assert_eq!(of("resources: {limits: {cpu: 2}}, containers: [{name: a, image: x}]"), (2048, 200_000, 0));
        let overhead = overhead(&pod(&format!("overhead: {{cpu: 250m, memory: 120Mi}}, {main}"))).unwrap();
        assert_eq!((overhead.cpu_shares, overhead.cpu_quota, overhead.memory_limit_in_bytes >> 20), (256, 25_000, 120));
    }

    #[test]
    fn a_cgroup_of_the_pods_own_has_what_the_pod_says_and_its_containers_what_they_say() {
        let node = ThisNode::default();
        let of = |spec: &str| {
            let pod = pod(spec);
            let of_containers = pod.all_containers().map(|one| of_container(&pod, one, &node, WholeLimits::Together));
            let of_containers = of_containers.map(|one| (one.cpu_quota, one.memory_limit_in_bytes >> 20)).collect();
            (of_pod(&pod, WholeLimits::Together).unwrap(), of_containers)
        };
        let containers =
            "containers: [{name: a, image: x, resources: {limits: {cpu: 1, memory: 1Gi}}}, {name: b, image: x}]";
        let limits = "limits: {memory: 2Gi, pids: 100, hugepages-2Mi: 4Mi}";
        let (whole, each): (_, Vec<_>) = of(&format!("resources: {{{limits}}}, {containers}"));
        assert_eq!(each, [(100_000, 1024), (0, 0)]);
        // One container has no limit of processors: neither have all together.
        assert_eq!((whole.cpu_quota, whole.memory_limit_in_bytes, whole.cpu_shares), (0, 2 << 30, 1024));
        assert_eq!(whole.unified.get("pids.max").map(String::as_str), Some("100"));
        let pages: Vec<_> = whole.hugepage_limits.iter().map(|one| (one.page_size.as_str(), one.limit)).collect();
        assert_eq!(pages, [("2MB", 4 << 20)]);
        let all = containers.replace("{name: b, image: x}", "{name: b, image: x, resources: {limits: {cpu: 1}}}");
        assert_eq!(of(&format!("resources: {{{limits}}}, {all}")).0.cpu_quota, 200_000);
        assert_eq!(of_pod(&pod(&all), WholeLimits::Untold), None);
    }

    #[test]
    fn what_a_pod_asks_for_counts_for_its_containers() {
        let spec = "resources: {requests: {memory: 2Gi}, limits: {cpu: 1, memory: 2Gi}}, \
                    containers: [{name: a, image: x}, {name: b, image: x, resources: {limits: {memory: 1Gi}}}]";
        let all: Vec<_> = resources(spec).iter().map(|r| (r.cpu_quota, r.memory_limit_in_bytes)).collect();
        assert_eq!(all, [(100_000, 2 << 30), (100_000, 1 << 30)]);
    }
}
