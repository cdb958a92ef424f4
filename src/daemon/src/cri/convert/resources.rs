//! Limits, in both directions.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use peapod_api::v1::{HugepageLimit, LinuxContainerResources};
use peapod_spec::bounds::{HUGEPAGE_LIMITS, NAME_BYTES, PATH_BYTES, UNIFIED_FILES};
use peapod_spec::container::Resources;
use peapod_text::excerpt;

use super::field::{Checked, FieldError, at_most, short, without_nul};

/// Microseconds that the kernel takes as a period of processor time; the least is also the least quota.
const CPU_PERIODS: RangeInclusive<i64> = 1_000..=1_000_000;

/// Limits of a request; absent ones say nothing.
pub(crate) fn resources(message: Option<LinuxContainerResources>) -> Checked<Resources> {
    let Some(message) = message else { return Ok(Resources::default()) };
    at_most("hugepage_limits", "entries", message.hugepage_limits.len(), HUGEPAGE_LIMITS)?;
    at_most("unified", "entries", message.unified.len(), UNIFIED_FILES)?;
    let mut hugepage_limits = BTreeMap::new();
    for limit in message.hugepage_limits {
        page_size(&limit.page_size)?;
        if hugepage_limits.insert(limit.page_size.clone(), limit.limit).is_some() {
            return Err(FieldError::new("hugepage_limits", format!("{} is there twice", limit.page_size)));
        }
    }
    for (file, value) in &message.unified {
        unified(file, value)?;
    }
    Ok(Resources {
        cpu_period: cpu_period(message.cpu_period)?,
        cpu_quota: cpu_quota(message.cpu_quota)?,
        cpu_shares: at_least("cpu_shares", message.cpu_shares, 0)?,
        memory_limit: at_least("memory_limit_in_bytes", message.memory_limit_in_bytes, -1)?,
        memory_swap_limit: at_least("memory_swap_limit_in_bytes", message.memory_swap_limit_in_bytes, -1)?,
        oom_score_adj: oom_score_adj(message.oom_score_adj)?,
        cpuset_cpus: cpuset("cpuset_cpus", message.cpuset_cpus)?,
        cpuset_mems: cpuset("cpuset_mems", message.cpuset_mems)?,
        hugepage_limits,
        unified: message.unified,
    })
}

/// Limits as they are now, for status.
pub(crate) fn to_message(resources: &Resources) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_shares: resources.cpu_shares,
        memory_limit_in_bytes: resources.memory_limit,
        memory_swap_limit_in_bytes: resources.memory_swap_limit,
        oom_score_adj: resources.oom_score_adj,
        cpuset_cpus: resources.cpuset_cpus.clone(),
        cpuset_mems: resources.cpuset_mems.clone(),
        hugepage_limits: resources
            .hugepage_limits
            .iter()
            .map(|(page_size, limit)| HugepageLimit { page_size: page_size.clone(), limit: *limit })
            .collect(),
        unified: resources.unified.clone(),
    }
}

fn at_least(field: &str, value: i64, least: i64) -> Checked<i64> {
    if value < least { Err(FieldError::new(field, format!("{value} is less than {least}"))) } else { Ok(value) }
}

/// The kernel refuses others whatever the node is like. 0 says nothing.
fn cpu_period(value: i64) -> Checked<i64> {
    if value == 0 || CPU_PERIODS.contains(&value) {
        return Ok(value);
    }
    let (least, most) = CPU_PERIODS.into_inner();
    Err(FieldError::new("cpu_period", format!("{value} is not between {least} and {most} microseconds")))
}

/// The same. What is negative means none.
fn cpu_quota(value: i64) -> Checked<i64> {
    if value <= 0 { Ok(value.max(-1)) } else { at_least("cpu_quota", value, *CPU_PERIODS.start()) }
}

fn oom_score_adj(value: i64) -> Checked<i64> {
    if (-1000..=1000).contains(&value) {
        Ok(value)
    } else {
        Err(FieldError::new("oom_score_adj", format!("{value} is not between -1000 and 1000")))
    }
}

/// Processors, or memory nodes, in the list format of cpuset(7). Which of them there are is the kernel's to say.
fn cpuset(field: &str, value: String) -> Checked<String> {
    let names_some = value.is_empty() || value.bytes().any(|byte| byte != b',');
    if value.len() <= NAME_BYTES && names_some && value.split(',').all(is_range) {
        Ok(value)
    } else {
        Err(FieldError::new(field, format!("{} is not a list such as \"0-3,7\"", excerpt(&value))))
    }
}

/// `7`, `0-3`, or nothing, which the kernel passes over.
fn is_range(text: &str) -> bool {
    // `parse` would take a sign.
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    match text.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => text.is_empty() || number(text).is_some(),
    }
}

/// Becomes part of a file's name.
fn page_size(text: &str) -> Checked<()> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    if (1..=9).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && matches!(unit, "KB" | "MB" | "GB")
    {
        Ok(())
    } else {
        Err(FieldError::new("hugepage_limits.page_size", format!("{} is not a size such as \"2MB\"", excerpt(text))))
    }
}

/// A file of the container's own cgroup, nothing elsewhere.
fn unified(file: &str, value: &str) -> Checked<()> {
    let field = || format!("unified[{}]", excerpt(file));
    // The kernel's names are short, and so is what it reads.
    let plain = file.len() <= 255
        && file.contains('.')
        && !file.starts_with('.')
        && file.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
    if !plain {
        return Err(FieldError::new(field(), "is not the name of a cgroup file such as memory.high"));
    }
    short(&field(), without_nul(&field(), value.to_owned())?, PATH_BYTES).map(drop)
}
