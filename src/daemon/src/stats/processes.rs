//! Processes of containers and what they have open: too much to look for while somebody waits.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use peapod_cgroup::{Cgroup, Hierarchy, TaskLimit};
use peapod_pod::{ContainerId, ContainerState, ContainerView, Snapshot};
use peapod_sys::sync::lock;
use rustix::fs::{CWD, Dir, Mode, OFlags};

use super::running::is_running;
use crate::bounds;

/// What was counted of a container. What could not be counted within bounds is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessCounts {
    pub(crate) processes: u64,
    pub(crate) descriptors: Option<u64>,
    /// Descriptors of sockets.
    pub(crate) sockets: Option<u64>,
    pub(crate) task_limit: TaskLimit,
    /// The soft limit of descriptors that its first process has.
    pub(crate) descriptor_limit: Option<u64>,
}

#[derive(Clone, Copy)]
struct ProcessSample {
    /// None if the container ended meanwhile.
    counts: Option<ProcessCounts>,
    taken: Instant,
    cost: Duration,
    /// Time of processors that the container had used before the count.
    used: Option<u64>,
}

impl ProcessSample {
    fn is_time(&self) -> bool {
        self.taken.elapsed() >= bounds::PROCESSES_PERIOD.max(self.cost * bounds::PROCESSES_COST_PARTS)
    }

    /// Nothing starts, ends or opens anything without a processor. Processes that others move there may.
    fn is_due(&self, used: Option<u64>) -> bool {
        self.used.is_none() || used != self.used || self.taken.elapsed() >= bounds::PROCESSES_IDLE_PERIOD
    }
}

/// A container whose processes are to be counted.
pub(super) struct DueProcesses {
    view: Arc<ContainerView>,
    used: Option<u64>,
}

/// A sample for each container that was counted. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct ProcessCounters(Arc<Mutex<BTreeMap<ContainerId, ProcessSample>>>);

impl ProcessCounters {
    /// What was counted last.
    pub(super) fn of(&self, id: &ContainerId) -> Option<ProcessCounts> {
        self.lock().get(id).and_then(|sample| sample.counts)
    }

    /// Whether a container was counted at all.
    pub(super) fn knows(&self, id: &ContainerId) -> bool {
        self.lock().contains_key(id)
    }

    /// Forgets containers that don't run, and answers which others are to be counted, those first that never were.
    /// `used` tells the time of processors that a control group has used. Blocks.
    pub(super) fn due<'a>(
        &self,
        snapshot: &'a Snapshot,
        used: impl Fn(&str) -> Option<u64> + 'a,
    ) -> impl Iterator<Item = DueProcesses> + 'a {
        let mut samples = self.lock();
        samples.retain(|id, _| snapshot.container(id).is_some_and(|(_, view)| is_running(view)));
        let last = |view: &'a Arc<ContainerView>| (view, samples.get(&view.id).copied());
        let running = snapshot.containers().filter(|view| is_running(view)).map(last);
        let mut late: Vec<_> = running.filter(|(_, last)| last.is_none_or(|last| last.is_time())).collect();
        late.sort_by_key(|(_, last)| last.map(|last| last.taken));
        late.into_iter().filter_map(move |(view, last)| {
            let used = used(&view.cgroup);
            let is_due = last.is_none_or(|last| last.is_due(used));
            is_due.then(|| DueProcesses { view: Arc::clone(view), used })
        })
    }

    /// Counts a container's processes and keeps the outcome: what is counted by the end of its time, or as long as
    /// `is_wanted`. Blocks.
    pub(super) fn count(&self, cgroups: &Hierarchy, due: &DueProcesses, is_wanted: impl Fn() -> bool) {
        let (began, view) = (Instant::now(), &due.view);
        let go_on = || began.elapsed() < bounds::PROCESSES_COUNT && is_wanted();
        let counts = match view.state {
            ContainerState::Running { pid, .. } => {
                cgroups.cgroup(&view.cgroup).ok().and_then(|cgroup| count(&cgroup, pid, go_on))
            }
            _ => None,
        };
        let sample = ProcessSample { counts, taken: Instant::now(), cost: began.elapsed(), used: due.used };
        self.lock().insert(view.id.clone(), sample);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, ProcessSample>> {
        lock(&self.0)
    }
}

/// `first` is the container's first process.
fn count(cgroup: &Cgroup, first: u32, mut go_on: impl FnMut() -> bool) -> Option<ProcessCounts> {
    let pids = cgroup.open().pids_while(&mut go_on).ok().flatten().filter(|pids| !pids.is_empty())?;
    let open = (pids.len() <= bounds::PROCESSES).then(|| OpenDescriptors::of(&pids, go_on)).flatten();
    Some(ProcessCounts {
        processes: pids.len() as u64,
        descriptors: open.as_ref().map(|open| open.descriptors),
        sockets: open.and_then(|open| open.sockets),
        task_limit: cgroup.task_limit().unwrap_or_default(),
        descriptor_limit: std::fs::read_to_string(format!("/proc/{first}/limits")).ok().and_then(|text| limit(&text)),
    })
}

struct OpenDescriptors<F> {
    descriptors: u64,
    /// None beyond the bound.
    sockets: Option<u64>,
    looked_at: usize,
    /// Whether there is time left.
    go_on: F,
    is_whole: bool,
}

impl<F: FnMut() -> bool> OpenDescriptors<F> {
    fn new(go_on: F) -> Self {
        Self { descriptors: 0, sockets: Some(0), looked_at: 0, go_on, is_whole: true }
    }

    /// None if there is no time for all.
    fn of(pids: &[u32], go_on: F) -> Option<Self> {
        let mut open = Self::new(go_on);
        for pid in pids {
            // One that has ended has nothing open.
            let _ = open.add(&format!("/proc/{pid}/fd"));
        }
        open.is_whole.then_some(open)
    }

    fn goes_on(&mut self) -> bool {
        self.is_whole = self.is_whole && (self.go_on)();
        self.is_whole
    }

    fn add(&mut self, folder: &str) -> io::Result<()> {
        const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
        if !self.goes_on() {
            return Ok(());
        }
        let folder = rustix::fs::openat(CWD, folder, FOLDER, Mode::empty())?;
        // How many there are: since Linux 6.2, for a long list at no cost.
        let size = u64::try_from(rustix::fs::fstat(&folder)?.st_size).unwrap_or(0);
        let listed = if size == 0 || self.sockets.is_some() { self.list(&folder)? } else { 0 };
        self.descriptors += if size == 0 { listed } else { size };
        Ok(())
    }

    /// Counts the sockets in a folder, and all; sockets only up to the bound.
    fn list(&mut self, folder: &OwnedFd) -> io::Result<u64> {
        let (mut listed, mut target) = (0, Vec::with_capacity(64));
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            if entry.file_name().to_bytes().starts_with(b".") {
                continue;
            }
            if !self.goes_on() {
                break;
            }
            listed += 1;
            let Some(sockets) = self.sockets.as_mut() else { continue };
            self.looked_at += 1;
            if self.looked_at > bounds::DESCRIPTORS {
                self.sockets = None;
                continue;
            }
            // It may be closed by now.
            if let Ok(link) = rustix::fs::readlinkat(folder, entry.file_name(), target) {
                *sockets += u64::from(link.as_bytes().starts_with(b"socket:"));
                target = link.into_bytes();
            } else {
                target = Vec::with_capacity(64);
            }
        }
        Ok(listed)
    }
}

/// The soft limit of `Max open files`, of a text like that of proc_pid_limits(5). There is always one.
fn limit(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn descriptors_of_a_process() {
        let of = |pid| OpenDescriptors::of(&[pid], || true).unwrap();
        let before = of(std::process::id());
        let kept: Vec<_> = (0..50).map(|_| UnixDatagram::unbound().unwrap()).collect();
        let after = of(std::process::id());
        // Other tests open and close some beside this one.
        assert!(after.descriptors >= before.descriptors + 30, "{} {}", before.descriptors, after.descriptors);
        assert!(after.sockets.unwrap() >= before.sockets.unwrap() + 30);
        assert!(after.sockets.unwrap() < after.descriptors, "there are others than sockets");
        drop(kept);
        assert_eq!(of(u32::MAX).descriptors, 0);
    }

    #[test]
    fn a_count_ends_with_its_time() {
        let own = std::process::id();
        assert!(OpenDescriptors::of(&[own], || false).is_none());
        let mut looks = 0;
        let some = |looks: &mut u32| {
            *looks += 1;
            *looks <= 5
        };
        // A folder that does not tell how much is in it, as those of descriptors before Linux 6.2.
        let mut open = OpenDescriptors::new(|| some(&mut looks));
        open.sockets = None;
        open.add("/proc").unwrap();
        open.add("/proc").unwrap();
        assert!(!open.is_whole && open.descriptors == 4, "{}", open.descriptors);
        assert_eq!(looks, 6, "nothing is looked at any more");
        assert!(OpenDescriptors::of(&[own; 3], || some(&mut looks)).is_none());
        assert_eq!(looks, 7);
    }

    #[test]
    fn the_limit_of_descriptors() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             7619                 7619                 processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(limit(text), Some(1024));
        assert_eq!(limit("Max open files            unlimited            unlimited            files\n"), None);
        assert!(limit(&std::fs::read_to_string("/proc/self/limits").unwrap()).is_some());
    }

    #[test]
    fn counts_are_due_by_what_they_cost() {
        let sample = |cost, ago| {
            let taken = Instant::now().checked_sub(Duration::from_secs(ago)).unwrap();
            ProcessSample { counts: None, taken, cost: Duration::from_millis(cost), used: None }.is_time()
        };
        let period = bounds::PROCESSES_PERIOD.as_secs();
        assert!(!sample(1, period - 1) && sample(1, period + 1));
        let pause = u64::from(bounds::PROCESSES_COST_PARTS);
        assert!(!sample(1000, pause - 1) && sample(1000, pause + 1), "a second takes long");
    }

    #[test]
    fn what_has_used_no_processor_is_counted_seldom() {
        let sample = |used, ago| {
            let taken = Instant::now().checked_sub(ago).unwrap();
            ProcessSample { counts: None, taken, cost: Duration::ZERO, used }
        };
        let (soon, late) = (bounds::PROCESSES_PERIOD, bounds::PROCESSES_IDLE_PERIOD);
        assert!(!sample(Some(7), soon).is_due(Some(7)));
        assert!(sample(Some(7), soon).is_due(Some(8)) && sample(Some(7), soon).is_due(None), "it has run, or is new");
        assert!(sample(None, soon).is_due(None), "nobody knows");
        assert!(sample(Some(7), late).is_due(Some(7)));
    }
}
