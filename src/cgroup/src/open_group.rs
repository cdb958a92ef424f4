//! A group that is read again and again.

use crate::interface_files::InterfaceFiles;
use crate::last_reading::LastReading;
use crate::open_folders::{FoundGroup, OpenFolders};
use crate::stats_reader::StatsReader;
use crate::{GroupError, Stats, StatsPart, version};

/// A control group whose folders stay open: one on version 2, one for each tree on version 1. No reading walks down a
/// path. They keep nobody from removing the group.
#[derive(Debug)]
pub struct OpenGroup {
    folders: OpenFolders,
    last: LastReading,
}

impl OpenGroup {
    pub(crate) fn new(files: InterfaceFiles) -> Self {
        Self { folders: OpenFolders::new(files), last: LastReading::default() }
    }

    /// All processes of the group and of those below it, as long as `go_on`, which is asked at each group: those that a
    /// privileged container makes may be any number. `None` once it says no.
    ///
    /// # Errors
    /// When a list can't be read.
    pub fn pids_while(&self, go_on: impl FnMut() -> bool) -> Result<Option<Vec<u32>>, GroupError> {
        self.folders.files().pids_while(go_on)
    }

    /// What it uses now; what is no part of `part` is not read. As long as nothing in it has used a processor since the
    /// last reading, that is told again, for 15 s at most: what the node takes back or writes out meanwhile shows late,
    /// and so do other limits. Counters that only what runs can move are told again for a minute. Pressure is read each
    /// time if somebody has waited between the last two readings. Who sets limits opens the group anew, for all to be
    /// read.
    ///
    /// # Errors
    /// When the group does not exist or a file can't be read.
    pub fn stats(&mut self, part: StatsPart) -> Result<Stats, GroupError> {
        let used = self.cpu_time()?;
        let Self { folders, last } = self;
        let table = &version::of(folders.files().trees()).stats;
        let reader = &mut StatsReader::new(folders);
        last.expire(used);
        let pressure = last.pressure(table, reader)?;
        let stats = match part {
            StatsPart::Usage => last.usage_with_limits(table, reader),
            StatsPart::Counters => last.metrics(table, reader),
        };
        Ok(Stats { pressure, ..stats? })
    }

    /// Time of processors that it has used, in nanoseconds: of [`OpenGroup::stats`] this alone, read from one file.
    /// `None` where the node does not count.
    ///
    /// # Errors
    /// When the group does not exist or the file can't be read.
    pub fn cpu_time(&mut self) -> Result<Option<u64>, GroupError> {
        let Self { folders, last } = self;
        let cpu_time = version::of(folders.files().trees()).stats.cpu_time;
        if folders.clock().is_some() {
            // It tells that the group is there and the same, too.
            if let Ok(Some(used)) = cpu_time(&mut StatsReader::new(folders)) {
                return Ok(Some(used));
            }
            folders.close();
        }
        if folders.find()? == FoundGroup::Another {
            *last = LastReading::default();
        }
        cpu_time(&mut StatsReader::new(folders))
    }
}
