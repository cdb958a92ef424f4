//! A group that is read again and again.

use crate::interface_files::InterfaceFiles;
use crate::open_folders::OpenFolders;
use crate::stats_reader::StatsReader;
use crate::{GroupError, Stats, StatsPart, version};

/// A control group whose folders stay open: one on version 2, one for each tree on version 1. No reading walks down a
/// path. They keep nobody from removing the group.
#[derive(Debug)]
pub struct OpenGroup(OpenFolders);

impl OpenGroup {
    pub(crate) fn new(files: InterfaceFiles) -> Self {
        Self(OpenFolders::new(files))
    }

    /// What it uses now; what is no part of `part` is not read.
    ///
    /// # Errors
    /// When the group does not exist or a file can't be read.
    pub fn stats(&mut self, part: StatsPart) -> Result<Stats, GroupError> {
        let Self(folders) = self;
        folders.find()?;
        let read = version::of(folders.files().trees()).stats;
        read(&mut StatsReader::new(folders), part)
    }

    /// Time of processors that it has used, in nanoseconds: of [`OpenGroup::stats`] this alone, read from one file.
    /// `None` where the node does not count.
    ///
    /// # Errors
    /// When the group does not exist or the file can't be read.
    pub fn cpu_time(&mut self) -> Result<Option<u64>, GroupError> {
        let Self(folders) = self;
        folders.find()?;
        let read = version::of(folders.files().trees()).cpu_time;
        read(&mut StatsReader::new(folders))
    }
}
