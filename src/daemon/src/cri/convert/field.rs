//! What is wrong with a field of a request, and the checks that several fields share.

use std::path::{Component, Path, PathBuf};

use crate::bounds::ECHO;
use peapod_spec::bounds::{NAME_BYTES, PATH_BYTES};
use peapod_spec::normal_path;
use peapod_text::excerpt;
use peapod_text::shortened;

/// A field that can't be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub(crate) struct FieldError {
    /// Path from the request's top, in the names of the proto file.
    field: String,
    /// What is wrong, and what would be right.
    reason: String,
    /// Nothing is wrong with it but that peapod lacks it.
    unsupported: bool,
}

/// A field's value after its check.
pub(crate) type Checked<T> = Result<T, FieldError>;

impl FieldError {
    /// A mistake of the client.
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::of(field.into(), reason.into(), false)
    }

    /// Something that peapod does not do.
    pub(crate) fn unsupported(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::of(field.into(), reason.into(), true)
    }

    /// Names of fields and reasons repeat keys and values of the request, which may be long.
    fn of(field: String, reason: String, unsupported: bool) -> Self {
        let short = |text: String| if text.len() > ECHO { shortened(&text, ECHO).into_owned() } else { text };
        Self { field: short(field), reason: short(reason), unsupported }
    }

    /// Whether another runtime might accept the field.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.unsupported
    }

    /// Puts the name of the message that holds the field before it.
    pub(super) fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}

/// A message that has to be there.
pub(crate) fn required<T>(field: &str, value: Option<T>) -> Checked<T> {
    value.ok_or_else(|| FieldError::new(field, "is missing"))
}

/// Text that has to be there.
pub(crate) fn not_empty(field: &str, value: String) -> Checked<String> {
    if value.is_empty() { Err(FieldError::new(field, "is empty")) } else { without_nul(field, value) }
}

/// A name: text that has to be there, and is no book.
pub(crate) fn name(field: &str, value: String) -> Checked<String> {
    not_empty(field, short(field, value, NAME_BYTES)?)
}

/// Text of so many bytes at most.
pub(super) fn short(field: &str, value: String, most: usize) -> Checked<String> {
    at_most(field, "bytes", value.len(), most).map(|()| value)
}

/// So many of something at most.
pub(super) fn at_most(field: &str, what: &str, count: usize, most: usize) -> Checked<()> {
    if count > most {
        return Err(FieldError::new(field, format!("has {count} {what}, and {most} can be taken")));
    }
    Ok(())
}

/// Text that the kernel can take.
pub(super) fn without_nul(field: &str, value: String) -> Checked<String> {
    if value.contains('\0') { Err(FieldError::new(field, "contains a NUL character")) } else { Ok(value) }
}

/// Several of them.
pub(super) fn all_without_nul(field: &str, values: Vec<String>) -> Checked<Vec<String>> {
    values.into_iter().enumerate().map(|(index, value)| without_nul(&format!("{field}[{index}]"), value)).collect()
}

/// An absolute path that stays where it says: without `..`.
pub(super) fn absolute_path(field: &str, value: String) -> Checked<PathBuf> {
    let path = rooted_path(field, value)?;
    no_parent(field, &path)?;
    Ok(path)
}

/// An absolute path, brought into its normal form.
pub(super) fn any_absolute_path(field: &str, value: String) -> Checked<PathBuf> {
    rooted_path(field, value).map(normal_path)
}

fn rooted_path(field: &str, value: String) -> Checked<PathBuf> {
    let value = short(field, without_nul(field, value)?, PATH_BYTES)?;
    if !value.starts_with('/') {
        return Err(FieldError::new(field, format!("{} is not an absolute path", excerpt(&value))));
    }
    Ok(value.into())
}

/// A relative path that stays below its folder.
pub(super) fn relative_path(field: &str, value: String) -> Checked<PathBuf> {
    let value = short(field, without_nul(field, value)?, PATH_BYTES)?;
    let path = Path::new(&value);
    if path.is_absolute() {
        return Err(FieldError::new(field, format!("{} should be relative", excerpt(&value))));
    }
    no_parent(field, path)?;
    if path.file_name().is_none() || value.ends_with('/') {
        return Err(FieldError::new(field, format!("{} names no file", excerpt(&value))));
    }
    Ok(path.to_owned())
}

fn no_parent(field: &str, path: &Path) -> Checked<()> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(FieldError::new(field, format!("{} contains `..`", excerpt(path))));
    }
    Ok(())
}

/// A user or group id.
pub(super) fn id(field: &str, value: i64) -> Checked<u32> {
    // The highest number means "no id" to the kernel.
    u32::try_from(value)
        .ok()
        .filter(|&id| id != u32::MAX)
        .ok_or_else(|| FieldError::new(field, format!("{value} is no user or group id (0 to {})", u32::MAX - 1)))
}

/// Several of them.
pub(super) fn ids(field: &str, values: Vec<i64>) -> Checked<Vec<u32>> {
    values.into_iter().enumerate().map(|(index, value)| id(&format!("{field}[{index}]"), value)).collect()
}

/// A value of an enumeration that this release knows.
pub(super) fn known<T: TryFrom<i32>>(field: &str, value: i32) -> Checked<T> {
    T::try_from(value).map_err(|_| FieldError::new(field, format!("{value} is not a known value")))
}
