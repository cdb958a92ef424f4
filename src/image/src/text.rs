//! What strangers wrote, as it may stand in a message of ours. Pure.

/// The text on one line, of at most `limit` characters: whitespace is one space, what a terminal or a reader could take
/// for something else (control characters, marks of direction, zero width) is shown as its number.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut characters = text.trim().chars().peekable();
    let mut count = 0;
    while let Some(character) = characters.next() {
        if count == limit {
            line.push('…');
            break;
        }
        count += 1;
        if character.is_whitespace() {
            while characters.next_if(|next| next.is_whitespace()).is_some() {}
            line.push(' ');
        } else if character.is_control() || is_unseen(character) {
            let number = character.escape_unicode();
            if count - 1 + number.len() > limit {
                line.push('…');
                break;
            }
            count += number.len() - 1;
            line.extend(number);
        } else {
            line.push(character);
        }
    }
    line
}

fn is_unseen(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_message_stays_one_line() {
        assert_eq!(one_line(" blocked by\r\n  policy\t ", 99), "blocked by policy");
        assert_eq!(one_line("a\u{1b}[31mb\0", 99), "a\\u{1b}[31mb\\u{0}");
        assert_eq!(one_line("a\u{202e}b\u{2028}c", 99), "a\\u{202e}b c");
        assert_eq!(one_line("größer ✓", 99), "größer ✓");
        assert_eq!(one_line("äöüß", 3), "äöü…");
        assert_eq!(one_line(&"\n".repeat(1 << 20), 3), "");
        assert_eq!(one_line(&"\u{202e}".repeat(9), 20), "\\u{202e}\\u{202e}…");
    }
}
