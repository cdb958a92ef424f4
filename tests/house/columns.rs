//! Lines of 120 columns, where rustfmt does not see to it: comments and documents. And that sources are text.

use std::fs;
use std::path::Path;

use crate::source::{Source, files, rust};

/// As rustfmt.toml has it for code.
const COLUMNS: usize = 120;

fn is_long(line: &str) -> bool {
    line.chars().count() > COLUMNS
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "more than {COLUMNS} columns:\n{}", found.join("\n"));
}

#[test]
fn comments_hold_the_columns() {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let sources = rust();
    let found = sources.iter().flat_map(|source| {
        let lines = source.text.lines().enumerate().filter(|(_, line)| is_comment(line) && is_long(line));
        lines.map(|(at, _)| format!("{}:{}", source.name(), at + 1))
    });
    none(&found.collect::<Vec<_>>());
}

/// To git and grep a source with one is no text. They are written as escapes.
#[test]
fn sources_have_no_control_characters() {
    let has_one = |text: &str| text.chars().any(|character| character.is_control() && character != '\n');
    let sources = rust();
    let found: Vec<_> = sources.iter().filter(|source| has_one(&source.text)).map(Source::name).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// Rows of tables can't be broken, and what is between fences is shown as it is.
#[test]
fn documents_hold_the_columns() {
    let mut found = Vec::new();
    for path in files(&crate::root(), ".md") {
        let text = fs::read_to_string(&path).expect("text");
        let mut is_fenced = false;
        for (at, line) in text.lines().enumerate() {
            is_fenced ^= line.trim_start().starts_with("```");
            if is_long(line) && !is_fenced && !line.starts_with('|') {
                found.push(format!("{}:{}", name(&path), at + 1));
            }
        }
    }
    none(&found);
}

fn name(path: &Path) -> String {
    path.strip_prefix(crate::root()).unwrap_or(path).display().to_string()
}
