//! The control groups of all that runs, whose folders stay open between two readings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use peapod_cgroup::{GroupError, Hierarchy, OpenGroup, Stats, StatsPart};
use peapod_sys::sync::lock;
use tokio::task::spawn_blocking;

use crate::bounds::OPEN_GROUPS;

/// Clones share them.
#[derive(Clone)]
pub(crate) struct OpenGroups {
    cgroups: Hierarchy,
    open: Arc<Mutex<OpenMap>>,
}

#[derive(Default)]
struct OpenMap {
    /// By path; without those that are being read.
    groups: BTreeMap<String, OpenGroup>,
    /// How often one was to be forgotten.
    forgotten: u64,
}

impl OpenGroups {
    pub(crate) fn new(cgroups: Hierarchy) -> Self {
        Self { cgroups, open: Arc::default() }
    }

    /// All groups of the node.
    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.cgroups
    }

    /// What the kernel tells of a group; none when it is gone. Blocks.
    pub(super) fn stats(&self, path: &str, part: StatsPart) -> Option<Stats> {
        self.read(path, |group| group.stats(part))
    }

    /// Nanoseconds of processor time that a group has used; none when it is gone. Blocks.
    pub(super) fn cpu_time(&self, path: &str) -> Option<u64> {
        self.read(path, OpenGroup::cpu_time).flatten()
    }

    /// Forgets what was read of a group, whose limits are others now; also what is being read.
    pub(crate) fn forget(&self, path: &str) {
        let mut open = lock(&self.open);
        open.forgotten += 1;
        // A few descriptors.
        open.groups.remove(path);
    }

    /// Closes all others: those that are no more, or in which nothing runs.
    pub(super) fn retain(&self, paths: &BTreeSet<String>) {
        let closed: BTreeMap<_, _> = {
            let mut open = lock(&self.open);
            if is_within(open.groups.keys(), paths) {
                return;
            }
            let all = std::mem::take(&mut open.groups);
            let (kept, closed) = all.into_iter().partition(|(path, _)| paths.contains(path));
            open.groups = kept;
            closed
        };
        if !closed.is_empty() {
            // Some thousand descriptors at most.
            spawn_blocking(move || drop(closed));
        }
    }

    /// Not under the lock. One that somebody else reads at the same time is opened once more.
    fn read<T>(&self, path: &str, read: impl FnOnce(&mut OpenGroup) -> Result<T, GroupError>) -> Option<T> {
        let (kept, forgotten) = {
            let mut open = lock(&self.open);
            (open.groups.remove_entry(path), open.forgotten)
        };
        let (path, mut group) = match kept {
            Some(kept) => kept,
            None => (path.to_owned(), self.cgroups.cgroup(path).ok()?.open()),
        };
        match read(&mut group) {
            Ok(answer) => {
                let mut open = lock(&self.open);
                if open.groups.len() < OPEN_GROUPS && open.forgotten == forgotten {
                    open.groups.insert(path, group);
                }
                Some(answer)
            }
            Err(error) => {
                tracing::debug!(%error, "a control group can't be read");
                None
            }
        }
    }
}

/// Whether all are there. Both are in order: one walk tells, where looking up each would compare long paths again and
/// again.
fn is_within<'a>(mut some: impl Iterator<Item = &'a String>, all: &BTreeSet<String>) -> bool {
    let mut all = all.iter();
    some.all(|path| all.by_ref().find(|other| *other >= path) == Some(path))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn lists_in_order_are_compared_in_one_walk() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let all = set(&["/a", "/b", "/b/c", "/d"]);
        for (some, is) in [
            (&["/a", "/d"][..], true),
            (&[], true),
            (&["/a", "/b", "/b/c", "/d"], true),
            (&["/b/a"], false),
            (&["/0", "/a"], false),
            (&["/d", "/e"], false),
        ] {
            assert_eq!(is_within(set(some).iter(), &all), is, "{some:?}");
        }
        assert!(!is_within(set(&["/a"]).iter(), &BTreeSet::new()));
    }

    #[tokio::test]
    async fn no_more_groups_stay_open_than_the_bound_and_none_that_has_ended() {
        let groups = OpenGroups::new(Hierarchy::detect(Path::new("/sys/fs/cgroup")).unwrap());
        let names: Vec<_> = (0..OPEN_GROUPS + 2).map(|number| format!("/peapod-test-none/{number}")).collect();
        // Whether they are there does not matter to who reads nothing.
        let read = |path: &str| groups.read(path, |_| Ok(()));
        assert!(names.iter().all(|path| read(path).is_some() && read(path).is_some()));
        let open = || lock(&groups.open).groups.len();
        assert_eq!(open(), OPEN_GROUPS);
        groups.retain(&names[1..3].iter().cloned().collect());
        assert_eq!(open(), 2);
        groups.forget(&names[2]);
        assert_eq!((open(), read(&names[2]), open()), (1, Some(()), 2));
        let forget = |_: &mut _| {
            groups.forget(&names[2]);
            Ok(())
        };
        groups.read(&names[2], forget).unwrap();
        assert_eq!((open(), read(&names[2])), (1, Some(())), "what was read before is not kept");
        assert_eq!(groups.stats(&names[1], StatsPart::Usage), None);
        assert_eq!(open(), 1, "one that is gone");
        assert_eq!((groups.cpu_time("/../etc"), read("/../etc")), (None, None));
    }
}
