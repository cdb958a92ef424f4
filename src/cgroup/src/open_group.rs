//! A group that is read again and again.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::interface_files::InterfaceFiles;
use crate::stats_reader::{StatsReader, is_missing};
use crate::{GroupError, Stats, StatsPart, version};

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A control group whose folders stay open: one on version 2, one for each tree on version 1. No reading walks down a
/// path. They keep nobody from removing the group.
#[derive(Debug)]
pub struct OpenGroup {
    files: InterfaceFiles,
    /// By the tree's place among all; those that were asked for and are there.
    folders: Vec<Option<OwnedFd>>,
}

impl OpenGroup {
    pub(crate) fn new(files: InterfaceFiles) -> Self {
        let folders = files.trees().trees.iter().map(|_| None).collect();
        Self { files, folders }
    }

    pub(crate) fn files(&self) -> &InterfaceFiles {
        &self.files
    }

    /// What it uses now; what is no part of `part` is not read.
    ///
    /// # Errors
    /// When the group does not exist or a file can't be read.
    pub fn stats(&mut self, part: StatsPart) -> Result<Stats, GroupError> {
        self.find()?;
        let read = version::of(self.files.trees()).stats;
        read(&mut StatsReader::new(self), part)
    }

    /// Time of processors that it has used, in nanoseconds: of [`OpenGroup::stats`] this alone, read from one file.
    /// `None` where the node does not count.
    ///
    /// # Errors
    /// When the group does not exist or the file can't be read.
    pub fn cpu_time(&mut self) -> Result<Option<u64>, GroupError> {
        self.find()?;
        let read = version::of(self.files.trees()).cpu_time;
        read(&mut StatsReader::new(self))
    }

    /// Looks whether it is there, in the tree whose membership counts; and whether it still is the one that is open.
    fn find(&mut self) -> Result<(), GroupError> {
        if self.is_there()? {
            return Ok(());
        }
        // One that was removed and made anew has other folders.
        self.folders.fill_with(|| None);
        if self.is_there()? { Ok(()) } else { Err(GroupError::of("read", &self.files.main_dir())(Errno::NOENT.into())) }
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
