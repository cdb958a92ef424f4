//! Content digests: `sha256:` and 64 hexadecimal digits.

use sha2::{Digest as _, Sha256};
use std::fmt;

const PREFIX: &str = "sha256:";

/// A checked sha256 digest. (Registries could use sha512; none does, and an unknown algorithm is refused by name.)
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

impl Digest {
    /// Reads `sha256:<64 lower-case hexadecimal digits>`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix(PREFIX).and_then(Self::from_hex)
    }

    /// Reads the digits alone.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        let valid = digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self(format!("{PREFIX}{digits}").into()))
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// `sha256:…`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 digits: a file name.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.get(PREFIX.len()..).unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes a [`Digest`] of what passes by.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(format!("{PREFIX}{}", hex::encode(self.0.finalize())).into())
    }
}

/// The chain id of a layer on top of `parent`: what identifies the merged tree up to and with it.
pub(crate) fn chain_id(parent: Option<&Digest>, diff_id: &Digest) -> Digest {
    match parent {
        None => diff_id.clone(),
        Some(parent) => Digest::of(format!("{parent} {diff_id}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, chain_id};

    #[test]
    fn only_whole_sha256_digests_are_read() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::parse(empty).unwrap().hex(), empty.strip_prefix("sha256:").unwrap());
        for bad in ["", "sha256:", "sha256:abc", "sha512:00", &empty.to_uppercase(), &format!("{empty}0")] {
            assert!(Digest::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_chain_is_named_by_all_its_layers() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let one = chain_id(None, &a);
        assert_eq!(one, a);
        assert_eq!(chain_id(Some(&one), &b), Digest::of(format!("{a} {b}").as_bytes()));
    }
}
