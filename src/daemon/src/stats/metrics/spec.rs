//! What containers were asked to be limited to, as cAdvisor says it: zero is no limit.

use super::ContainerSample;

/// What the kernel gives a group that nobody asked shares for.
const DEFAULT_SHARES: u64 = 1024;
/// What it gives one that nobody asked a period for, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number != 0)
}

fn unified(of: &ContainerSample, file: &str) -> Option<u64> {
    of.view.spec.resources.unified.get(file).and_then(|text| text.trim().parse().ok())
}

pub(super) fn cpu_period(of: &ContainerSample) -> Option<u64> {
    Some(positive(of.view.spec.resources.cpu_period).unwrap_or(DEFAULT_PERIOD))
}

/// Only of a container that has one.
pub(super) fn cpu_quota(of: &ContainerSample) -> Option<u64> {
    positive(of.view.spec.resources.cpu_quota)
}

pub(super) fn cpu_shares(of: &ContainerSample) -> Option<u64> {
    Some(positive(of.view.spec.resources.cpu_shares).unwrap_or(DEFAULT_SHARES))
}

pub(super) fn memory_limit(of: &ContainerSample) -> Option<u64> {
    Some(positive(of.view.spec.resources.memory_limit).unwrap_or(0))
}

pub(super) fn memory_reservation(of: &ContainerSample) -> Option<u64> {
    Some(unified(of, "memory.min").unwrap_or(0))
}

/// Of swap without memory.
pub(super) fn swap_limit(of: &ContainerSample) -> Option<u64> {
    let resources = &of.view.spec.resources;
    let both = positive(resources.memory_swap_limit).zip(positive(resources.memory_limit));
    let beside_memory = both.map(|(both, memory)| both.saturating_sub(memory));
    Some(unified(of, "memory.swap.max").or(beside_memory).unwrap_or(0))
}
