//! Children that are born into a group, because moving them there afterwards waits for an RCU grace period.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::{Cgroup, GroupError};

/// A group for the children of the thread that has this: see [`Cgroup::spawn_target`].
#[derive(Debug)]
pub struct SpawnTarget {
    group: Cgroup,
    dir: Option<OwnedFd>,
}

impl SpawnTarget {
    pub(crate) fn new(group: Cgroup, dir: Option<OwnedFd>) -> Self {
        Self { group, dir }
    }

    /// The directory that a child has to be started in to be born into the group (`CLONE_INTO_CGROUP`). `None`: they
    /// are by themselves.
    ///
    /// # Errors
    /// When the group was removed, which is possible while it is empty, and can't be made again.
    pub fn dir(&mut self) -> Result<Option<BorrowedFd<'_>>, GroupError> {
        if self.dir.is_some() && !self.group.exists() {
            *self = self.group.spawn_target()?;
        }
        Ok(self.dir.as_ref().map(AsFd::as_fd))
    }

    /// Moves a child into the group that could not be born there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(&self, pid: u32) -> Result<(), GroupError> {
        self.group.attach(pid)
    }
}
