//! What installed plugins write to their outputs, for the daemon's log. Pure.

use std::time::{Duration, Instant};

use peapod_text::{one_line, shortened};

use crate::bounds::{OUTPUT_LINE, OUTPUT_LINES};

/// In which so many lines are logged; further ones are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Cuts output into lines, and says which of these are logged.
#[derive(Debug)]
pub(crate) struct OutputLines {
    /// The line that has begun, as far as it is kept.
    line: Vec<u8>,
    since: Instant,
    logged: usize,
    left_out: usize,
}

impl OutputLines {
    pub(crate) fn new(now: Instant) -> Self {
        Self { line: Vec::new(), since: now, logged: 0, left_out: 0 }
    }

    /// Takes what was written, and gives lines for the log.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            // One more byte, for what is left out to be seen.
            let room = (OUTPUT_LINE + 1).saturating_sub(self.line.len()).min(part.len());
            self.line.extend_from_slice(&part[..room]);
            if part.ends_with(b"\n") {
                lines.extend(self.end_line(now));
            }
        }
        lines
    }

    /// The end: what was begun, and what was left out.
    pub(crate) fn end(mut self, now: Instant) -> Vec<String> {
        let last = (!self.line.is_empty()).then(|| self.end_line(now)).into_iter().flatten();
        let mut lines: Vec<_> = last.collect();
        lines.extend(self.gap());
        lines
    }

    fn end_line(&mut self, now: Instant) -> Vec<String> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let mut lines = Vec::new();
        if now.duration_since(self.since) >= WINDOW {
            lines.extend(self.gap());
            (self.since, self.logged) = (now, 0);
        }
        if self.logged < OUTPUT_LINES {
            self.logged += 1;
            lines.push(shortened(&one_line(line.trim_end()), OUTPUT_LINE).into_owned());
        } else {
            self.left_out += 1;
        }
        lines
    }

    fn gap(&mut self) -> Option<String> {
        let count = std::mem::take(&mut self.left_out);
        (count > 0).then(|| format!("({count} more lines are left out)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_without_what_would_break_a_log() {
        let now = Instant::now();
        let mut output = OutputLines::new(now);
        assert!(output.take(b"he", now).is_empty());
        assert_eq!(output.take(b"llo\nworld\n\x1b[31m", now), ["hello", "world"]);
        let last = output.end(now);
        assert!(last.len() == 1 && !last[0].contains('\x1b'), "{last:?}");
    }

    #[test]
    fn neither_long_lines_nor_many_fill_the_log_or_memory() {
        let now = Instant::now();
        let mut output = OutputLines::new(now);
        for _ in 0..100 {
            assert!(output.take(&[b'x'; 100_000], now).is_empty());
        }
        assert!(output.line.len() <= OUTPUT_LINE + 1);
        let long = output.take(b"\n", now);
        assert!(long.len() == 1 && long[0].len() <= OUTPUT_LINE, "{}", long[0].len());
        let many = output.take(&b"y\n".repeat(10 * OUTPUT_LINES), now);
        assert_eq!(many.len(), OUTPUT_LINES - 1);
        let later = output.take(b"z\n", now + WINDOW);
        assert_eq!(later, [format!("({} more lines are left out)", 9 * OUTPUT_LINES + 1), "z".to_owned()]);
        assert!(output.end(now + WINDOW).is_empty());
    }
}
