//! What is decided but not yet on disk, and what must wait until it is.
//!
//! One commit is under way at a time; what changes meanwhile goes with the next one. Commits are numbered, and whatever
//! has to come after a change remembers the number of the commit that takes it to the disk: its [`CommitNumber`].

use std::collections::BTreeSet;

use crate::id::ContainerId;
use crate::view::PodEntry;

/// The number of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommitNumber(u64);

impl CommitNumber {
    /// The commit after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which rows are not as they should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) pod: bool,
    pub(crate) containers: BTreeSet<ContainerId>,
    pub(crate) gone: BTreeSet<ContainerId>,
    pub(crate) pod_gone: bool,
}

impl Dirty {
    fn is_clean(&self) -> bool {
        !self.pod && self.containers.is_empty() && self.gone.is_empty() && !self.pod_gone
    }

    fn merge(&mut self, other: Self) {
        self.pod |= other.pod;
        self.containers.extend(other.containers);
        self.gone.extend(other.gone);
        self.pod_gone |= other.pod_gone;
        self.containers.retain(|id| !self.gone.contains(id));
    }
}

/// What readers see once a commit is over.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Nothing yet.
    Nothing,
    Entry(Box<PodEntry>),
    /// The pod is gone: only if that is on disk, as it is still there to be removed otherwise.
    Gone,
}

/// A commit under way.
#[derive(Debug)]
struct Flight {
    rows: Dirty,
    shown: Shown,
}

/// Where commits come from.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    dirty: Dirty,
    flight: Option<Flight>,
    /// Of the commit that was begun last.
    begun: CommitNumber,
    /// Of the last one that is over, well or not.
    settled: CommitNumber,
    /// A commit failed, and the next one waits for a while.
    pausing: bool,
}

impl Outbox {
    pub(crate) fn pod(&mut self) -> CommitNumber {
        self.dirty.pod = true;
        self.barrier()
    }

    pub(crate) fn container(&mut self, id: &ContainerId) -> CommitNumber {
        self.dirty.containers.insert(id.clone());
        self.barrier()
    }

    pub(crate) fn container_gone(&mut self, id: &ContainerId) -> CommitNumber {
        self.dirty.containers.remove(id);
        self.dirty.gone.insert(id.clone());
        self.barrier()
    }

    pub(crate) fn pod_gone(&mut self) -> CommitNumber {
        self.dirty.pod_gone = true;
        self.barrier()
    }

    /// The commit with which all is on disk that was decided up to now.
    pub(crate) fn barrier(&self) -> CommitNumber {
        if self.dirty.is_clean() { self.begun } else { self.begun.next() }
    }

    /// Whether a commit is over, well or not. Who must know how it ended is told when it fails.
    pub(crate) fn is_over(&self, mark: CommitNumber) -> bool {
        mark <= self.settled
    }

    /// Everything is on disk.
    pub(crate) fn is_idle(&self) -> bool {
        self.dirty.is_clean() && self.flight.is_none()
    }

    /// The rows of the next commit, if one can begin.
    pub(crate) fn next(&mut self) -> Option<Dirty> {
        if self.flight.is_some() || self.pausing || self.dirty.is_clean() {
            return None;
        }
        self.begun = self.begun.next();
        Some(std::mem::take(&mut self.dirty))
    }

    pub(crate) fn begin(&mut self, rows: Dirty, shown: Shown) {
        self.flight = Some(Flight { rows, shown });
    }

    /// The commit is over. Answers its mark and what readers see now; rows that could not be written are tried again
    /// after a pause.
    pub(crate) fn finish(&mut self, written: bool) -> Option<(CommitNumber, Shown)> {
        let Flight { rows, mut shown } = self.flight.take()?;
        self.settled = self.begun;
        if let Shown::Entry(entry) = &mut shown
            && written
        {
            // A container that could not be removed from the disk is still there to be removed.
            entry.containers.retain(|id, _| !rows.gone.contains(id));
        }
        if !written {
            self.dirty.merge(rows);
            self.pausing = true;
        }
        Some((self.settled, shown))
    }

    /// The pause after a failed commit is over.
    pub(crate) fn resume(&mut self) {
        self.pausing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_go_with_the_next_commit() {
        let mut outbox = Outbox::default();
        assert!(outbox.is_over(outbox.barrier()), "nothing to wait for");
        let first = outbox.pod();
        let rows = outbox.next().unwrap();
        outbox.begin(rows, Shown::Nothing);
        assert_eq!(outbox.barrier(), first);
        let second = outbox.pod_gone();
        assert!(first < second && outbox.next().is_none());
        outbox.finish(true).unwrap();
        assert!(outbox.is_over(first) && !outbox.is_over(second));
    }

    #[test]
    fn what_was_not_written_is_tried_again() {
        let mut outbox = Outbox::default();
        outbox.pod();
        let rows = outbox.next().unwrap();
        outbox.begin(rows, Shown::Nothing);
        outbox.finish(false).unwrap();
        assert!(outbox.next().is_none() && !outbox.is_idle());
        outbox.resume();
        assert!(outbox.next().unwrap().pod);
    }
}
