//! Files that documents name are there.

use std::fs;

use crate::source::files;

const DOCUMENTS: &[&str] = &["ARCHITECTURE.md", "README.md", "SECURITY.md"];

/// Everything between backquotes that looks like one of our source files, with its line.
fn pointers(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(number, line)| {
        let quoted = line.split('`').skip(1).step_by(2);
        quoted.filter(|word| word.ends_with(".rs") && !word.contains(' ')).map(move |word| (number + 1, word))
    })
}

#[test]
fn files_that_documents_name_are_there() {
    let known = files(&crate::root(), ".rs");
    // A path may leave out where it begins, if the text has said that before.
    let is_there = |pointer: &str| known.iter().any(|file| file.ends_with(pointer));
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(crate::root().join(document)).expect("a document");
        let stale = pointers(&text).filter(|(_, pointer)| {
            let full = pointer.split_once('/').map(|(package, rest)| format!("{package}/src/{rest}"));
            !is_there(pointer) && !full.is_some_and(|full| is_there(&full))
        });
        missing.extend(stale.map(|(number, pointer)| format!("{document}:{number}: {pointer}")));
    }
    assert!(missing.is_empty(), "no such files: {missing:#?}");
}
