//! A terminal's size, as clients send it: JSON objects one after the other, in pieces of any length.

use serde::Deserialize;

use crate::bounds::RESIZE_BYTES;

/// Of a terminal.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    #[serde(rename = "Width")]
    pub width: u16,
    /// Rows.
    #[serde(rename = "Height")]
    pub height: u16,
}

/// Reads sizes out of a stream.
#[derive(Debug, Default)]
pub struct Sizes {
    rest: Vec<u8>,
}

/// What is no size: it is passed over with all that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a terminal's size that can't be read")]
pub struct SizeError;

impl Sizes {
    /// The last size that `bytes` complete, if they complete one: those before it are of the past.
    ///
    /// # Errors
    ///
    /// What came is no size, or passes [`RESIZE_BYTES`] without an end. Sizes that come later are read.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<TerminalSize>, SizeError> {
        if self.rest.len() + bytes.len() > RESIZE_BYTES {
            self.rest.clear();
            return Err(SizeError);
        }
        self.rest.extend_from_slice(bytes);
        let mut sizes = serde_json::Deserializer::from_slice(&self.rest).into_iter::<TerminalSize>();
        let mut last = None;
        let used = loop {
            match sizes.next() {
                Some(Ok(size)) => last = Some(size),
                Some(Err(error)) if error.is_eof() => break sizes.byte_offset(),
                Some(Err(_)) => {
                    self.rest.clear();
                    return Err(SizeError);
                }
                None => break self.rest.len(),
            }
        };
        self.rest.drain(..used);
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::{RESIZE_BYTES, SizeError, Sizes, TerminalSize};

    fn size(width: u16, height: u16) -> Result<Option<TerminalSize>, SizeError> {
        Ok(Some(TerminalSize { width, height }))
    }

    #[test]
    fn whole_many_and_cut() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.push(br#"{"Width":80,"Height":24}"#), size(80, 24));
        assert_eq!(sizes.push(b"{\"Width\":1,\"Height\":1}\n{\"Width\":2,\"Height\":3}\n{\"Wi"), size(2, 3));
        assert_eq!(sizes.push(b"dth\":132,"), Ok(None));
        assert_eq!(sizes.push(b"\"Height\":43}"), size(132, 43));
        assert_eq!(sizes.push(b""), Ok(None));
    }

    #[test]
    fn nonsense_is_passed_over() {
        let mut sizes = Sizes::default();
        for wrong in [&b"{\"Width\":70000,\"Height\":1}"[..], b"}", b"{\"Width\":-1,\"Height\":1}", b"[1]"] {
            assert_eq!(sizes.push(wrong), Err(SizeError));
        }
        assert_eq!(sizes.push(&vec![b' '; RESIZE_BYTES + 1]), Err(SizeError));
        assert_eq!(sizes.push(br#"{"Width":80,"Height":24}"#), size(80, 24));
    }
}
