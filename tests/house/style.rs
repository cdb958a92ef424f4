//! What reviews would say every time, said by a test.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that grows beyond this has two subjects.
const LINES: usize = 400;

/// All files below a folder whose names end so; never what is built.
fn files(folder: &Path, ends: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            files(&path, ends, found);
        } else if path.to_string_lossy().ends_with(ends) {
            found.push(path);
        }
    }
}

fn rust() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        files(&crate::root().join(folder), ".rs", &mut found);
    }
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("text"))).collect()
}

/// Words of code: neither comments nor text in quotes.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    code(line).split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn files_have_one_subject() {
    let long: Vec<_> = rust()
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    none(&format!("more than {LINES} lines"), &long);
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = rust()
        .iter()
        .filter(|(path, text)| !text.starts_with("//!") && !path.ends_with("mod.rs") && !path.ends_with("tests.rs"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    none("no //! at the top", &silent);
}

#[test]
fn only_sys_is_unsafe() {
    let sys = crate::root().join("src/sys");
    let found: Vec<_> = rust()
        .iter()
        .filter(|(path, _)| !path.starts_with(&sys) && !path.ends_with("house/style.rs"))
        .flat_map(|(path, text)| {
            text.lines().filter(|line| has_word(line, "unsafe")).map(move |line| format!("{}: {line}", path.display()))
        })
        .collect();
    none("unsafe outside src/sys", &found);
}

#[test]
fn all_rooms_share_the_lints() {
    let mut manifests = Vec::new();
    files(&crate::root().join("src"), "Cargo.toml", &mut manifests);
    let found: Vec<_> = manifests
        .iter()
        .filter(|path| !path.ends_with("sys/Cargo.toml"))
        .filter(|path| !fs::read_to_string(path).expect("text").contains("[lints]\nworkspace = true"))
        .map(|path| path.display().to_string())
        .collect();
    none("lints are not the workspace's", &found);
}

#[test]
fn nothing_waits_for_a_time_in_tests() {
    // A pause between two looks at a condition is fine: it lives in the harness alone.
    let folder = crate::root().join("tests/integration");
    let found: Vec<_> = rust()
        .iter()
        .filter(|(path, _)| path.starts_with(&folder))
        .flat_map(|(path, text)| {
            text.lines()
                .filter(|line| line.contains("time::sleep") || line.contains("thread::sleep"))
                .map(move |line| format!("{}: {line}", path.display()))
        })
        .collect();
    none("wait for a condition instead", &found);
}

#[test]
fn the_interface_is_whole() {
    let text = fs::read_to_string(crate::root().join("proto/cri.proto")).expect("proto/cri.proto");
    let calls = text.lines().filter(|line| line.trim_start().starts_with("rpc ")).count();
    assert_eq!(calls, 43, "CRI has 43 calls");
}
