//! What a container writes as a terminal may get it: colours, but nothing that moves the cursor, forges other lines,
//! or asks the terminal for something.

use std::borrow::Cow;

/// A line without control characters but tabs and colours, which end with it.
pub(super) fn harmless(text: &[u8]) -> Cow<'_, [u8]> {
    // Programs that think of a terminal end their lines so.
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if std::str::from_utf8(text).is_ok_and(|text| !text.contains(is_steering)) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut has_colours) = (String::with_capacity(text.len()), false);
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(next) = rest.chars().next() {
            let colour = colour(rest);
            has_colours |= colour > 0;
            let (part, behind) = rest.split_at(if colour > 0 { colour } else { next.len_utf8() });
            if colour == 0 && is_steering(next) {
                shown.extend(next.escape_default());
            } else {
                shown.push_str(part);
            }
            rest = behind;
        }
        // Some terminals take single bytes for control characters.
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    if has_colours {
        shown.push_str("\x1b[0m");
    }
    Cow::Owned(shown.into_bytes())
}

fn is_steering(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// The length of a sequence at the beginning that says how letters look from there on.
fn colour(text: &str) -> usize {
    let Some(numbers) = text.strip_prefix("\x1b[") else { return 0 };
    let length = numbers.bytes().take_while(|byte| byte.is_ascii_digit() || b";:".contains(byte)).count();
    if numbers.as_bytes().get(length) == Some(&b'm') { "\x1b[".len() + length + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        for (written, shown) in [
            ("plain\tätext \u{1f600}", "plain\tätext \u{1f600}"),
            ("end\r", "end"),
            ("50 %\r100 %\r", "50 %\\r100 %"),
            ("\x1b[1;31mred\x1b[m", "\x1b[1;31mred\x1b[m\x1b[0m"),
            ("\x1b[38:2::1:2:3mx", "\x1b[38:2::1:2:3mx\x1b[0m"),
            ("\x1b[8mhidden", "\x1b[8mhidden\x1b[0m"),
            ("\x1b[2A\x1b[Kother | forged", "\\u{1b}[2A\\u{1b}[Kother | forged"),
            ("\x1b]52;c;cm0gLXJm\x07", "\\u{1b}]52;c;cm0gLXJm\\u{7}"),
            ("\x1b[31", "\\u{1b}[31"),
            ("\x1b[?25lm", "\\u{1b}[?25lm"),
            ("\u{9b}2A\u{7f}\u{8}", "\\u{9b}2A\\u{7f}\\u{8}"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&harmless(written.as_bytes())), shown, "{written:?}");
        }
        assert_eq!(&*harmless(b"\x9b2A \xffx"), b"\\x9b2A \\xffx");
    }
}
