//! How the lines of several logs are printed, in the order of their times.

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::containers::{Happened, LoggedContainer};
use super::{Joiner, LogFile, LogLine, LogMerge};
use crate::cli::LogsArgs;
use crate::console::Console;

/// How late a line may be seen.
const POLL: Duration = Duration::from_millis(100);

/// A log that is read.
struct ReadLog {
    told: LoggedContainer,
    file: LogFile,
    joiner: Joiner,
    /// Lines that `--tail` leaves out.
    skip: usize,
    colour: usize,
}

/// Reads the logs and prints their lines.
pub(crate) struct LogPrinter<'a> {
    args: &'a LogsArgs,
    console: &'a Console,
    merge: LogMerge,
    /// By their numbers in `merge`.
    logs: Vec<ReadLog>,
}

impl<'a> LogPrinter<'a> {
    pub(crate) fn new(args: &'a LogsArgs, console: &'a Console) -> Self {
        Self { args, console, merge: LogMerge::default(), logs: Vec::new() }
    }

    pub(crate) fn add(&mut self, told: LoggedContainer, tail: Option<usize>) -> anyhow::Result<()> {
        if self.logs.iter().any(|log| log.told.id == told.id) {
            return Ok(());
        }
        let (mut file, mut skip) = (LogFile::new(&told.path), 0);
        if let Some(tail) = tail {
            skip = count(&mut file).map_err(|error| unreadable(&told.path, &error))?.saturating_sub(tail);
        }
        // A container that is started again keeps its colour.
        let twin = self.logs.iter().find(|log| log.told.label == told.label);
        let names = |logs: &[ReadLog]| logs.iter().map(|log| log.colour + 1).max().unwrap_or_default();
        let colour = twin.map_or_else(|| names(&self.logs), |twin| twin.colour);
        self.merge.add();
        self.logs.push(ReadLog { told, file, joiner: Joiner::default(), skip, colour });
        Ok(())
    }

    /// Until everything is printed or nobody reads any more.
    pub(crate) async fn print(&mut self, mut heard: mpsc::Receiver<Happened>) -> anyhow::Result<()> {
        let mut over = !self.args.follow;
        loop {
            while let Ok(what) = heard.try_recv() {
                match what {
                    Happened::Began(told) => self.add(told, None)?,
                    Happened::Ended(id) => {
                        self.logs.iter_mut().filter(|log| log.told.id == id).for_each(|log| log.told.ended = true);
                    }
                    Happened::Over => {
                        over = true;
                        self.logs.iter_mut().for_each(|log| log.told.ended = true);
                    }
                }
            }
            let more = self.read()?;
            while let Some((log, line)) = self.merge.pop(now()) {
                if !self.show(log, line).await {
                    return Ok(());
                }
            }
            if over && self.merge.is_over() {
                return Ok(());
            }
            if more {
                // Signals and the runtime want their turns.
                tokio::task::yield_now().await;
            } else if tokio::time::timeout(POLL, self.console.closed()).await.is_ok() {
                return Ok(());
            }
        }
    }

    /// Reads on where the merge wants more; whether something came.
    fn read(&mut self) -> anyhow::Result<bool> {
        let mut came = false;
        for (number, log) in self.logs.iter_mut().enumerate() {
            while self.merge.wants(number) {
                // Taken before the read, so that nothing is written after it that it does not stand for.
                let (at, last) = (now(), log.told.ended);
                let raw = log.file.read().map_err(|error| unreadable(&log.told.path, &error))?;
                let at_its_end = raw.is_empty();
                if log.file.turns() > 0 {
                    // They were those of the file that was there first.
                    log.skip = 0;
                }
                let mut lines: Vec<LogLine> = raw.iter().filter_map(|raw| log.joiner.push(raw)).collect();
                if at_its_end && last {
                    lines.extend(log.joiner.rest());
                }
                for line in lines {
                    came = true;
                    let is_old = self
                        .args
                        .since
                        .is_some_and(|since| line.nanoseconds().is_some_and(|written| written < since.nanoseconds));
                    if log.skip > 0 {
                        log.skip -= 1;
                    } else if !is_old {
                        self.merge.push(number, line, at);
                    }
                }
                if at_its_end {
                    self.merge.read_to_its_end(number, at);
                    if last {
                        self.merge.end(number);
                        came = true;
                    }
                    break;
                }
            }
        }
        Ok(came)
    }

    /// Whether somebody still reads.
    async fn show(&self, log: usize, mut line: LogLine) -> bool {
        let Some(log) = self.logs.get(log) else { return true };
        if self.args.timestamps {
            line.text.splice(..0, format!("{} ", line.time).into_bytes());
        }
        let label = if self.args.no_prefix { "" } else { &log.told.label };
        self.console.line(log.colour, label, line.stream, line.text).await
    }
}

fn now() -> i128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or_default()
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot read the log {}: {error}", path.display())
}

/// How many lines a log has by now; it is read from the first of them on.
fn count(file: &mut LogFile) -> std::io::Result<usize> {
    let (mut joiner, mut count) = (Joiner::default(), 0);
    file.survey(|raw| count += usize::from(joiner.push(raw).is_some()))?;
    Ok(count + joiner.rest().len())
}
