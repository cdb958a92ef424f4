//! Identifiers of pods and containers.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};

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
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new one.
            pub(crate) fn random() -> std::io::Result<Self> {
                random().map(Self)
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
