//! Traffic of a pod, as one of its processes sees it: no namespace has to be entered for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use peapod_pod::{PodId, Snapshot};
use peapod_sys::sync::lock;

use crate::bounds::{IDLE_INTERFACES_AGE, INTERFACES, INTERFACES_BYTES};

/// The interface that every pod has.
pub(crate) const DEFAULT_INTERFACE: &str = "eth0";

/// An interface and what went through it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InterfaceUsage {
    pub(crate) name: String,
    pub(crate) received: Traffic,
    pub(crate) transmitted: Traffic,
}

/// What went one way, since the interface exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) bytes: Option<u64>,
    pub(crate) packets: Option<u64>,
    pub(crate) errors: Option<u64>,
    pub(crate) dropped: Option<u64>,
}

/// What was read of the interfaces of each pod last, to be told again while nothing in it runs. Clones share them.
#[derive(Clone, Default)]
pub(super) struct LastInterfaces(Arc<Mutex<BTreeMap<PodId, LastRead>>>);

struct LastRead {
    at: Instant,
    /// Processor time that all in the pod had used.
    used: u64,
    interfaces: Vec<InterfaceUsage>,
}

impl LastInterfaces {
    /// The interfaces of a pod that has used so much of processors by now, if that is known: as they were read last if
    /// it had used as much, for [`IDLE_INTERFACES_AGE`] at most. What the kernel does with packets by itself shows late
    /// then. `read` blocks, and holds up nobody else.
    pub(super) fn of(
        &self,
        pod: &PodId,
        used: Option<u64>,
        read: impl FnOnce() -> Option<Vec<InterfaceUsage>>,
    ) -> Option<Vec<InterfaceUsage>> {
        let Some(used) = used else { return read() };
        let holds = |last: &&LastRead| last.used == used && last.at.elapsed() < IDLE_INTERFACES_AGE;
        if let Some(last) = lock(&self.0).get(pod).filter(holds) {
            return Some(last.interfaces.clone());
        }
        let at = Instant::now();
        let interfaces = read()?;
        lock(&self.0).insert(pod.clone(), LastRead { at, used, interfaces: interfaces.clone() });
        Some(interfaces)
    }

    /// Forgets pods that are gone.
    pub(super) fn retain(&self, snapshot: &Snapshot) {
        lock(&self.0).retain(|pod, _| snapshot.pod(pod).is_some());
    }
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
    Some(default.into_iter().take(1).chain(distinct(others)).collect())
}

/// At most so many, each name once: those that are no UTF-8 may read the same, and who collects metrics takes none of
/// two series that are called the same.
fn distinct(interfaces: Vec<InterfaceUsage>) -> impl Iterator<Item = InterfaceUsage> {
    let mut names = BTreeSet::new();
    interfaces.into_iter().filter(move |interface| names.insert(interface.name.clone())).take(INTERFACES)
}

/// Lines of proc_net_dev(5) below the two of its head.
fn parse(text: &str) -> impl Iterator<Item = InterfaceUsage> {
    text.lines().skip(2).filter_map(|line| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
        let traffic = |first: usize| {
            let at = |index: usize| counters.get(first + index).copied();
            Traffic { bytes: at(0), packets: at(1), errors: at(2), dropped: at(3) }
        };
        let name = name.trim().to_owned();
        Some(InterfaceUsage { name, received: traffic(0), transmitted: traffic(8) })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn pod_id() -> PodId {
        serde_json::from_value(format!("{:064x}", 7).into()).unwrap()
    }

    #[test]
    fn interfaces_are_told_again_while_nothing_runs_and_not_for_long() {
        let (last, pod) = (LastInterfaces::default(), pod_id());
        let named = |name: &str| Some(vec![InterfaceUsage { name: name.to_owned(), ..Default::default() }]);
        let ask = |used, name| last.of(&pod, used, || named(name));
        assert_eq!(ask(Some(5), "a"), named("a"));
        assert_eq!(ask(Some(5), "b"), named("a"));
        assert_eq!(ask(Some(6), "c"), named("c"));
        assert_eq!(ask(None, "d"), named("d"), "of a node that counts no time all is read");
        assert_eq!(last.of(&pod, Some(7), || None), None, "what can't be read is not told by an old reading");
        let old = Instant::now().checked_sub(IDLE_INTERFACES_AGE).unwrap();
        lock(&last.0).get_mut(&pod).unwrap().at = old;
        assert_eq!(ask(Some(6), "e"), named("e"));
    }

    #[test]
    fn counters_stand_in_fixed_columns() {
        let text = "Inter-|   Receive                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes\n\
                    \x20   lo:     1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0: 100 1 2 4 0 0 0 0 200 5 3 6 0 0 0 0\n  odd: x\n";
        let all: Vec<_> = parse(text).collect();
        assert_eq!(all.len(), 3);
        let eth0 = InterfaceUsage {
            name: "eth0".to_owned(),
            received: Traffic { bytes: Some(100), packets: Some(1), errors: Some(2), dropped: Some(4) },
            transmitted: Traffic { bytes: Some(200), packets: Some(5), errors: Some(3), dropped: Some(6) },
        };
        assert_eq!(all[1], eth0);
        assert_eq!(all[2], InterfaceUsage { name: "odd".to_owned(), ..InterfaceUsage::default() });
    }

    #[test]
    fn names_that_read_the_same_are_told_once() {
        let line = |name: &[u8]| [name, b": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n".as_slice()].concat();
        // What a pod can call its interfaces: the kernel takes all bytes but spaces, slashes and colons.
        let bytes = [b"head\nhead\n".to_vec(), line(b"d\xff"), line(b"d\xfe"), line(b"dummy0")].concat();
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<_> = distinct(parse(&text).collect()).map(|interface| interface.name).collect();
        assert_eq!(names, ["d\u{fffd}", "dummy0"]);
        let many =
            (0..INTERFACES * 2).map(|number| InterfaceUsage { name: format!("d{number}"), ..Default::default() });
        assert_eq!(distinct(many.collect()).count(), INTERFACES);
    }
}
