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
    const FORM: &[u8] = b"0000-00-00T00:00:00.000000000";
    // A digit stands for any.
    let fits = |text: &[u8], form: &[u8]| {
        let is_one = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
        text.len() == form.len() && text.iter().zip(form).all(is_one)
    };
    let Some((time, zone)) = text.as_bytes().split_at_checked(FORM.len()) else { return false };
    fits(time, FORM) && (zone == b"Z" || fits(zone, b"+00:00") || fits(zone, b"-00:00"))
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
        for good in [
            "2026-11-21T04:00:00.123456789Z",
            "2026-11-21T04:00:00.123456789+01:00",
            "2026-11-21T04:00:00.123456789-11:30",
        ] {
            assert!(is_time(good), "{good}");
        }
        for bad in [
            "2026-11-21T04:00:00.12345678Z",
            "2026-11-21T04:00:00.1234567890Z",
            "2026-11-21T04:00:00.123456789",
            "2026-11-21T04:00:00.123456789+0100",
            "2026-11-21T04:00:00.123456789 01:00",
            "2026-11-21T04:00:00Z",
            "2026-11-21 04:00:00.123456789Z",
            "26-11-21T04:00:00.123456789Z",
            "2026-xx-21T04:00:00.123456789Z",
            "2026-11-21T04-00-00.123456789Z",
            "2026-11-21T04:00:00.1234ä6789Z",
            "",
        ] {
            assert!(!is_time(bad), "{bad}");
        }
    }
}
