//! The source files of the workspace, for the other tests to look at.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file.
pub(crate) struct Source {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// What stands before the tests that are in the file itself.
    pub(crate) fn without_tests(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }

    /// The path from the checkout on.
    pub(crate) fn name(&self) -> String {
        self.path.strip_prefix(crate::root()).unwrap_or(&self.path).display().to_string()
    }
}

/// All files below a folder whose names end so; never what is built.
pub(crate) fn files(folder: &Path, ends: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ends) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All Rust files, tests too.
pub(crate) fn rust() -> Vec<Source> {
    let found = ["src", "tests"].into_iter().flat_map(|folder| files(&crate::root().join(folder), ".rs"));
    found.map(|path| Source { text: fs::read_to_string(&path).expect("text"), path }).collect()
}

/// Files that are no part of what is shipped.
fn is_test(path: &Path) -> bool {
    let below = path.strip_prefix(crate::root().join("src")).ok();
    let Some(below) = below else { return true };
    below.starts_with("fuzz")
        || below.components().nth(1).is_some_and(|part| part.as_os_str() == "tests")
        || below.iter().any(|part| {
            let name = part.to_string_lossy();
            name == "tests" || name == "fuzz.rs" || name == "tests.rs" || name.ends_with("_tests.rs")
        })
}

/// Code that is shipped: below `src`, without files of tests.
pub(crate) fn shipped() -> Vec<Source> {
    rust().into_iter().filter(|source| !is_test(&source.path)).collect()
}
