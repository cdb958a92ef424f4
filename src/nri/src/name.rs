//! How plugins are called, and in which order: two digits, and a name.

use std::fmt;

use peapod_text::excerpt;

use crate::bounds::NAME_BYTES;

/// A plugin's name with its index: `10-device-injector`. In the order in which plugins are called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginName {
    index: String,
    name: String,
}

/// Why something is no plugin's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PluginNameError {
    /// The index.
    #[error("{} is no index of a plugin: two digits", excerpt(.0))]
    Index(String),
    /// The name.
    #[error("{} is no name of a plugin: 1 to {NAME_BYTES} letters, digits, or characters of \"-_.+\"", excerpt(.0))]
    Name(String),
}

impl PluginName {
    /// Of an index and a name.
    ///
    /// # Errors
    /// One of them has characters that it can't have, or too many.
    pub fn new(index: &str, name: &str) -> Result<Self, PluginNameError> {
        if index.len() != 2 || !index.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PluginNameError::Index(index.to_owned()));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
        if !(1..=NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(PluginNameError::Name(name.to_owned()));
        }
        Ok(Self { index: index.to_owned(), name: name.to_owned() })
    }

    /// Of a file of such a name.
    ///
    /// # Errors
    /// The same.
    pub fn of_file(file: &str) -> Result<Self, PluginNameError> {
        let (index, name) = file.split_once('-').unwrap_or((file, ""));
        Self::new(index, name)
    }

    /// The two digits.
    #[must_use]
    pub fn index(&self) -> &str {
        &self.index
    }

    /// The name without the index, by which a plugin is required.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.index, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_an_index_and_plain_characters() {
        let name = PluginName::of_file("05-device-injector").unwrap();
        assert_eq!(
            (name.index(), name.name(), name.to_string().as_str()),
            ("05", "device-injector", "05-device-injector")
        );
        assert!(PluginName::of_file("04-z").unwrap() < name && name < PluginName::of_file("10-a").unwrap());
        for wrong in ["", "5-a", "05", "05-", "ab-c", "-5-a", "055-a", "05-a b", "05-ä", "05-a\n"] {
            PluginName::of_file(wrong).unwrap_err();
        }
        PluginName::new("00", &"n".repeat(NAME_BYTES + 1)).unwrap_err();
    }
}
