//! The file systems of the daemon's two roots.

use std::path::Path;

use rustix::fs::{StatVfs, statvfs};

use super::family::{FamilyReading, MetricFamily};
use crate::config::Config;

pub(super) static FAMILIES: [MetricFamily; 4] = [
    MetricFamily::gauge(
        "peapod_filesystem_size_bytes",
        &["root"],
        "Size of the file system of the state root (`state`) and of the run root (`run`), which is a tmpfs with a bound.",
    ),
    MetricFamily::gauge("peapod_filesystem_available_bytes", &["root"], "What is left of it for peapod."),
    MetricFamily::gauge("peapod_filesystem_inodes", &["root"], "Its inodes; 0 where there is no bound."),
    MetricFamily::gauge("peapod_filesystem_free_inodes", &["root"], "Those that are left."),
];

/// Blocks: a disk may not answer.
pub(super) fn read(config: &Config) -> Vec<FamilyReading> {
    let of = |name: &'static str, path: &Path| statvfs(path).ok().map(|found| (name, found));
    let roots = [of("state", &config.state_root), of("run", &config.run_root)];
    let each = |family: &'static MetricFamily, value: fn(&StatVfs) -> u64| {
        family.by(roots.iter().flatten().map(|(name, found)| (*name, value(found))))
    };
    let [size, available, inodes, free_inodes] = &FAMILIES;
    vec![
        each(size, |found| found.f_blocks.saturating_mul(found.f_frsize)),
        each(available, |found| found.f_bavail.saturating_mul(found.f_frsize)),
        each(inodes, |found| found.f_files),
        each(free_inodes, |found| found.f_favail),
    ]
}
