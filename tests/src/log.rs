//! Reading CRI log files.

use std::path::Path;

/// One line of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// RFC 3339 with nine digits of the second.
    pub time: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Whether the line goes on in the next entry (`P`).
    pub partial: bool,
    /// What was written.
    pub text: String,
}

/// All lines of a log that are there by now. A last line that is not complete yet is left out.
///
/// # Panics
/// When a line is not a CRI log line.
pub(crate) fn read(path: &Path) -> Vec<Line> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("log {}: {e}", path.display()));
    let text = String::from_utf8_lossy(&bytes);
    let end = text.rfind('\n').map_or(0, |at| at + 1);
    text[..end].split_terminator('\n').map(parse).collect()
}

fn parse(line: &str) -> Line {
    let mut parts = line.splitn(4, ' ');
    let mut next = || parts.next().unwrap_or_else(|| panic!("no CRI log line: {line:?}")).to_owned();
    let (time, stream, tag, text) = (next(), next(), next(), next());
    assert!(is_time(&time), "no RFC 3339 time with nanoseconds: {time:?}");
    assert!(stream == "stdout" || stream == "stderr", "no stream: {line:?}");
    assert!(tag == "P" || tag == "F", "no tag: {line:?}");
    Line { time, stream, partial: tag == "P", text }
}

/// `2026-11-21T04:00:00.123456789Z`, or an offset instead of the Z.
fn is_time(text: &str) -> bool {
    let Some((date, rest)) = text.split_once('T') else { return false };
    let Some((clock, fraction)) = rest.split_once('.') else { return false };
    date.len() == 10
        && clock.len() == 8
        && fraction.len() > 9
        && fraction[..9].bytes().all(|b| b.is_ascii_digit())
        && (fraction[9..] == *"Z" || fraction[9..].len() == 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lines() {
        let line = parse("2026-11-21T04:00:00.123456789Z stderr P two words ");
        assert_eq!((line.stream.as_str(), line.partial, line.text.as_str()), ("stderr", true, "two words "));
        assert_eq!(parse("2026-11-21T04:00:00.123456789+01:00 stdout F ").text, "");
    }

    #[test]
    fn knows_times() {
        assert!(!is_time("2026-11-21T04:00:00.12345678Z"));
        assert!(!is_time("2026-11-21 04:00:00.123456789Z"));
    }
}
