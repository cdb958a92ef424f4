//! The table of bounds in ARCHITECTURE.md names each constant of each crate's `bounds.rs`, and nothing else.

use std::collections::BTreeSet;
use std::fs;

/// `crate::NAME` of every constant in a `bounds.rs`.
fn in_code() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for room in fs::read_dir(crate::root().join("src")).expect("src") {
        let room = room.expect("an entry");
        let Ok(text) = fs::read_to_string(room.path().join("src/bounds.rs")) else { continue };
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            if let Some(at) = words.iter().position(|word| *word == "const").filter(|at| *at < 2)
                && let Some(name) = words.get(at + 1)
            {
                found.insert(format!("{}::{}", room.file_name().to_string_lossy(), name.trim_end_matches(':')));
            }
        }
    }
    found
}

/// Everything between backquotes in the table's second column that looks like such a name.
fn in_table() -> BTreeSet<String> {
    let text = fs::read_to_string(crate::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, rest) = text.split_once("\n## Bounds\n").expect("a chapter of bounds");
    let chapter = rest.split("\n## ").next().unwrap_or(rest);
    let quoted =
        chapter.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted.filter(|text| text.contains("::")).map(str::to_owned).collect()
}

#[test]
fn the_table_of_bounds_is_whole() {
    let (code, table) = (in_code(), in_table());
    let missing: Vec<_> = code.difference(&table).collect();
    assert!(missing.is_empty(), "in a bounds.rs, but not in ARCHITECTURE.md: {missing:?}");
    let stale: Vec<_> = table.difference(&code).collect();
    assert!(stale.is_empty(), "in ARCHITECTURE.md, but in no bounds.rs: {stale:?}");
}
