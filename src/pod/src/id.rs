//! Identifiers of pods and containers.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of an id in hexadecimal digits. cAdvisor finds a container's cgroup by exactly this many.
const LENGTH: usize = 64;

/// 64 random hexadecimal digits. Never used twice.
fn random() -> std::io::Result<String> {
    let mut bytes = [0u8; LENGTH / 2];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    let mut text = String::with_capacity(LENGTH);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    Ok(text)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Clones share the text: each change of a pod copies the maps of all ids.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|text| Self(text.into()))
            }
        }

        impl $name {
            /// A new one.
            pub(crate) fn random() -> std::io::Result<Self> {
                random().map(|text| Self(text.into()))
            }

            /// One from outside; none if the text is no id.
            pub(crate) fn parse(text: &str) -> Option<Self> {
                let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                (text.len() == LENGTH && text.bytes().all(digit)).then(|| Self(text.into()))
            }

            /// The 64 digits.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Enough of it for a person, and for names that must be short.
            #[must_use]
            pub fn short(&self) -> &str {
                self.0.get(..12).unwrap_or(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id! {
    /// Id of a pod sandbox.
    PodId
}
id! {
    /// Id of a container.
    ContainerId
}
