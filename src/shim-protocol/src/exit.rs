//! A container's end, as the shim writes it down before it tells anyone.
//!
//! The file is the truth until the daemon has recorded it, also when the shim is gone by then. It is text, one `key
//! value` a line, so that a person can read it too.

use std::fmt::Write;

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// 0 to 255; 128 + n for signal n.
    pub code: u32,
    /// The signal that ended it, if one did.
    pub signal: Option<u32>,
    /// The kernel killed in it for lack of memory.
    pub oom: bool,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
    /// Nanoseconds since the epoch.
    pub finished_at: i64,
}

/// Why a text is no exit record.
#[derive(Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The key that is missing or unreadable.
    pub key: &'static str,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit record has no readable {:?}", self.key)
    }
}

impl std::error::Error for ParseError {}

impl Exit {
    /// File name in the container's bundle.
    pub const FILE: &'static str = "exit";

    /// The record as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let signal = self.signal.unwrap_or(0);
        // Writing to a string can't fail.
        let _ = write!(
            text,
            "code {}\nsignal {signal}\noom {}\nstarted_at {}\nfinished_at {}\n",
            self.code,
            u8::from(self.oom),
            self.started_at,
            self.finished_at
        );
        text
    }

    /// Reads what [`Exit::to_text`] wrote. Unknown keys of later versions are ignored.
    ///
    /// # Errors
    /// When a key is missing or has no number: a torn file is never taken for an end.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        fn number<T: std::str::FromStr>(text: &str, key: &'static str) -> Result<T, ParseError> {
            text.lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(name, _)| *name == key)
                .and_then(|(_, value)| value.parse().ok())
                .ok_or(ParseError { key })
        }
        // The last line may be cut in the middle of its number.
        if !text.ends_with('\n') {
            return Err(ParseError { key: "finished_at" });
        }
        let signal: u32 = number(text, "signal")?;
        Ok(Self {
            code: number(text, "code")?,
            signal: (signal != 0).then_some(signal),
            oom: number::<u8>(text, "oom")? != 0,
            started_at: number(text, "started_at")?,
            finished_at: number(text, "finished_at")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_file() {
        let exit = Exit { code: 137, signal: Some(9), oom: true, started_at: 5, finished_at: 17 };
        assert_eq!(Exit::parse(&exit.to_text()), Ok(exit));
    }

    #[test]
    fn torn_file_is_no_exit() {
        let text = Exit { code: 0, signal: None, oom: false, started_at: 1, finished_at: 234 }.to_text();
        for end in 0..text.len() {
            let cut = &text[..end];
            assert!(Exit::parse(cut).is_err(), "{cut:?}");
        }
    }
}
