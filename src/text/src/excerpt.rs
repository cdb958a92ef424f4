//! Foreign text in errors and notes: short, on one line, without control characters.

use std::ffi::OsStr;
use std::fmt::{self, Write};

use crate::bounds::{EXCERPT_BYTES, SAMPLE_NAMES};

/// The text in quotes, as Rust writes it, so that it can forge no line and no terminal sequence. Of a long one the
/// beginning and its length in bytes.
pub fn excerpt(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref();
    let mut shown = String::from("\"");
    // A character is at most four bytes, and what is beyond the bound is not even looked at.
    let head = &text.as_encoded_bytes()[..text.len().min(EXCERPT_BYTES + 4)];
    let head = match std::str::from_utf8(head) {
        Ok(head) => head.into(),
        // Cut within a character.
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(&head[..error.valid_up_to()]),
        Err(_) => String::from_utf8_lossy(head),
    };
    let mut taken = 0;
    for c in head.chars() {
        if taken + c.len_utf8() > EXCERPT_BYTES {
            break;
        }
        taken += c.len_utf8();
        shown.extend(c.escape_debug());
    }
    shown.push('"');
    if text.len() > EXCERPT_BYTES {
        // Writing to a string can't fail.
        let _ = write!(shown, "… ({} bytes)", text.len());
    }
    shown
}

/// Some of several names, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    shown: Vec<String>,
    total: usize,
}

impl Sample {
    /// Keeps the first few.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sample = Self { shown: Vec::new(), total: 0 };
        for name in names {
            sample.total += 1;
            if sample.shown.len() < SAMPLE_NAMES {
                sample.shown.push(excerpt(name));
            }
        }
        sample
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.join(", "))?;
        match self.total - self.shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn short_text_is_quoted_and_long_text_cut() {
        assert_eq!(excerpt("a \"b\"\n\u{1b}[2J"), r#""a \"b\"\n\u{1b}[2J""#);
        assert_eq!(excerpt("x".repeat(EXCERPT_BYTES)), format!("\"{}\"", "x".repeat(EXCERPT_BYTES)));
        let long = excerpt("é".repeat(1 << 20));
        assert_eq!(long, format!("\"{}\"… (2097152 bytes)", "é".repeat(EXCERPT_BYTES / 2)));
        assert_eq!(excerpt(OsStr::from_bytes(b"/a\xff/b")), "\"/a\u{fffd}/b\"");
        assert!(excerpt("\0".repeat(5000)).len() < 8 * EXCERPT_BYTES);
    }

    #[test]
    fn samples_count_what_they_leave_out() {
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let sample = Sample::of(names.iter().map(String::as_str)).to_string();
        assert_eq!(sample, r#""0", "1", "2", "3", "4", "5", "6", "7" and 92 more"#);
        assert_eq!(Sample::of(["a"]).to_string(), "\"a\"");
    }
}
