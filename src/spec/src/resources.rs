//! Limits: from CRI's units to the runtime's, and changes to limits that are in force.

use std::collections::HashMap;

use oci_spec::runtime::{LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxResources};

use crate::bounds::{HUGEPAGE_LIMITS, UNIFIED_FILES};
use crate::container::Resources;
use crate::error::SpecError;
use crate::inputs::NodeFacts;
use crate::note::Note;

/// The file of cgroup v2 that limits swap alone.
const SWAP_MAX: &str = "memory.swap.max";

/// Limits as `update` of the OCI runtimes takes them (see [`crate::resources_json`]). What the node can't apply is left
/// out; that was noted when the container was made.
pub fn linux_resources(resources: &Resources, node: &NodeFacts) -> LinuxResources {
    let mut limits = limits(resources, node, &mut Vec::new());
    limits.set_devices(None);
    limits
}

/// What a container's limits are after a change. In the change zero and empty mean "as it was".
///
/// # Errors
/// [`SpecError::TooMany`] when they named more files or page sizes than one request may: each change could add others.
pub fn update_resources(current: &Resources, change: &Resources) -> Result<Resources, SpecError> {
    let number = |new: i64, old: i64| if new == 0 { old } else { new };
    let text = |new: &String, old: &String| if new.is_empty() { old.clone() } else { new.clone() };
    let mut after = Resources {
        cpu_period: number(change.cpu_period, current.cpu_period),
        cpu_quota: number(change.cpu_quota, current.cpu_quota),
        cpu_shares: number(change.cpu_shares, current.cpu_shares),
        memory_limit: number(change.memory_limit, current.memory_limit),
        memory_swap_limit: number(change.memory_swap_limit, current.memory_swap_limit),
        oom_score_adj: number(change.oom_score_adj, current.oom_score_adj),
        cpuset_cpus: text(&change.cpuset_cpus, &current.cpuset_cpus),
        cpuset_mems: text(&change.cpuset_mems, &current.cpuset_mems),
        hugepage_limits: current.hugepage_limits.clone(),
        unified: current.unified.clone(),
    };
    after.hugepage_limits.extend(change.hugepage_limits.iter().map(|(size, limit)| (size.clone(), *limit)));
    after.unified.extend(change.unified.iter().map(|(file, value)| (file.clone(), value.clone())));
    // Swap counts memory too, so an old swap limit can't stay below a new memory limit; and where there was none of its
    // own beside memory, there is none afterwards.
    let had_no_swap = current.memory_swap_limit != 0 && current.memory_swap_limit == current.memory_limit;
    let too_low = after.memory_swap_limit > 0 && after.memory_swap_limit < after.memory_limit;
    if change.memory_swap_limit == 0 && change.memory_limit != 0 && (had_no_swap || too_low) {
        after.memory_swap_limit = after.memory_limit;
    }
    let (before, sizes) = (current.hugepage_limits.len(), after.hugepage_limits.len());
    grown("hugepage_limits", before, sizes, HUGEPAGE_LIMITS)?;
    grown("unified", current.unified.len(), after.unified.len(), UNIFIED_FILES)?;
    Ok(after)
}

/// More than the bound is no reason to refuse a change that adds none: an earlier peapod may have taken them.
fn grown(field: &'static str, before: usize, count: usize, most: usize) -> Result<(), SpecError> {
    if count > most && count > before {
        return Err(SpecError::TooMany { field, what: "entries with those of before", count, most });
    }
    Ok(())
}

/// As config.json takes them. CPU shares and swap stay in v1's scale on v2 too: the runtimes convert. A limit of -1,
/// none, is left out: a new group has none, crun 1.8 takes no negative numbers, and where there was one before it is
/// lifted otherwise.
pub(crate) fn limits(resources: &Resources, node: &NodeFacts, notes: &mut Vec<Note>) -> LinuxResources {
    let mut limits = LinuxResources::default();
    limits
        .set_cpu(cpu(resources))
        .set_memory(memory(resources, node, notes))
        .set_hugepage_limits(hugepages(resources, node, notes))
        .set_unified(unified(resources, node, notes));
    limits
}

fn cpu(resources: &Resources) -> Option<LinuxCpu> {
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let text = |value: &String| Some(value.clone()).filter(|value| !value.is_empty());
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(positive(resources.cpu_shares))
        .set_period(positive(resources.cpu_period))
        .set_quota(Some(resources.cpu_quota).filter(|quota| *quota > 0))
        .set_cpus(text(&resources.cpuset_cpus))
        .set_mems(text(&resources.cpuset_mems));
    Some(cpu).filter(|cpu| *cpu != LinuxCpu::default())
}

/// A memory limit without a word on swap allows no swap, as everywhere in Kubernetes.
fn memory(resources: &Resources, node: &NodeFacts, notes: &mut Vec<Note>) -> Option<LinuxMemory> {
    let positive = |value: i64| Some(value).filter(|value| *value > 0);
    let (limit, said) = (positive(resources.memory_limit), positive(resources.memory_swap_limit));
    let by_file = node.cgroup_v2 && resources.unified.contains_key(SWAP_MAX);
    let unsaid = limit.filter(|_| resources.memory_swap_limit == 0 && !by_file);
    if !node.swap_accounting && said.is_some() && said != limit {
        notes.push(Note::Swap);
    }
    let mut memory = LinuxMemory::default();
    memory.set_limit(limit).set_swap(said.or(unsaid).filter(|_| node.swap_accounting));
    Some(memory).filter(|memory| *memory != LinuxMemory::default())
}

/// The kubelet names every page size of the node, most with 0: that is not worth a word.
fn hugepages(resources: &Resources, node: &NodeFacts, notes: &mut Vec<Note>) -> Option<Vec<LinuxHugepageLimit>> {
    let mut limits = Vec::new();
    for (size, bytes) in &resources.hugepage_limits {
        if node.hugepage_sizes.contains(size) {
            let mut limit = LinuxHugepageLimit::default();
            limit.set_page_size(size.clone()).set_limit(i64::try_from(*bytes).unwrap_or(i64::MAX));
            limits.push(limit);
        } else if *bytes != 0 {
            notes.push(Note::Hugepages(size.clone()));
        }
    }
    Some(limits).filter(|limits| !limits.is_empty())
}

fn unified(resources: &Resources, node: &NodeFacts, notes: &mut Vec<Note>) -> Option<HashMap<String, String>> {
    if resources.unified.is_empty() {
        return None;
    }
    if !node.cgroup_v2 {
        notes.push(Note::Unified(resources.unified.keys().cloned().collect()));
        return None;
    }
    Some(resources.unified.clone().into_iter().collect())
}
