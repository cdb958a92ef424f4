//! Text of somebody else, made fit to be shown: one line, printable, and not longer than a bound.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What moves a terminal's cursor, ends a line or turns the order of letters round.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same text in one line: control characters are written as in Rust's literals.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_control) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_control(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.into()
}

/// A text of at most `limit` bytes, whose middle is left out if need be, with a mark that says how much.
pub(crate) fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    /// The longest mark.
    const MARK: usize = " [… 18446744073709551615 bytes …] ".len();
    if text.len() <= limit {
        return text.into();
    }
    // The cause of an error stands at its end, its subject at its beginning.
    let room = limit.saturating_sub(MARK);
    let head = text.floor_char_boundary(room / 2);
    let tail = text.ceil_char_boundary(text.len() - room / 2);
    let mut short = String::with_capacity(limit);
    short.push_str(&text[..head]);
    // Writing to a string can't fail.
    let _ = write!(short, " [… {} bytes …] ", tail - head);
    short.push_str(&text[tail..]);
    short.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_and_nothing_else() {
        assert_eq!(one_line("plain ünïcode \\n"), "plain ünïcode \\n");
        assert_eq!(one_line("a\nb\r\tc\0"), "a\\nb\\r\\tc\\u{0}");
        assert_eq!(one_line("\x1b[2Jx\u{9b}y\u{7f}"), "\\u{1b}[2Jx\\u{9b}y\\u{7f}");
        assert_eq!(one_line("a\u{2028}b\u{202e}c\u{2066}d"), "a\\u{2028}b\\u{202e}c\\u{2066}d");
    }

    #[test]
    fn the_middle_is_left_out() {
        assert_eq!(shortened("short", 5), "short");
        let short = shortened(&format!("begin {} end", "é".repeat(5000)), 200).into_owned();
        assert!(short.len() <= 200, "{}", short.len());
        assert!(short.starts_with("begin é") && short.ends_with("é end"), "{short}");
        assert!(short.contains("[… 98") && short.contains(" bytes …]"), "{short}");
        assert!(shortened(&"x".repeat(100), 10).len() < 100);
    }
}
