//! Any text in a message of ours: on one line, printable, within the bound.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::{EXCERPT_BYTES, collapsed, excerpt, one_line, shortened};

const LIMIT: usize = 64;

#[test]
fn text() {
    peapod_fuzz::target!("text")
        .seeds(["web é", "a\nb\x1b[2J\u{9b}c\u{202e}", " blocked by\r\n  policy\t ", "\u{200b}\u{feff}\u{e0001}"])
        .tokens(["\n", "\r", "\t", "\0", "\x1b[2J", "\u{2028}", "\u{202e}", "\u{200d}", "…", "é", "\\", "\""])
        .check(|input| {
            let text = String::from_utf8_lossy(input);
            let line = one_line(&text);
            assert!(!line.contains(['\n', '\r', '\x1b', '\u{2028}', '\u{202e}']), "{line:?}");
            assert_eq!(one_line(&line), line);
            let message = collapsed(&text, LIMIT);
            assert!(message.chars().count() <= LIMIT + 1 && one_line(&message) == message, "{message:?}");
            assert!(shortened(&text, LIMIT).len() <= text.len().min(LIMIT));
            let quoted = excerpt(OsStr::from_bytes(input));
            assert!(one_line(&quoted) == quoted && quoted.len() < 12 * EXCERPT_BYTES, "{quoted:?}");
        });
}
