//! What is wrong with a configuration.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// A file, or the option of the command line.
    pub(super) file: Arc<str>,
    /// Counted from 1.
    pub(super) line: Option<usize>,
}

impl Location {
    /// On the command line.
    pub(super) fn option(text: &str) -> Self {
        Self { file: text.into(), line: None }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => write!(f, "{}", self.file),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Absent for a default that doesn't work on this node.
    pub(super) location: Option<Location>,
    /// Dotted; empty for a file as a whole.
    pub(super) key: String,
    /// What is wrong and what would be right.
    pub(super) reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}

/// Mistakes found so far. Readers share it, so that each can go on with a default and all are seen at once.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, location: Option<&Location>, key: impl Into<String>, reason: impl Into<String>) {
        self.0.borrow_mut().push(Problem { location: location.cloned(), key: key.into(), reason: reason.into() });
    }

    /// The value, if nothing was found.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, InvalidConfig> {
        let problems = self.0.into_inner();
        if problems.is_empty() { Ok(value) } else { Err(InvalidConfig { problems }) }
    }
}

/// A configuration that can't be used. Shows every mistake, one a line.
#[derive(Debug, thiserror::Error)]
pub(crate) struct InvalidConfig {
    problems: Vec<Problem>,
}

impl InvalidConfig {
    /// Every mistake; each shows itself in one line.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration can't be used")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}
