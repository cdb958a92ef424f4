//! A container's limits, for systemd.

use oci_spec::runtime::{LinuxCpu, LinuxResources};
use peapod_cgroup::Limits;

/// The kernel's period of processor quotas, in microseconds.
const PERIOD: u64 = 100_000;

/// What of a container's limits systemd would lift: those of memory and processors, on cgroup v2.
pub(super) fn of(resources: &LinuxResources) -> Limits {
    let memory = resources.memory().as_ref();
    let memory_max = memory.and_then(|memory| positive(memory.limit()));
    // The runtimes' swap counts memory too, the kernel's doesn't.
    let both = memory.and_then(|memory| positive(memory.swap()));
    let swap_max = both.zip(memory_max).map(|(both, memory)| both.saturating_sub(memory));
    let cpu = resources.cpu().as_ref();
    let quota = cpu.and_then(|cpu| positive(cpu.quota()));
    let period = cpu.and_then(LinuxCpu::period).unwrap_or(PERIOD);
    let limits = Limits { memory_max, swap_max, cpu: quota.map(|quota| (quota, period)), ..Limits::default() };
    resources.unified().iter().flatten().fold(limits, |limits, (file, value)| with_file(limits, file, value))
}

/// A file of the group is written last. A value that is none the runtime has refused.
fn with_file(limits: Limits, file: &str, value: &str) -> Limits {
    let number = value.trim().parse().ok();
    match file {
        "memory.max" => Limits { memory_max: number, ..limits },
        "memory.swap.max" => Limits { swap_max: number, ..limits },
        "memory.high" => Limits { memory_high: number, ..limits },
        "memory.low" => Limits { memory_low: number, ..limits },
        "memory.min" => Limits { memory_min: number, ..limits },
        "cpu.max" => {
            let mut numbers = value.split_ascii_whitespace().map(str::parse);
            let quota = numbers.next().and_then(Result::ok);
            let period = numbers.next().and_then(Result::ok).unwrap_or(PERIOD);
            Limits { cpu: quota.map(|quota| (quota, period)), ..limits }
        }
        _ => limits,
    }
}

/// What is above zero: anything else is no limit.
fn positive(value: Option<i64>) -> Option<u64> {
    u64::try_from(value?).ok().filter(|value| *value != 0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use oci_spec::runtime::LinuxMemory;

    use super::*;

    fn resources(limit: i64, swap: Option<i64>, quota: i64, files: &[(&str, &str)]) -> LinuxResources {
        let (mut memory, mut cpu, mut all) = (LinuxMemory::default(), LinuxCpu::default(), LinuxResources::default());
        memory.set_limit(Some(limit)).set_swap(swap);
        cpu.set_quota(Some(quota));
        let files: HashMap<_, _> =
            files.iter().map(|(file, value)| ((*file).to_owned(), (*value).to_owned())).collect();
        all.set_memory(Some(memory)).set_cpu(Some(cpu)).set_unified(Some(files));
        all
    }

    #[test]
    fn fields_and_files() {
        assert_eq!(of(&LinuxResources::default()), Limits::default());
        assert_eq!(of(&resources(-1, Some(-1), -1, &[])), Limits::default());
        let limits = of(&resources(64, Some(64), 5_000, &[]));
        let wanted =
            Limits { memory_max: Some(64), swap_max: Some(0), cpu: Some((5_000, PERIOD)), ..Limits::default() };
        assert_eq!(limits, wanted);
        assert_eq!(of(&resources(64, Some(-1), -1, &[])), Limits { memory_max: Some(64), ..Limits::default() });
        let files = [
            ("memory.max", "max"),
            ("memory.swap.max", "7"),
            ("memory.high", "48"),
            ("memory.low", "2"),
            ("memory.min", "1"),
            ("cpu.max", "1000 2000"),
            ("pids.max", "9"),
        ];
        let wanted = Limits {
            memory_max: None,
            swap_max: Some(7),
            memory_high: Some(48),
            memory_low: Some(2),
            memory_min: Some(1),
            cpu: Some((1_000, 2_000)),
        };
        assert_eq!(of(&resources(64, Some(64), 5_000, &files)), wanted);
        assert_eq!(of(&resources(-1, None, 5_000, &[("cpu.max", "max 2000")])), Limits::default());
    }
}
