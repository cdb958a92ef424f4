//! The daemon's process, under the names that all programs have for it, and what runs there.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::family::{FamilyReading, MetricFamily, SampleValue};

pub(super) static FAMILIES: [MetricFamily; 7] = [
    MetricFamily::info("peapod_build", &["version"], "Which peapod runs."),
    MetricFamily::counter("process_cpu_seconds", &[], "Processor time of the daemon, of programs and of the kernel."),
    MetricFamily::gauge("process_resident_memory_bytes", &[], "Memory of the daemon that is in use."),
    MetricFamily::gauge("process_virtual_memory_bytes", &[], "Address space of the daemon."),
    MetricFamily::gauge("process_open_fds", &[], "Descriptors that the daemon has open."),
    MetricFamily::gauge("process_max_fds", &[], "How many it may have."),
    MetricFamily::gauge("process_start_time_seconds", &[], "When it began, in seconds since the epoch."),
];

/// Of `/proc/self/stat`: fields by the numbers of proc(5), less 3, as the first two are cut off.
const USER: usize = 14 - 3;
const SYSTEM: usize = 15 - 3;
const START: usize = 22 - 3;
const VIRTUAL: usize = 23 - 3;
const RESIDENT: usize = 24 - 3;

pub(super) fn read() -> Vec<FamilyReading> {
    let [build, cpu, resident, virtual_memory, fds, max_fds, start] = &FAMILIES;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name may have anything in it but is the last to end so.
    let fields: Vec<u64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number).copied().unwrap_or_default();
    let page = u64::try_from(rustix::param::page_size()).unwrap_or_default();
    // One that has no bound has the largest number.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    vec![
        build.each([([env!("CARGO_PKG_VERSION").into()], SampleValue::Labels)]),
        cpu.is(seconds(field(USER) + field(SYSTEM))),
        resident.is(field(RESIDENT) * page),
        virtual_memory.is(field(VIRTUAL)),
        // The listing's own is one of them.
        fds.is(fs::read_dir("/proc/self/fd").map_or(0, |open| open.count().saturating_sub(1))),
        max_fds.is(limit),
        start.is(boot_seconds() + seconds(field(START))),
    ]
}

/// Of the kernel's ticks.
#[allow(clippy::cast_precision_loss, reason = "seconds need no more than 53 bits of precision")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second().max(1) as f64
}

/// When the node was started, in seconds since the epoch.
fn boot_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_the_same_of_this_process() {
        let values: Vec<f64> = read()
            .into_iter()
            .map(|reading| match reading.samples[0].value {
                SampleValue::Number(number) => number as f64,
                SampleValue::Fraction(fraction) => fraction,
                _ => 0.0,
            })
            .collect();
        let [_, cpu, resident, virtual_memory, fds, max_fds, start] = values[..] else { panic!("{values:?}") };
        assert!((0.0..10_000.0).contains(&cpu) && resident > 100_000.0 && virtual_memory > resident, "{values:?}");
        assert!(fds >= 3.0 && max_fds > fds, "{values:?}");
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((now - 36_000.0..now + 2.0).contains(&start), "{values:?}");
    }
}
