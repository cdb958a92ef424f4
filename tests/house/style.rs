//! What reviews would say every time, said by a test.

use std::fs;

use crate::source::{Source, files, rust};

/// A file that grows beyond this has two subjects.
const LINES: usize = 400;

/// Words of code: neither comments nor text in quotes.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    code(line).split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// The lines of a file that are of some kind, with the file's name.
fn lines(source: &Source, is_one: impl Fn(&str) -> bool) -> Vec<String> {
    let found = source.text.lines().filter(|line| is_one(line));
    found.map(|line| format!("{}: {line}", source.name())).collect()
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn files_have_one_subject() {
    let long: Vec<_> = rust()
        .iter()
        .map(|source| (source.name(), source.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(name, lines)| format!("{name} has {lines} lines"))
        .collect();
    none(&format!("more than {LINES} lines"), &long);
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = rust()
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .filter(|source| !source.path.ends_with("mod.rs") && !source.path.ends_with("tests.rs"))
        .map(Source::name)
        .collect();
    none("no //! at the top", &silent);
}

#[test]
fn only_sys_is_unsafe() {
    let sys = crate::root().join("src/sys");
    let found: Vec<_> = rust()
        .iter()
        .filter(|source| !source.path.starts_with(&sys) && !source.path.ends_with("house/style.rs"))
        .flat_map(|source| lines(source, |line| has_word(line, "unsafe")))
        .collect();
    none("unsafe outside src/sys", &found);
}

#[test]
fn all_crates_share_the_lints() {
    let found: Vec<_> = files(&crate::root().join("src"), "Cargo.toml")
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
        .filter(|source| source.path.starts_with(&folder))
        .flat_map(|source| lines(source, |line| line.contains("time::sleep") || line.contains("thread::sleep")))
        .collect();
    none("wait for a condition instead", &found);
}

#[test]
fn the_interface_is_whole() {
    let text = fs::read_to_string(crate::root().join("proto/cri.proto")).expect("proto/cri.proto");
    let calls = text.lines().filter(|line| line.trim_start().starts_with("rpc ")).count();
    assert_eq!(calls, 43, "CRI has 43 calls");
}
