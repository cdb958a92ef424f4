//! Traffic of a pod, as one of its processes sees it: no namespace has to be entered for that.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use peapod_api::v1;

use crate::bounds::{INTERFACES, INTERFACES_BYTES};

/// The interface that every pod has.
const DEFAULT_INTERFACE: &str = "eth0";

/// Reads the interfaces of the pod's network namespace by a process in it; `None` when that is gone, or has left for
/// another namespace, where it can have any interfaces that it likes.
pub(super) fn usage(pid: u32, netns: &Path, timestamp: i64) -> Option<v1::NetworkUsage> {
    let is = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let pods = is(netns)?;
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{pid}/net/dev")).ok()?;
    file.take(INTERFACES_BYTES).read_to_end(&mut bytes).ok()?;
    if is(Path::new(&format!("/proc/{pid}/ns/net")))? != pods {
        return None;
    }
    let text = String::from_utf8_lossy(&bytes);
    // The last line may have been cut.
    let (text, _) = text.rsplit_once('\n')?;
    let mut default_interface = None;
    let mut interfaces = Vec::new();
    for usage in parse(text) {
        match usage.name.as_str() {
            DEFAULT_INTERFACE => default_interface = Some(usage),
            "lo" => {}
            _ if interfaces.len() == INTERFACES => {}
            _ => interfaces.push(usage),
        }
    }
    Some(v1::NetworkUsage { timestamp, default_interface, interfaces })
}

/// Lines of proc_net_dev(5) below the two of its head.
fn parse(text: &str) -> impl Iterator<Item = v1::NetworkInterfaceUsage> {
    text.lines().skip(2).filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let at = |index: usize| counters.get(index).map(|&value| v1::UInt64Value { value });
        Some(v1::NetworkInterfaceUsage {
            name: name.trim().to_owned(),
            rx_bytes: at(0),
            rx_errors: at(2),
            tx_bytes: at(8),
            tx_errors: at(10),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn counters_stand_in_fixed_columns() {
        let text = "Inter-|   Receive                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes\n\
                    \x20   lo:     1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0: 100 1 2 0 0 0 0 0 200 1 3 0 0 0 0 0\n";
        let all: Vec<_> = parse(text).collect();
        assert_eq!(all.len(), 2);
        let eth0 = all.last().unwrap();
        assert_eq!(eth0.name, "eth0");
        let value = |counter: &Option<peapod_api::v1::UInt64Value>| counter.as_ref().unwrap().value;
        assert_eq!(
            [value(&eth0.rx_bytes), value(&eth0.rx_errors), value(&eth0.tx_bytes), value(&eth0.tx_errors)],
            [100, 2, 200, 3]
        );
    }
}
