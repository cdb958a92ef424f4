//! Lines of several logs in the order of their times. Pure: what time it is, is an argument.
//!
//! A line goes when no older one can come any more: each other log has shown a later line, has ended, or was read to
//! its end so long after the line was written that an older one would have been there. Where clocks make nonsense of
//! that, a line waits [`MERGE_WINDOW`] and goes.

use std::collections::VecDeque;

use super::LogLine;
use crate::bounds::{MERGE_AHEAD, MERGE_WINDOW};

/// The logs, by their numbers from 0 on.
#[derive(Default)]
pub(crate) struct LogMerge {
    logs: Vec<MergedLog>,
}

#[derive(Default)]
struct MergedLog {
    waiting: VecDeque<WaitingLine>,
    /// Of all lines that wait.
    bytes: usize,
    /// Of the last line that came: within a log the order is that of the file.
    last: i128,
    /// When it was last read to its end.
    read_at: Option<i128>,
    ended: bool,
}

struct WaitingLine {
    written: i128,
    came: i128,
    line: LogLine,
}

impl LogMerge {
    /// One more log; answers its number.
    pub(crate) fn add(&mut self) -> usize {
        self.logs.push(MergedLog::default());
        self.logs.len() - 1
    }

    /// Whether more of a log may be read: what waits is bounded.
    pub(crate) fn wants(&self, log: usize) -> bool {
        self.logs.get(log).is_some_and(|log| !log.ended && log.bytes < MERGE_AHEAD)
    }

    /// A line of a log, at a time in nanoseconds since 1970.
    pub(crate) fn push(&mut self, log: usize, line: LogLine, now: i128) {
        let Some(log) = self.logs.get_mut(log) else { return };
        let written = line.nanoseconds().unwrap_or(log.last).max(log.last);
        log.last = written;
        log.bytes += cost(&line);
        log.waiting.push_back(WaitingLine { written, came: now, line });
    }

    /// A log was read to its end: all that was written until now has come.
    pub(crate) fn read_to_its_end(&mut self, log: usize, now: i128) {
        if let Some(log) = self.logs.get_mut(log) {
            log.read_at = Some(now);
        }
    }

    /// Nothing more comes of a log.
    pub(crate) fn end(&mut self, log: usize) {
        if let Some(log) = self.logs.get_mut(log) {
            log.ended = true;
        }
    }

    /// The next line, with its log's number, if it may go by now.
    pub(crate) fn pop(&mut self, now: i128) -> Option<(usize, LogLine)> {
        let heads = self.logs.iter().enumerate().filter_map(|(log, of)| Some((of.waiting.front()?, log)));
        let (head, log) = heads.min_by_key(|(head, log)| (head.written, *log))?;
        let (written, waited) = (head.written, now - head.came >= window());
        let may_go = |other: &MergedLog| {
            let is_late = |read_at: i128| read_at - window() >= written;
            !other.waiting.is_empty() || other.ended || other.read_at.is_some_and(is_late)
        };
        if !waited && !self.logs.iter().all(may_go) {
            return None;
        }
        let of = self.logs.get_mut(log)?;
        let line = of.waiting.pop_front()?.line;
        of.bytes = of.bytes.saturating_sub(cost(&line));
        Some((log, line))
    }

    /// Whether all logs have ended and every line went.
    pub(crate) fn is_over(&self) -> bool {
        self.logs.iter().all(|log| log.ended && log.waiting.is_empty())
    }
}

fn window() -> i128 {
    i128::try_from(MERGE_WINDOW.as_nanos()).unwrap_or_default()
}

/// Bytes of memory, about.
fn cost(line: &LogLine) -> usize {
    size_of::<WaitingLine>() + line.time.len() + line.text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::OutputStream;

    const SECOND: i128 = 1_000_000_000;

    fn line(second: u32, text: &str) -> LogLine {
        let time = format!("2026-01-01T00:00:{second:02}Z");
        LogLine { time, stream: OutputStream::Out, text: text.as_bytes().to_vec() }
    }

    fn at(second: u32) -> i128 {
        line(second, "").nanoseconds().unwrap()
    }

    fn all(merge: &mut LogMerge, now: i128) -> String {
        std::iter::from_fn(|| merge.pop(now)).map(|(_, line)| String::from_utf8(line.text).unwrap()).collect()
    }

    #[test]
    fn ended_logs_are_merged_by_time() {
        let mut merge = LogMerge::default();
        let logs: [usize; 3] = std::array::from_fn(|_| merge.add());
        for (log, second, text) in [(0, 1, "a"), (0, 4, "d"), (1, 2, "b"), (1, 5, "e"), (2, 3, "c")] {
            merge.push(logs[log], line(second, text), at(9));
        }
        assert_eq!(all(&mut merge, at(9)), "abc", "the third log may have more");
        logs.iter().for_each(|log| merge.end(*log));
        assert_eq!(all(&mut merge, at(9)), "de");
        assert!(merge.is_over());
    }

    #[test]
    fn a_line_waits_for_older_ones_a_moment_and_no_longer() {
        let mut merge = LogMerge::default();
        let (one, other) = (merge.add(), merge.add());
        merge.read_to_its_end(other, at(5) - SECOND);
        merge.push(one, line(5, "new"), at(5));
        assert_eq!(all(&mut merge, at(5)), "", "the other log may have an older one");
        merge.push(other, line(4, "old "), at(5));
        assert_eq!(all(&mut merge, at(5)), "old ");
        merge.read_to_its_end(other, at(6));
        assert_eq!(all(&mut merge, at(6)), "new");
        // Whatever the clocks say.
        merge.push(one, line(59, "future"), at(6));
        assert_eq!(all(&mut merge, at(6)), "");
        assert_eq!(all(&mut merge, at(7)), "future");
    }

    #[test]
    fn a_log_keeps_its_own_order_and_waits_in_bounds() {
        let mut merge = LogMerge::default();
        let log = merge.add();
        merge.push(log, line(5, "a"), 0);
        merge.push(log, line(1, "b"), 0);
        merge.push(log, LogLine { time: "nonsense".to_owned(), ..line(0, "c") }, 0);
        assert!(merge.wants(log));
        merge.push(log, LogLine { text: vec![b'd'; MERGE_AHEAD], ..line(9, "") }, 0);
        assert!(!merge.wants(log));
        assert!(all(&mut merge, 0).starts_with("abcd") && merge.wants(log));
    }
}
