//! Text on one line.

use std::borrow::Cow;
use std::fmt::Write as _;

/// What ends a line, steers a terminal, turns the order of letters round, or can't be seen and so makes two names look
/// equal.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The same text on one line: hidden characters are written as in Rust's literals (`\n`, `\u{202e}`).
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return text.into();
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.into()
}

/// A message on one line, of at most `limit` characters and a mark: whitespace, also of several lines, is one space,
/// other hidden characters are written as in [`one_line`]. Of a long message the beginning; what is behind it is not
/// looked at.
#[must_use]
pub fn collapsed(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut characters = text.trim().chars().peekable();
    let mut count = 0;
    while let Some(c) = characters.next() {
        let (mut plain, mut escaped) = (None, None);
        if c.is_whitespace() {
            while characters.next_if(|next| next.is_whitespace()).is_some() {}
            plain = Some(' ');
        } else if is_hidden(c) {
            escaped = Some(c.escape_default());
        } else {
            plain = Some(c);
        }
        count += escaped.as_ref().map_or(1, ExactSizeIterator::len);
        if count > limit {
            line.push('…');
            break;
        }
        line.extend(plain);
        line.extend(escaped.into_iter().flatten());
    }
    line
}

/// A text of at most `limit` bytes, whose middle is left out if need be, with a mark that says how much: the cause of
/// an error stands at its end, its subject at its beginning.
#[must_use]
pub fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    /// The longest mark.
    const MARK: usize = " [… 18446744073709551615 bytes …] ".len();
    if text.len() <= limit {
        return text.into();
    }
    let kept = limit.saturating_sub(MARK);
    let head = text.floor_char_boundary(kept / 2);
    let tail = text.ceil_char_boundary(text.len() - kept / 2);
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
    fn hidden_characters_are_written_out() {
        assert_eq!(one_line("plain ünïcode \\n"), "plain ünïcode \\n");
        assert_eq!(one_line("a\nb\r\tc\0"), "a\\nb\\r\\tc\\u{0}");
        assert_eq!(one_line("\x1b[2Jx\u{9b}y\u{7f}"), "\\u{1b}[2Jx\\u{9b}y\\u{7f}");
        assert_eq!(one_line("a\u{2028}b\u{202e}c\u{2066}d\u{200b}"), "a\\u{2028}b\\u{202e}c\\u{2066}d\\u{200b}");
    }

    #[test]
    fn a_message_of_several_lines_becomes_one() {
        assert_eq!(collapsed(" blocked by\r\n  policy\t ", 99), "blocked by policy");
        assert_eq!(collapsed("a\u{1b}[31mb\0", 99), "a\\u{1b}[31mb\\u{0}");
        assert_eq!(collapsed("a\u{202e}b\u{2028}c", 99), "a\\u{202e}b c");
        assert_eq!(collapsed("größer ✓", 99), "größer ✓");
        assert_eq!(collapsed("äöü", 3), "äöü");
        assert_eq!(collapsed("äöüß", 3), "äöü…");
        assert_eq!(collapsed(&"\n".repeat(1 << 20), 3), "");
        assert_eq!(collapsed(&"\u{202e}".repeat(9), 20), "\\u{202e}\\u{202e}…");
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
