//! What is asked for of an SELinux label, part by part.

use peapod_text::excerpt;
use serde::{Deserialize, Serialize};

use crate::bounds::NAME_BYTES;

/// An SELinux label. An empty part says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelinuxOptions {
    /// User.
    pub user: String,
    /// Role.
    pub role: String,
    /// Type.
    pub type_: String,
    /// Level.
    pub level: String,
}

impl SelinuxOptions {
    /// Whether labels can be made of it. Such of older records may not have been looked at.
    ///
    /// # Errors
    /// One of its parts is none.
    pub fn check(&self) -> Result<(), NoLabelPart> {
        let Self { user, role, type_, level } = self;
        let names = [user, role, type_].into_iter().map(|name| (name, is_name(name)));
        let mut parts = names.chain([(level, is_level(level))]);
        let bad = parts.find(|(part, is_right)| !part.is_empty() && !is_right);
        bad.map_or(Ok(()), |(part, _)| Err(NoLabelPart(part.clone())))
    }
}

/// It is neither a name nor a level of a label. Labels become options of mounts, where other characters have a meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no part of an SELinux label: letters, digits and \"_-.\" are, of a level \":\" and \",\" too, {NAME_BYTES} at \
     most", excerpt(.0)
)]
pub struct NoLabelPart(pub String);

/// Whether it is a user, a role or a type.
pub(crate) fn is_name(part: &str) -> bool {
    has_only(part, "_-.")
}

pub(crate) fn is_level(part: &str) -> bool {
    has_only(part, "_-.:,")
}

fn has_only(part: &str, signs: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    !part.is_empty() && part.len() <= NAME_BYTES && part.chars().all(plain)
}
