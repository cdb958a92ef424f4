//! Names of devices, `vendor.com/class=name`, and the annotations that list them.

use std::fmt;

use peapod_text::excerpt;
use thiserror::Error;

use crate::bounds::NAME_BYTES;

/// What the key of an annotation begins with whose value names devices.
const ANNOTATION_PREFIX: &str = "cdi.k8s.io/";

/// A fully qualified name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CdiName {
    kind: String,
    device: String,
}

/// Text that is no name of a device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} is no name of a CDI device, `vendor.com/class=name`: {why}", excerpt(text))]
pub struct NoName {
    text: String,
    why: String,
}

impl CdiName {
    /// Reads `vendor/class=name`.
    ///
    /// # Errors
    /// A part is missing, or has characters that it can't have.
    pub fn parse(text: &str) -> Result<Self, NoName> {
        let fail = |why: String| NoName { text: text.to_owned(), why };
        if text.len() > NAME_BYTES {
            return Err(fail(format!("it has {} bytes, and {NAME_BYTES} are the most", text.len())));
        }
        let (kind, device) = text.split_once('=').ok_or_else(|| fail("there is no `=` in it".to_owned()))?;
        check_kind(kind).map_err(fail)?;
        check_device(device).map_err(fail)?;
        Ok(Self::of(kind, device))
    }

    /// Of parts that were checked.
    pub(crate) fn of(kind: &str, device: &str) -> Self {
        Self { kind: kind.to_owned(), device: device.to_owned() }
    }

    /// Vendor and class.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name among the devices of its kind.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }
}

impl fmt::Display for CdiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.device)
    }
}

/// The names that an annotation's value lists, separated by commas; nothing of an annotation of another key.
///
/// # Errors
/// One of them is none.
pub fn names_of_annotation(key: &str, value: &str) -> Result<Vec<CdiName>, NoName> {
    if !key.starts_with(ANNOTATION_PREFIX) {
        return Ok(Vec::new());
    }
    value.split(',').map(CdiName::parse).collect()
}

/// A vendor and a class of devices, `vendor.com/class`.
pub(crate) fn check_kind(kind: &str) -> Result<(), String> {
    let (vendor, class) = kind.split_once('/').ok_or_else(|| format!("{} has no `/`", excerpt(kind)))?;
    check("vendor", vendor, |first| first.is_ascii_alphabetic(), "_-.", "a letter")?;
    check("class", class, |first| first.is_ascii_alphabetic(), "_-.", "a letter")
}

/// A device's name, without its kind.
pub(crate) fn check_device(name: &str) -> Result<(), String> {
    check("device's name", name, |first| first.is_ascii_alphanumeric(), "_-.:", "a letter or a digit")
}

fn check(what: &str, text: &str, may_be_first: fn(char) -> bool, marks: &str, begins: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if !text.starts_with(may_be_first) {
        return Err(format!("the {what} {} should begin with {begins}", excerpt(text)));
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c)) {
        return Err(format!("the {what} {} can have letters, digits and {marks}", excerpt(text)));
    }
    if !text.ends_with(|last: char| last.is_ascii_alphanumeric()) {
        return Err(format!("the {what} {} should end with a letter or a digit", excerpt(text)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_the_specification_has_them() {
        for text in ["vendor.com/class=name", "v/c=1", "a_b-c.d/e_f-g.h=0:1_2-3.x", "nvidia.com/gpu=GPU-8dcd427f:0"] {
            assert_eq!(CdiName::parse(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for (text, part) in [
            ("", "no `=`"),
            ("gpu", "no `=`"),
            ("gpu=0", "no `/`"),
            ("/gpu=0", "vendor is empty"),
            ("vendor.com/=0", "class is empty"),
            ("vendor.com/gpu=", "device's name is empty"),
            ("1vendor/gpu=0", "begin with a letter"),
            ("vendor/1=0", "begin with a letter"),
            ("vendor/gpu=-1", "begin with a letter or a digit"),
            ("vendor/gpu=1-", "end with a letter"),
            ("vendor./gpu=1", "end with a letter"),
            ("ven dor/gpu=1", "can have"),
            ("vendor/gpu/x=1", "can have"),
            ("vendor/gpu=a=b", "can have"),
            ("vendor/g:u=1", "can have"),
            ("vendor/gpu=\u{e4}", "begin with"),
            (" vendor/gpu=1", "begin with"),
        ] {
            let said = CdiName::parse(text).unwrap_err().to_string();
            assert!(said.contains(part), "{text}: {said}");
        }
        assert!(CdiName::parse(&format!("v/c={}", "x".repeat(NAME_BYTES))).is_err());
    }

    #[test]
    fn annotations_list_names() {
        let names = |key, value| {
            let names = names_of_annotation(key, value)?;
            Ok::<_, NoName>(names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(names("cdi.k8s.io/plugin_gpu", "v/c=1,v/d=2").unwrap(), ["v/c=1", "v/d=2"]);
        assert_eq!(names("example.com/cdi.k8s.io", "anything").unwrap(), [""; 0]);
        for value in ["", "v/c=1,", "v/c=1, v/c=2", "all"] {
            assert!(names("cdi.k8s.io/x", value).is_err(), "{value}");
        }
    }
}
