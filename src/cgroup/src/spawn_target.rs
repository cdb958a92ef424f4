//! Starting children in a group: moving them there afterwards waits for an RCU grace period.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::{Cgroup, GroupError, version};

/// A group for the children of the thread that has this: see [`Cgroup::spawn_target`].
#[derive(Debug)]
pub struct SpawnTarget {
    group: Cgroup,
    dir: Option<OwnedFd>,
}

impl Cgroup {
    /// Makes the group and prepares the calling thread for starting children in it: on version 1 the thread itself
    /// moves there, on version 2, which moves no single threads, each start is given the group.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn spawn_target(&self) -> Result<SpawnTarget, GroupError> {
        self.create()?;
        let dir = (version::of(self.files().trees()).spawn_target)(self.files())?;
        Ok(SpawnTarget { group: self.clone(), dir })
    }
}

impl SpawnTarget {
    /// The group's directory, which each child has to be started with (`CLONE_INTO_CGROUP`). `None`: children of this
    /// thread are in the group by themselves.
    ///
    /// # Errors
    /// When the group was removed, which is possible while it is empty, and can't be made again.
    pub fn dir(&mut self) -> Result<Option<BorrowedFd<'_>>, GroupError> {
        if self.dir.is_some() && !self.group.exists() {
            *self = self.group.spawn_target()?;
        }
        Ok(self.dir.as_ref().map(AsFd::as_fd))
    }

    /// Moves a child into the group that could not be started there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(&self, pid: u32) -> Result<(), GroupError> {
        self.group.attach(pid)
    }
}
