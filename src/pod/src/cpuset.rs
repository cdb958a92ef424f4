//! Whether the node has the processors and memory nodes that limits name. The kernel takes no others, and what OCI
//! runtimes say of that names no field.

use std::fs;

use peapod_spec::container::Resources;
use peapod_text::excerpt;

use crate::error::Error;

/// Processors that a group of cgroup v2 may name, there or not; one of version 1 those that are there.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
const ONLINE: &str = "/sys/devices/system/cpu/online";
/// Memory nodes. Not there where the kernel has but one.
const MEMORY: &str = "/sys/devices/system/node/has_memory";

/// `of` comes before the field's name. What the kernel does not tell is not looked at.
pub(crate) fn check(limits: &Resources, cgroup_v2: bool, of: &str) -> Result<(), Error> {
    let processors = if cgroup_v2 { POSSIBLE } else { ONLINE };
    for (name, list, what, file) in [
        ("cpuset_cpus", &limits.cpuset_cpus, "processor", processors),
        ("cpuset_mems", &limits.cpuset_mems, "memory node", MEMORY),
    ] {
        if list.is_empty() {
            continue;
        }
        let Ok(there) = fs::read_to_string(file) else { continue };
        if let Some(number) = missing(list, &there) {
            let reason = format!("the node has no {what} {number}, it has {}", excerpt(there.trim()));
            return Err(Error::Invalid { field: format!("{of}{name}"), reason });
        }
    }
    Ok(())
}

/// The first number in a list that another one has not. That one is the kernel's: in order, and with no two ranges that
/// are one.
fn missing(list: &str, there: &str) -> Option<u64> {
    let ranges: Vec<_> = ranges(there).collect();
    self::ranges(list).find_map(|(first, last)| match ranges.iter().find(|(from, to)| (*from..=*to).contains(&first)) {
        None => Some(first),
        Some((_, to)) if *to < last => Some(to + 1),
        Some(_) => None,
    })
}

/// Of a list in the format of cpuset(7) that was checked.
fn ranges(list: &str) -> impl Iterator<Item = (u64, u64)> {
    list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.parse().ok()?, last.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_not_there() {
        for (list, there, first) in [
            ("0", "0-1\n", None),
            ("0-1", "0-1\n", None),
            ("1,0", "0-1", None),
            (",1,", "0-3,5", None),
            ("99", "0-1", Some(99)),
            ("0-2", "0-1", Some(2)),
            ("0,3-5", "0-3,5-7", Some(4)),
            ("0-4294967295", "0-1", Some(2)),
            ("0", "", Some(0)),
        ] {
            assert_eq!(missing(list, there), first, "{list} of {there}");
        }
    }

    #[test]
    fn the_field_is_named() {
        let of = |cpus: &str, mems: &str| {
            let limits =
                Resources { cpuset_cpus: cpus.to_owned(), cpuset_mems: mems.to_owned(), ..Resources::default() };
            check(&limits, true, "linux.").and(check(&limits, false, "linux."))
        };
        assert!(of("", "").is_ok() && of("0", "0").is_ok());
        let error = of("4000000000", "").unwrap_err();
        assert!(matches!(&error, Error::Invalid { field, .. } if field == "linux.cpuset_cpus"), "{error}");
    }
}
