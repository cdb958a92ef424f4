//! One line of a log: `<time> stdout|stderr P|F <text>`.

use std::collections::VecDeque;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::console::OutputStream;

/// Text of a line that came in parts; more than this is shown in parts as well.
const LONGEST: usize = 256 << 10;

/// What a container wrote up to a newline, or to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// As it stands in the log.
    pub(crate) time: String,
    pub(crate) stream: OutputStream,
    pub(crate) text: Vec<u8>,
}

impl LogLine {
    /// When it was written, in nanoseconds since 1970; nothing if that can't be read.
    pub(crate) fn nanoseconds(&self) -> Option<i128> {
        Some(OffsetDateTime::parse(&self.time, &Rfc3339).ok()?.unix_timestamp_nanos())
    }
}

/// Puts lines together that were written in parts.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    out: Option<LogLine>,
    err: Option<LogLine>,
}

impl Joiner {
    /// Takes a line of the file, without its newline; gives back what is whole by now.
    pub(crate) fn push(&mut self, raw: &[u8]) -> Option<LogLine> {
        let (line, ends) = parse(raw)?;
        let slot = match line.stream {
            OutputStream::Out => &mut self.out,
            OutputStream::Err => &mut self.err,
        };
        let whole = match slot.take() {
            Some(mut begun) => {
                begun.text.extend_from_slice(&line.text);
                begun
            }
            None => line,
        };
        if ends || whole.text.len() >= LONGEST {
            Some(whole)
        } else {
            *slot = Some(whole);
            None
        }
    }

    /// What was begun and never ended, at the end of a log.
    pub(crate) fn rest(&mut self) -> VecDeque<LogLine> {
        self.out.take().into_iter().chain(self.err.take()).collect()
    }
}

/// The line, and whether it ends here. Nothing if this is no log line.
fn parse(raw: &[u8]) -> Option<(LogLine, bool)> {
    let mut fields = raw.splitn(4, |byte| *byte == b' ');
    let time = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let stream = match fields.next()? {
        b"stdout" => OutputStream::Out,
        b"stderr" => OutputStream::Err,
        _ => return None,
    };
    // Further tags may follow after a colon.
    let ends = match fields.next()?.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some((LogLine { time, stream, text: fields.next().unwrap_or_default().to_vec() }, ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        let mut joiner = Joiner::default();
        let mut whole: Vec<LogLine> = lines.iter().filter_map(|line| joiner.push(line.as_bytes())).collect();
        whole.extend(joiner.rest());
        whole.iter().map(|line| format!("{:?} {}", line.stream, String::from_utf8_lossy(&line.text))).collect()
    }

    #[test]
    fn parts_are_joined_stream_by_stream() {
        assert_eq!(
            texts(&["T stdout P a", "T stderr F x", "T stdout P b", "T stdout F c", "T stdout F ", "T stdout P end"]),
            ["Err x", "Out abc", "Out ", "Out end"]
        );
    }

    #[test]
    fn blanks_stay_and_what_is_no_log_line_is_left_out() {
        assert_eq!(texts(&["T stdout F  a  b ", "T stdout F", "T stdout F:tag z"]), ["Out  a  b ", "Out ", "Out z"]);
        assert_eq!(texts(&["", "x", "T stdin F a", "T stdout X a"]), Vec::<String>::new());
    }
}
