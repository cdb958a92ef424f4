//! Changed limits.

use super::fixture::node;
use crate::SpecError;
use crate::bounds::{HUGEPAGE_LIMITS, UNIFIED_FILES};
use crate::container::Resources;
use crate::{linux_resources, resources_json, update_resources};

fn current() -> Resources {
    Resources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 512,
        memory_limit: 64,
        memory_swap_limit: 64,
        cpuset_cpus: "0-1".to_owned(),
        hugepage_limits: [("2MB".to_owned(), 1)].into(),
        unified: [("memory.high".to_owned(), "50".to_owned())].into(),
        ..Resources::default()
    }
}

#[test]
fn zero_and_empty_keep() {
    assert_eq!(update_resources(&current(), &Resources::default()), Ok(current()));
    let change = Resources { cpuset_cpus: "1".to_owned(), cpu_quota: -1, ..Resources::default() };
    let wanted = Resources { cpuset_cpus: "1".to_owned(), cpu_quota: -1, ..current() };
    assert_eq!(update_resources(&current(), &change), Ok(wanted));
}

#[test]
fn maps_are_merged() {
    let change = Resources {
        hugepage_limits: [("1GB".to_owned(), 2)].into(),
        unified: [("memory.high".to_owned(), "max".to_owned())].into(),
        ..Resources::default()
    };
    let after = update_resources(&current(), &change).unwrap();
    assert_eq!(after.hugepage_limits, [("1GB".to_owned(), 2), ("2MB".to_owned(), 1)].into());
    assert_eq!(after.unified, [("memory.high".to_owned(), "max".to_owned())].into());
}

#[test]
fn many_changes_together_have_the_bounds_of_one() {
    let files = |first: usize, count: usize| Resources {
        unified: (first..first + count).map(|file| (format!("memory.{file}"), "1".to_owned())).collect(),
        ..Resources::default()
    };
    let full = update_resources(&files(0, UNIFIED_FILES - 1), &files(7, UNIFIED_FILES - 7)).unwrap();
    assert_eq!(full, files(0, UNIFIED_FILES));
    let error = update_resources(&full, &files(UNIFIED_FILES, 1)).unwrap_err();
    assert!(matches!(error, SpecError::TooMany { field: "unified", count: 257, .. }), "{error}");
    // What has too many already can still be changed.
    let old = files(0, UNIFIED_FILES + 5);
    assert_eq!(update_resources(&old, &files(3, 2)), Ok(old));

    let sizes = |first: usize, count: usize| Resources {
        hugepage_limits: (first..first + count).map(|size| (format!("{size}MB"), 1)).collect(),
        ..Resources::default()
    };
    let full = update_resources(&sizes(0, 1), &sizes(1, HUGEPAGE_LIMITS - 1)).unwrap();
    let error = update_resources(&full, &sizes(HUGEPAGE_LIMITS, 1)).unwrap_err();
    assert!(matches!(error, SpecError::TooMany { field: "hugepage_limits", .. }), "{error}");
}

#[test]
fn swap_follows_memory() {
    let memory =
        |memory_limit, memory_swap_limit| Resources { memory_limit, memory_swap_limit, ..Resources::default() };
    for (before, change, swap) in [
        // No swap before, none afterwards, up and down.
        (memory(64, 64), memory(128, 0), 128),
        (memory(64, 64), memory(32, 0), 32),
        // Some swap: it stays as long as that is possible.
        (memory(64, 100), memory(80, 0), 100),
        (memory(64, 100), memory(128, 0), 128),
        // Unlimited stays unlimited, unsaid stays unsaid, and what is said counts.
        (memory(64, -1), memory(128, 0), -1),
        (memory(64, 0), memory(128, 0), 0),
        (memory(64, 64), memory(128, 256), 256),
    ] {
        let after = update_resources(&before, &change).unwrap();
        assert_eq!(after.memory_swap_limit, swap, "{before:?} {change:?}");
    }
}

#[test]
fn an_update_has_every_limit_and_no_device_rule() {
    let json = resources_json(&linux_resources(&current(), &node())).unwrap();
    let wanted = r#"{"cpu":{"cpus":"0-1","period":100000,"quota":50000,"shares":512},"hugepageLimits":[{"limit":1,"pageSize":"2MB"}],"memory":{"limit":64,"swap":64},"unified":{"memory.high":"50"}}"#;
    assert_eq!(String::from_utf8(json).unwrap(), wanted);
}

#[test]
fn a_file_for_swap_wins_over_no_swap_by_default() {
    let resources = Resources {
        memory_limit: 64,
        unified: [("memory.swap.max".to_owned(), "32".to_owned())].into(),
        ..Resources::default()
    };
    let limits = linux_resources(&resources, &node());
    assert_eq!(limits.memory().unwrap().swap(), None);
}

#[test]
fn no_limit_is_left_to_the_group() {
    let none = Resources { cpu_quota: -1, memory_limit: -1, memory_swap_limit: -1, ..Resources::default() };
    assert_eq!(resources_json(&linux_resources(&none, &node())).unwrap(), b"{}");
    let swap =
        Resources { memory_limit: 64, memory_swap_limit: -1, cpu_quota: -1, cpu_period: 7, ..Resources::default() };
    let json = resources_json(&linux_resources(&swap, &node())).unwrap();
    assert_eq!(String::from_utf8(json).unwrap(), r#"{"cpu":{"period":7},"memory":{"limit":64}}"#);
}
