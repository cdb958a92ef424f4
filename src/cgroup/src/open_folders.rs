//! A group's folders, kept open.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::GroupError;
use crate::interface_files::InterfaceFiles;

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What is where a group was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FoundGroup {
    /// The one that was open.
    Same,
    /// One that was made since, or is seen for the first time.
    Another,
}

/// Those of one group: one on version 2, one for each tree on version 1.
#[derive(Debug)]
pub(crate) struct OpenFolders {
    files: InterfaceFiles,
    /// By the tree's place among all; those that were asked for and are there.
    folders: Vec<Option<OwnedFd>>,
    /// The file that tells the group's processor time, once it was read.
    clock: Option<OwnedFd>,
}

impl OpenFolders {
    /// Opens none yet.
    pub(crate) fn new(files: InterfaceFiles) -> Self {
        let folders = files.trees().trees.iter().map(|_| None).collect();
        Self { files, folders, clock: None }
    }

    pub(crate) fn files(&self) -> &InterfaceFiles {
        &self.files
    }

    /// Looks whether the group is there, in the tree whose membership counts, and still is the one that is open.
    pub(crate) fn find(&mut self) -> Result<FoundGroup, GroupError> {
        let was_open = self.folders.get(self.files.trees().main_position()).is_some_and(Option::is_some);
        if self.is_there()? {
            return Ok(if was_open { FoundGroup::Same } else { FoundGroup::Another });
        }
        // One that was removed and made anew has other folders.
        self.close();
        if self.is_there()? {
            return Ok(FoundGroup::Another);
        }
        Err(GroupError::of("read", &self.files.main_dir())(Errno::NOENT.into()))
    }

    /// The file that tells the group's processor time, if it is open. It can be read as long as that group is there.
    pub(crate) fn clock(&self) -> Option<&OwnedFd> {
        self.clock.as_ref()
    }

    pub(crate) fn keep_clock(&mut self, file: OwnedFd) {
        self.clock = Some(file);
    }

    /// Closes all.
    pub(crate) fn close(&mut self) {
        self.folders.fill_with(|| None);
        self.clock = None;
    }

    fn is_there(&mut self) -> Result<bool, GroupError> {
        let main = self.files.trees().main_position();
        let found = match self.folder(main) {
            Ok(Some(folder)) => rustix::fs::statat(folder, "cgroup.procs", AtFlags::empty()).map(|_| true),
            other => other.map(|_| false),
        };
        match found {
            Err(errno) if is_missing(errno) => Ok(false),
            other => other.map_err(|errno| GroupError::of("read", &self.files.main_dir())(errno.into())),
        }
    }

    /// Its folder in a tree; none where it is not.
    pub(crate) fn folder(&mut self, tree: usize) -> Result<Option<&OwnedFd>, Errno> {
        let (Some(place), Some(mounted)) = (self.folders.get_mut(tree), self.files.trees().trees.get(tree)) else {
            return Ok(None);
        };
        if place.is_none() {
            *place = match rustix::fs::openat(CWD, self.files.below(&mounted.dir), FOLDER, Mode::empty()) {
                Err(errno) if is_missing(errno) => None,
                other => Some(other?),
            };
        }
        Ok(place.as_ref())
    }
}

/// The file, or the group under it, is not there; or the kernel was told not to count that (pressure).
pub(crate) fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP)
}
