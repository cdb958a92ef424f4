//! What scopes are called before the container's id.

use std::fmt;
use std::str::FromStr;

use crate::bounds::SCOPE_PREFIX_BYTES;

/// `cri-containerd` in `cri-containerd-<id>.scope`. The kubelet takes what follows the last `-` for the id; others that
/// look for containers on a node know certain prefixes alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct ScopePrefix(String);

impl ScopePrefix {
    /// Those that are there without being configured: the default, and what came before there was a choice.
    pub const BUILT_IN: [&str; 2] = ["cri-containerd", "peapod"];

    /// Of pods that were made before there was a choice.
    #[must_use]
    pub fn first() -> Self {
        Self(Self::BUILT_IN[1].to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ScopePrefix {
    fn default() -> Self {
        Self(Self::BUILT_IN[0].to_owned())
    }
}

impl fmt::Display for ScopePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no prefix of scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no prefix of scopes: 1 to {SCOPE_PREFIX_BYTES} of a-z, 0-9 and `-`, which is neither first nor last nor twice"
)]
pub struct NoScopePrefix;

impl TryFrom<String> for ScopePrefix {
    type Error = NoScopePrefix;

    fn try_from(text: String) -> Result<Self, NoScopePrefix> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good =
            text.len() <= SCOPE_PREFIX_BYTES && text.split('-').all(|part| !part.is_empty() && part.bytes().all(plain));
        if good { Ok(Self(text)) } else { Err(NoScopePrefix) }
    }
}

impl FromStr for ScopePrefix {
    type Err = NoScopePrefix;

    fn from_str(text: &str) -> Result<Self, NoScopePrefix> {
        Self::try_from(text.to_owned())
    }
}

impl From<ScopePrefix> for String {
    fn from(prefix: ScopePrefix) -> Self {
        prefix.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_part_of_a_units_name() {
        for text in ["peapod", "cri-containerd", "a", "1-2-3", &"x".repeat(SCOPE_PREFIX_BYTES)] {
            assert_eq!(text.parse::<ScopePrefix>().unwrap().as_str(), text);
        }
        for text in
            ["", "-", "a-", "-a", "a--b", "A", "a.b", "a/b", "a:b", "\u{e4}", &"x".repeat(SCOPE_PREFIX_BYTES + 1)]
        {
            assert_eq!(text.parse::<ScopePrefix>(), Err(NoScopePrefix), "{text}");
        }
    }
}
