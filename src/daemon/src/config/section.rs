//! Takes keys out of a table by kind, and says what is wrong with each.

use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::problem::{Location, Problems};
use super::tree::{TomlNode, TomlValue, Tree};

/// Bytes of a unix socket's path that the kernel takes, without the final NUL.
pub(super) const SOCKET_PATH_LIMIT: usize = 107;

/// A table whose keys are taken one after the other; what is left at the end is unknown.
pub(super) struct Section<'p> {
    path: String,
    location: Option<Location>,
    tree: Tree,
    known: Vec<&'static str>,
    problems: &'p Problems,
}

impl<'p> Section<'p> {
    /// The whole configuration.
    pub(super) fn root(tree: Tree, problems: &'p Problems) -> Self {
        Self { path: String::new(), location: None, tree, known: Vec::new(), problems }
    }

    /// Full name of a key.
    fn name(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// A mistake in the table as a whole, or in a default.
    pub(super) fn problem(&self, key: &str, reason: impl Into<String>) {
        self.problems.add(self.location.as_ref(), self.name(key), reason);
    }

    fn take(&mut self, key: &'static str) -> Option<TomlNode> {
        self.known.push(key);
        self.tree.remove(key)
    }

    fn wrong(&self, key: &str, node: &TomlNode, wanted: &str) {
        let reason = format!("is {}, should be {wanted}", node.value.kind());
        self.problems.add(Some(&node.location), self.name(key), reason);
    }

    /// Text that `check` turns into something; its error says what would be right.
    pub(super) fn text<T>(&mut self, key: &'static str, default: T, check: impl Fn(&str) -> Result<T, String>) -> T {
        let Some(node) = self.take(key) else { return default };
        let TomlValue::Text(text) = &node.value else {
            self.wrong(key, &node, "text in quotes");
            return default;
        };
        match check(text) {
            Ok(value) => value,
            Err(reason) => {
                self.problems.add(Some(&node.location), self.name(key), format!("{text:?} {reason}"));
                default
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts<T>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(node) = self.take(key) else { return default };
        let TomlValue::List(items) = &node.value else {
            self.wrong(key, &node, "a list of texts");
            return default;
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let TomlValue::Text(text) = &item.value else {
                self.wrong(key, item, "text in quotes");
                continue;
            };
            match check(text) {
                Ok(value) => values.push(value),
                Err(reason) => self.problems.add(Some(&item.location), self.name(key), format!("{text:?} {reason}")),
            }
        }
        // The list without what is wrong is none that anybody wrote: nothing is to be said of it.
        if values.len() == items.len() { values } else { default }
    }

    /// An absolute path without `..`.
    pub(super) fn path(&mut self, key: &'static str, default: impl Into<PathBuf>) -> PathBuf {
        self.text(key, default.into(), absolute)
    }

    /// Yes or no, which `check` may refuse; its error says why.
    pub(super) fn flag(
        &mut self,
        key: &'static str,
        default: bool,
        check: impl Fn(bool) -> Result<bool, String>,
    ) -> bool {
        let Some(node) = self.take(key) else { return default };
        let TomlValue::Flag(flag) = node.value else {
            self.wrong(key, &node, "true or false");
            return default;
        };
        check(flag).unwrap_or_else(|reason| {
            self.problems.add(Some(&node.location), self.name(key), reason);
            default
        })
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &'static str, default: i64, allowed: RangeInclusive<i64>) -> i64 {
        let Some(node) = self.take(key) else { return default };
        match node.value {
            TomlValue::Integer(number) if allowed.contains(&number) => number,
            TomlValue::Integer(number) => {
                let reason = format!("{number} is out of range, {} to {} are allowed", allowed.start(), allowed.end());
                self.problems.add(Some(&node.location), self.name(key), reason);
                default
            }
            _ => {
                self.wrong(key, &node, "a whole number");
                default
            }
        }
    }

    /// A duration such as `"90s"`, `"2m"`, `"250ms"`.
    pub(super) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        self.text(key, default, duration)
    }

    /// A table of this one; empty when absent.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let path = self.name(key);
        let (tree, location) = match self.take(key) {
            None => (Tree::new(), None),
            Some(TomlNode { value: TomlValue::Table(tree), location }) => (tree, Some(location)),
            Some(node) => {
                self.wrong(key, &node, "a table");
                (Tree::new(), None)
            }
        };
        Self { path, location, tree, known: Vec::new(), problems: self.problems }
    }

    /// What is left, each as a table under its name.
    pub(super) fn named(mut self) -> Vec<(String, Self)> {
        let mut sections = Vec::new();
        for (name, node) in std::mem::take(&mut self.tree) {
            let TomlNode { value: TomlValue::Table(tree), location } = node else {
                self.wrong(&name, &node, "a table");
                continue;
            };
            let path = self.name(&name);
            sections.push((
                name,
                Self { path, location: Some(location), tree, known: Vec::new(), problems: self.problems },
            ));
        }
        sections
    }

    /// Every key has been asked for: what is left is unknown.
    pub(super) fn finish(self) {
        for (key, node) in &self.tree {
            let reason = format!("is not a key that peapod knows; here there are: {}", self.known.join(", "));
            self.problems.add(Some(&node.location), self.name(key), reason);
        }
    }
}

/// An absolute path without `.` and `..`.
pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && plain && !text.contains('\0') {
        Ok(path.components().collect())
    } else {
        Err("is not an absolute path without `..`".into())
    }
}

/// A path that a socket can have.
pub(super) fn socket_path(path: PathBuf) -> Result<PathBuf, String> {
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_LIMIT {
        return Err(format!("has {length} bytes, the kernel takes {SOCKET_PATH_LIMIT}"));
    }
    Ok(path)
}

/// A number with a unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "is not a duration such as \"250ms\", \"90s\" or \"2m\"".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wanted())?;
    let duration = match &text[digits.len()..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60).ok_or_else(wanted)?),
        _ => return Err(wanted()),
    };
    if duration.is_zero() { Err("is no time at all".into()) } else { Ok(duration) }
}
