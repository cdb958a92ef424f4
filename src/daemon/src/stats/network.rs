//! Traffic of a pod, as one of its processes sees it: no namespace has to be entered for that.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::bounds::{INTERFACES, INTERFACES_BYTES};

/// The interface that every pod has.
pub(crate) const DEFAULT_INTERFACE: &str = "eth0";

/// An interface and what went through it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InterfaceUsage {
    pub(crate) name: String,
    pub(crate) rx_bytes: Option<u64>,
    pub(crate) rx_errors: Option<u64>,
    pub(crate) tx_bytes: Option<u64>,
    pub(crate) tx_errors: Option<u64>,
}

/// Reads the interfaces of the pod's network namespace, without `lo`, by a process in it; `None` when that is gone, or
/// has left for another namespace, where it can have any interfaces that it likes.
pub(super) fn interfaces(pid: u32, netns: &Path) -> Option<Vec<InterfaceUsage>> {
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
    let (default, others): (Vec<_>, Vec<_>) =
        parse(text).filter(|interface| interface.name != "lo").partition(|it| it.name == DEFAULT_INTERFACE);
    Some(default.into_iter().take(1).chain(others.into_iter().take(INTERFACES)).collect())
}

/// Lines of proc_net_dev(5) below the two of its head.
fn parse(text: &str) -> impl Iterator<Item = InterfaceUsage> {
    text.lines().skip(2).filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let at = |index: usize| counters.get(index).copied();
        let name = name.trim().to_owned();
        Some(InterfaceUsage { name, rx_bytes: at(0), rx_errors: at(2), tx_bytes: at(8), tx_errors: at(10) })
    })
}

#[cfg(test)]
mod tests {
    use super::{InterfaceUsage, parse};

    #[test]
    fn counters_stand_in_fixed_columns() {
        let text = "Inter-|   Receive                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes\n\
                    \x20   lo:     1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0: 100 1 2 0 0 0 0 0 200 1 3 0 0 0 0 0\n  odd: x\n";
        let all: Vec<_> = parse(text).collect();
        assert_eq!(all.len(), 3);
        let eth0 = InterfaceUsage {
            name: "eth0".to_owned(),
            rx_bytes: Some(100),
            rx_errors: Some(2),
            tx_bytes: Some(200),
            tx_errors: Some(3),
        };
        assert_eq!(all[1], eth0);
        assert_eq!(all[2], InterfaceUsage { name: "odd".to_owned(), ..InterfaceUsage::default() });
    }
}
