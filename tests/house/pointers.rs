//! Files that documents name are there, and what they link to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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

/// The chapters and all that stands beside README.md.
fn documents() -> Vec<String> {
    ["", "docs/"]
        .iter()
        .flat_map(|folder| {
            let entries = fs::read_dir(crate::root().join(folder)).expect("a folder").flatten();
            let names = entries.map(move |entry| format!("{folder}{}", entry.file_name().display()));
            names.filter(|name| name.ends_with(".md"))
        })
        .collect()
}

fn text(document: &str) -> Option<String> {
    fs::read_to_string(crate::root().join(document)).ok()
}

/// What headings are called in links.
fn anchors(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter_map(|line| line.strip_prefix('#')).map(|line| line.trim_matches(['#', ' ']));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    titles.map(|title| title.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = text(&document).expect("a document");
        let folder = Path::new(&document).parent().expect("a folder");
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { document.clone() } else { folder.join(file).display().to_string() };
            let is_there = match self::text(&file) {
                Some(text) => anchor.is_empty() || anchors(&text).contains(anchor),
                None => crate::root().join(file).is_dir(),
            };
            if !is_there {
                broken.push(format!("{document}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}
