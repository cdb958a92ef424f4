//! The formats of a group's files, pure. What is no number, or misses, is left out.

use crate::bounds::DEVICES;
use crate::{DeviceIo, Stall, StallTime};

/// The value of a line `key value`.
pub(crate) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// A file with one number in it. `max` and what is no number are `None`.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`: kernel documentation, accounting/psi.rst.
/// Processors had no line `full` before Linux 5.13.
pub(crate) fn pressure(text: &str) -> Option<Stall> {
    let line = |kind: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        let value = |key: &str| rest.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let share = |key: &str| value(key)?.parse().ok().filter(|share: &f64| share.is_finite());
        let total = value("total")?.trim().parse().ok()?;
        Some(StallTime { avg10: share("avg10")?, avg60: share("avg60")?, avg300: share("avg300")?, total })
    };
    Some(Stall { some: line("some")?, full: line("full").unwrap_or_default() })
}

/// `io.stat` of version 2: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
pub(crate) fn io_stat(text: &str) -> Vec<DeviceIo> {
    let mut devices = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        let mut io = DeviceIo { major, minor, ..DeviceIo::default() };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            match key {
                "rbytes" => io.read_bytes = value,
                "wbytes" => io.written_bytes = value,
                "rios" => io.reads = value,
                "wios" => io.writes = value,
                _ => {}
            }
        }
        if devices.len() < DEVICES {
            devices.push(io);
        }
    }
    devices
}

/// The two files of version 1 for bytes and for operations: lines `8:0 Read 1`, `8:0 Write 2` and more, then a sum.
pub(crate) fn blkio(bytes: &str, operations: &str) -> Vec<DeviceIo> {
    let mut devices = Vec::new();
    let mut each = |text: &str, put: fn(&mut DeviceIo, &str, u64)| {
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some((major, minor)), Some(kind), Some(value)) =
                (words.next().and_then(device), words.next(), words.next().and_then(|value| value.parse().ok()))
            else {
                continue;
            };
            let known = devices.iter_mut().position(|io: &mut DeviceIo| (io.major, io.minor) == (major, minor));
            let at = known.unwrap_or_else(|| {
                if devices.len() < DEVICES {
                    devices.push(DeviceIo { major, minor, ..DeviceIo::default() });
                }
                devices.len() - 1
            });
            if let Some(io) = devices.get_mut(at).filter(|io| (io.major, io.minor) == (major, minor)) {
                put(io, kind, value);
            }
        }
    };
    each(bytes, |io, kind, value| match kind {
        "Read" => io.read_bytes = value,
        "Write" => io.written_bytes = value,
        _ => {}
    });
    each(operations, |io, kind, value| match kind {
        "Read" => io.reads = value,
        "Write" => io.writes = value,
        _ => {}
    });
    devices
}

fn device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_as_the_kernel_writes_it() {
        let text =
            "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.01 total=7\n";
        let stall = pressure(text).unwrap();
        assert_eq!(stall.some, StallTime { avg10: 1.5, avg60: 0.25, avg300: 0.0, total: 1234 });
        assert_eq!(stall.full, StallTime { avg10: 0.0, avg60: 0.0, avg300: 0.01, total: 7 });
        let (old, _) = text.split_once('\n').unwrap();
        assert_eq!(pressure(old).unwrap().full, StallTime::default());
        assert_eq!(pressure(""), None);
        assert_eq!(pressure("some avg10=inf avg60=0 avg300=0 total=1"), None);
    }

    #[test]
    fn devices_of_both_versions() {
        let io = DeviceIo { major: 8, minor: 16, read_bytes: 1, written_bytes: 2, reads: 3, writes: 4 };
        let text = "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n7:0 \nnonsense\n";
        let empty = DeviceIo { major: 7, ..DeviceIo::default() };
        assert_eq!(io_stat(text), [io, empty]);
        let bytes = "8:16 Read 1\n8:16 Write 2\n8:16 Sync 3\n8:16 Async 0\n8:16 Discard 0\n8:16 Total 3\nTotal 3\n";
        let operations = "7:0 Read 0\n8:16 Read 3\n8:16 Write 4\nTotal 7\n";
        assert_eq!(blkio(bytes, operations), [io, empty]);
        assert!(blkio("Total 0\n", "").is_empty());
    }

    #[test]
    fn no_more_devices_than_the_bound() {
        let line = |minor: usize| format!("259:{minor} Read {minor}\n");
        let text: String = (0..DEVICES + 10).map(line).collect();
        let devices = blkio(&text, &text);
        assert_eq!(devices.len(), DEVICES);
        assert!(devices.iter().all(|io| io.read_bytes == u64::from(io.minor) && io.reads == io.read_bytes));
        let text: String = (0..DEVICES + 10).map(|minor| format!("259:{minor} rios=1\n")).collect();
        assert_eq!(io_stat(&text).len(), DEVICES);
    }

    #[test]
    fn lines_and_numbers() {
        assert_eq!(field("total_rss 5\nrss 7\nrss_huge 9\n", "rss"), Some(7));
        assert_eq!(field("rss x\n", "rss"), None);
        assert_eq!((number("12\n"), number("max\n"), number("")), (Some(12), None, None));
    }
}
