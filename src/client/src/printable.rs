//! Text of others, made fit for a terminal: a name, a message or a reason moves no cursor and forges no line.

use std::borrow::Cow;

/// What ends a line, steers a terminal or turns the order of letters round.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same text in one line, with control characters written as in Rust's literals.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_and_no_commands_for_the_terminal() {
        assert_eq!(printable("web é"), "web é");
        assert_eq!(printable("a\nb\x1b[2J\u{9b}c\u{202e}"), "a\\nb\\u{1b}[2J\\u{9b}c\\u{202e}");
    }
}
