//! What names a session in its URL, and proves that a client was given that.

use std::{fmt, io};

use rustix::rand::{GetRandomFlags, getrandom};

/// As in base64 for URLs: six bits a character.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Sixteen characters of base64 for URLs, 96 random bits: who was not told it does not guess it.
///
/// Its `Debug` text leaves it out, so that no log has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionToken([u8; Self::LENGTH]);

impl SessionToken {
    /// Characters of a token.
    pub const LENGTH: usize = 16;

    /// A new one.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; Self::LENGTH];
        let got = getrandom(&mut bytes, GetRandomFlags::empty())?;
        if got != bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self(bytes.map(|byte| ALPHABET[usize::from(byte & 63)])))
    }

    /// The token that a text is; none if it can't be one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = text.try_into().ok()?;
        bytes.iter().all(|byte| ALPHABET.contains(byte)).then_some(Self(bytes))
    }

    /// As it stands in the URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It consists of the alphabet's characters.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_are_read_again() {
        let (one, other) = (SessionToken::random().unwrap(), SessionToken::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(SessionToken::parse(one.as_str().as_bytes()), Some(one));
        assert!(!format!("{one:?}").contains(one.as_str()));
    }

    #[test]
    fn other_text_is_none() {
        for text in ["", "short", "abcdefghijklmnopq", "abcdefghijklmno/", "abcdefghijklmno\0", "abcdefghijklmn\u{e4}"]
        {
            assert_eq!(SessionToken::parse(text.as_bytes()), None, "{text}");
        }
        assert!(SessionToken::parse(b"abcdefghijklm-_0").is_some());
    }
}
