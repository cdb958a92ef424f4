//! What was read of a group last, and how long it holds.

use std::time::Instant;

use crate::bounds::{IDLE_COUNTERS_AGE, IDLE_STATS_AGE};
use crate::stats_reader::StatsReader;
use crate::version::StatsTable;
use crate::{CpuStats, GroupError, MemoryStats, Pressure, Stall, Stats};

/// What was read of a group last, to be told again while nothing in it runs.
#[derive(Debug, Default)]
pub(crate) struct LastReading {
    /// Processor time that the group had used when all the rest was read, but pressure.
    used: Option<u64>,
    usage: Option<(Instant, Stats)>,
    /// The same with all that metrics tell, as long as usage holds.
    metrics: Option<Stats>,
    /// Memory's and swap's, as long as usage holds.
    limits: Option<(Instant, Stats)>,
    /// What nothing but tasks that run can move.
    counters: Option<(Instant, Counters)>,
    pressure: LastPressure,
}

/// Those of [`Stats`] that nothing but tasks that run can move.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counters(Stats);

impl Counters {
    /// Puts them into a reading that has all the rest.
    fn put_into(&self, stats: &mut Stats) {
        let Stats { cpu, memory, oom_kills, hugepages, .. } = &self.0;
        stats.cpu = CpuStats { used: stats.cpu.used, ..*cpu };
        stats.memory = MemoryStats { max_usage: memory.max_usage, limit_hits: memory.limit_hits, ..stats.memory };
        (stats.oom_kills, stats.hugepages) = (*oom_kills, hugepages.clone());
    }
}

impl LastReading {
    /// Forgets all that may not be so any more, of a group that has used so much of processors by now. What is charged
    /// to a group in which nothing runs changes all the same when the node takes memory back, or writes files out.
    pub(crate) fn expire(&mut self, used: Option<u64>) {
        if used.is_none() || used != self.used {
            self.forget();
            self.counters = None;
        } else if self.usage.as_ref().is_some_and(|(at, _)| at.elapsed() >= IDLE_STATS_AGE) {
            self.forget();
        }
        if self.counters.as_ref().is_some_and(|(at, _)| at.elapsed() >= IDLE_COUNTERS_AGE) {
            self.counters = None;
        }
        self.used = used;
    }

    fn forget(&mut self) {
        (self.usage, self.metrics, self.limits) = (None, None, None);
    }

    pub(crate) fn pressure(
        &mut self,
        table: &StatsTable,
        reader: &mut StatsReader<'_>,
    ) -> Result<Pressure, GroupError> {
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
    pub(crate) fn usage_with_limits(
        &mut self,
        table: &StatsTable,
        reader: &mut StatsReader<'_>,
    ) -> Result<Stats, GroupError> {
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

    pub(crate) fn metrics(&mut self, table: &StatsTable, reader: &mut StatsReader<'_>) -> Result<Stats, GroupError> {
        if let Some(stats) = &self.metrics {
            return Ok(stats.clone());
        }
        let mut stats = self.usage(table, reader)?;
        (table.add_charges)(reader, &mut stats)?;
        match &self.counters {
            Some((_, counters)) => counters.put_into(&mut stats),
            None => {
                let at = Instant::now();
                (table.add_counters)(reader, &mut stats)?;
                self.counters = Some((at, Counters(stats.clone())));
            }
        }
        self.metrics = Some(stats.clone());
        Ok(stats)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StallTime;

    fn reading(used: Option<u64>) -> LastReading {
        LastReading {
            used,
            usage: Some((Instant::now(), Stats::default())),
            metrics: Some(Stats::default()),
            limits: Some((Instant::now(), Stats::default())),
            counters: Some((Instant::now(), Counters::default())),
            pressure: LastPressure::default(),
        }
    }

    fn kept(last: &LastReading) -> [bool; 4] {
        [last.usage.is_some(), last.metrics.is_some(), last.limits.is_some(), last.counters.is_some()]
    }

    #[test]
    fn a_reading_holds_while_nothing_runs_and_not_for_long() {
        for (then, now, holds) in
            [(Some(5), Some(5), true), (Some(5), Some(6), false), (Some(5), None, false), (None, None, false)]
        {
            let mut last = reading(then);
            last.expire(now);
            assert_eq!(kept(&last), [holds; 4], "{then:?} {now:?}");
        }
        let old = |age| Instant::now().checked_sub(age).unwrap();
        let mut last = reading(Some(5));
        last.usage.as_mut().unwrap().0 = old(IDLE_STATS_AGE);
        last.expire(Some(5));
        assert_eq!(kept(&last), [false, false, false, true], "what only tasks can move holds longer");
        last.expire(Some(5));
        assert_eq!(kept(&last), [false, false, false, true], "also before anything else is read again");
        last.counters.as_mut().unwrap().0 = old(IDLE_COUNTERS_AGE);
        last.expire(Some(5));
        assert_eq!(kept(&last), [false; 4]);
        let mut last = reading(Some(5));
        last.usage = None;
        last.expire(Some(6));
        assert_eq!(kept(&last), [false; 4]);
    }

    #[test]
    fn counters_are_put_beside_what_was_read_anew() {
        let mut then = Stats { oom_kills: Some(1), ..Stats::default() };
        (then.cpu.used, then.cpu.user, then.cpu.periods) = (Some(9), Some(4), Some(2));
        (then.memory.usage, then.memory.max_usage, then.memory.limit_hits) = (Some(70), Some(80), Some(3));
        then.hugepages = vec![crate::HugePages { size: "2MB".to_owned(), usage: Some(5), max_usage: Some(6) }];
        let mut now = Stats::default();
        (now.cpu.used, now.memory.usage, now.memory.kernel) = (Some(9), Some(60), Some(7));
        Counters(then.clone()).put_into(&mut now);
        let mut expected = then;
        (expected.memory.usage, expected.memory.kernel) = (Some(60), Some(7));
        assert_eq!(now, expected);
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
