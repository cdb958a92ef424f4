//! Limits of a group in which others are: what all of them have together.

use std::collections::BTreeMap;

/// What a group and all below it may have. `None`, and what is empty, is no limit: as a new group has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TotalLimits {
    /// Bytes of memory, at most.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together, at most.
    pub memory_and_swap: Option<u64>,
    /// Microseconds of processors, in a period of so many.
    pub cpu: Option<(u64, u64)>,
    /// Its share of processors beside its siblings', from 2 to 262144 as version 1 counts.
    pub cpu_shares: Option<u64>,
    /// Processors, in the list format of cpuset(7).
    pub cpus: String,
    /// Memory nodes, the same.
    pub mems: String,
    /// Bytes of huge pages of each size (`2MB`).
    pub hugepages: BTreeMap<String, u64>,
    /// What files hold besides, by their names. They count more than what is above.
    pub files: BTreeMap<String, String>,
}

/// What one file of a group is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitFile {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) kind: LimitKind,
}

/// When a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitKind {
    /// Always: without the file there is no such limit, which is an error.
    Limit,
    /// Where it is: it holds what a group without the file has, too.
    WhereThere,
    /// Where it is, if the kernel refuses another one of its controller beside a limit of before.
    Lift,
}

impl LimitFile {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>, kind: LimitKind) -> Self {
        Self { name: name.into(), text: text.into(), kind }
    }

    /// The limit, or else what the file holds without one.
    pub(crate) fn or_none(name: impl Into<String>, limit: Option<impl ToString>, none: &str) -> Self {
        match limit {
            Some(limit) => Self::new(name, limit.to_string(), LimitKind::Limit),
            None => Self::new(name, none, LimitKind::WhereThere),
        }
    }

    pub(crate) fn controller(&self) -> &str {
        self.name.split('.').next().unwrap_or(&self.name)
    }
}

impl TotalLimits {
    /// Its list, or none if that is empty.
    pub(crate) fn list(text: &str) -> Option<&str> {
        Some(text).filter(|text| !text.is_empty())
    }

    /// Puts what is said of files by their names into those that the version has for the other limits.
    pub(crate) fn with_files(&self, mut all: Vec<LimitFile>) -> Vec<LimitFile> {
        for (name, text) in &self.files {
            let said = LimitFile::new(name, text.trim(), LimitKind::Limit);
            match all.iter_mut().find(|file| file.name == *name && file.kind != LimitKind::Lift) {
                Some(file) => *file = said,
                None => all.push(said),
            }
        }
        all
    }
}
