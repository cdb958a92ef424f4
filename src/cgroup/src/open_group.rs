//! A group that is read again and again.

use std::time::Instant;

use crate::bounds::IDLE_STATS_AGE;
use crate::interface_files::InterfaceFiles;
use crate::open_folders::{FoundGroup, OpenFolders};
use crate::stats_reader::StatsReader;
use crate::version::StatsTable;
use crate::{GroupError, Pressure, Stall, Stats, StatsPart, version};

/// A control group whose folders stay open: one on version 2, one for each tree on version 1. No reading walks down a
/// path. They keep nobody from removing the group.
#[derive(Debug)]
pub struct OpenGroup {
    folders: OpenFolders,
    last: LastReading,
}

/// What was read of a group last, to be told again while nothing in it runs.
#[derive(Debug, Default)]
struct LastReading {
    usage: Option<(Instant, Stats)>,
    /// The same, with counters.
    counters: Option<Stats>,
    /// Memory's and swap's, as long as usage holds.
    limits: Option<(Instant, Stats)>,
    pressure: LastPressure,
}

/// What tasks were seen to wait for, last.
#[derive(Debug, Default)]
struct LastPressure {
    last: Option<(Instant, Pressure)>,
    /// Nobody waited between the last two readings. Who waits for a disk uses no processor.
    is_quiet: bool,
}

impl LastPressure {
    fn held(&self) -> Option<Pressure> {
        let held = self.last.filter(|(at, _)| self.is_quiet && at.elapsed() < IDLE_STATS_AGE);
        held.map(|(_, pressure)| pressure)
    }

    fn put(&mut self, pressure: Pressure) {
        self.is_quiet = self.last.is_some_and(|(_, last)| totals(&last) == totals(&pressure));
        self.last = Some((Instant::now(), pressure));
    }
}

/// How long tasks have waited, of all that is counted.
fn totals(pressure: &Pressure) -> [Option<(u64, u64)>; 3] {
    let Pressure { cpu, memory, io } = pressure;
    [cpu, memory, io].map(|stall| stall.map(|Stall { some, full }| (some.total, full.total)))
}

impl LastReading {
    /// Forgets all that may not be so any more, of a group that has used so much of processors by now. What is charged
    /// to a group in which nothing runs changes all the same when the node takes memory back, or writes files out.
    fn expire(&mut self, used: Option<u64>) {
        let holds =
            |(at, stats): &(Instant, Stats)| used.is_some() && stats.cpu.used == used && at.elapsed() < IDLE_STATS_AGE;
        if !self.usage.as_ref().is_some_and(holds) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        (self.usage, self.counters, self.limits) = (None, None, None);
    }

    fn pressure(&mut self, table: &StatsTable, reader: &mut StatsReader<'_>) -> Result<Pressure, GroupError> {
        if let Some(held) = self.pressure.held().filter(|_| self.usage.is_some()) {
            return Ok(held);
        }
        let pressure = (table.pressure)(reader)?;
        self.pressure.put(pressure);
        Ok(pressure)
    }

    fn usage(&mut self, table: &StatsTable, reader: &mut StatsReader<'_>) -> Result<Stats, GroupError> {
        match &self.usage {
            Some((_, stats)) => Ok(stats.clone()),
            None => {
                let at = Instant::now();
                let stats = (table.usage)(reader)?;
                self.usage = Some((at, stats.clone()));
                Ok(stats)
            }
        }
    }

    /// A lower limit makes who sets it take memory from the group.
    fn usage_with_limits(&mut self, table: &StatsTable, reader: &mut StatsReader<'_>) -> Result<Stats, GroupError> {
        let held = self.limits.take().filter(|(at, _)| self.usage.is_some() && at.elapsed() < IDLE_STATS_AGE);
        let (at, limits) = match held {
            Some(held) => held,
            None => {
                // Before usage, which follows from them.
                let (at, mut limits) = (Instant::now(), Stats::default());
                (table.add_limits)(reader, &mut limits)?;
                self.forget();
                (at, limits)
            }
        };
        let mut stats = self.usage(table, reader)?;
        (stats.memory.limit, stats.swap.limit) = (limits.memory.limit, limits.swap.limit);
        self.limits = Some((at, limits));
        Ok(stats)
    }

    fn counters(&mut self, table: &StatsTable, reader: &mut StatsReader<'_>) -> Result<Stats, GroupError> {
        match &self.counters {
            Some(stats) => Ok(stats.clone()),
            None => {
                let mut stats = self.usage(table, reader)?;
                (table.add_counters)(reader, &mut stats)?;
                self.counters = Some(stats.clone());
                Ok(stats)
            }
        }
    }
}

impl OpenGroup {
    pub(crate) fn new(files: InterfaceFiles) -> Self {
        Self { folders: OpenFolders::new(files), last: LastReading::default() }
    }

    /// What it uses now; what is no part of `part` is not read. As long as nothing in it has used a processor since the
    /// last reading, that is told again, for 15 s at most: what the node takes back or writes out meanwhile shows late,
    /// and so do other limits. Pressure is read each time if somebody has waited between the last two readings. Who
    /// sets limits opens the group anew, for all to be read.
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
            StatsPart::Counters => last.counters(table, reader),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StallTime;

    fn reading(used: Option<u64>) -> LastReading {
        let mut stats = Stats::default();
        stats.cpu.used = used;
        LastReading {
            usage: Some((Instant::now(), stats.clone())),
            counters: Some(stats),
            limits: Some((Instant::now(), Stats::default())),
            pressure: LastPressure::default(),
        }
    }

    #[test]
    fn a_reading_holds_while_nothing_runs_and_not_for_long() {
        for (then, now, holds) in
            [(Some(5), Some(5), true), (Some(5), Some(6), false), (Some(5), None, false), (None, None, false)]
        {
            let mut last = reading(then);
            last.expire(now);
            let kept = [last.usage.is_some(), last.counters.is_some(), last.limits.is_some()];
            assert_eq!(kept, [holds; 3], "{then:?} {now:?}");
        }
        let mut last = reading(Some(5));
        let old = Instant::now().checked_sub(IDLE_STATS_AGE).unwrap();
        last.usage.as_mut().unwrap().0 = old;
        last.expire(Some(5));
        assert!(last.usage.is_none() && last.counters.is_none());
    }

    #[test]
    fn pressure_holds_once_nobody_waits() {
        let waited = |total| {
            let time = StallTime { total, ..StallTime::default() };
            Pressure { io: Some(Stall { some: time, full: StallTime::default() }), ..Pressure::default() }
        };
        let mut last = LastPressure::default();
        for (total, held) in [(1, None), (1, Some(1)), (2, None), (3, None), (3, Some(3))] {
            last.put(waited(total));
            assert_eq!(last.held(), held.map(waited), "{total}");
        }
        last.last.as_mut().unwrap().0 = Instant::now().checked_sub(IDLE_STATS_AGE).unwrap();
        assert_eq!(last.held(), None);
    }
}
