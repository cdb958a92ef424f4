//! The Makefile's targets do what they say, also those that no other test runs.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn make(arguments: &[&str]) -> Output {
    let mut make = Command::new("make");
    // Not as a part of the `make` that runs these tests: that would say which folder it enters.
    for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        make.env_remove(variable);
    }
    let output = make.args(arguments).current_dir(crate::root()).output().expect("make runs");
    assert!(output.status.success(), "make {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(name: &str) -> String {
    fs::read_to_string(crate::root().join(name)).expect("a file of the checkout")
}

/// As `.PHONY` lists them.
fn targets() -> Vec<String> {
    let makefile = text("Makefile");
    let phony = makefile.lines().find_map(|line| line.strip_prefix(".PHONY: ")).expect("a list of targets");
    phony.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn every_target_is_listed_and_leads_to_what_is_there() {
    let tests = text("scripts/test.sh");
    let parts: Vec<&str> = tests
        .lines()
        .filter_map(|line| line.trim().split_once(')').map(|(names, _)| names))
        .flat_map(|names| names.split('|'))
        .map(str::trim)
        .collect();
    for target in targets() {
        let recipe = String::from_utf8(make(&["--dry-run", "--always-make", &target]).stdout).expect("text");
        assert!(!recipe.trim().is_empty(), "{target} does nothing");
        for line in recipe.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            for script in words.iter().filter(|word| word.starts_with("scripts/") || word.starts_with("tests/")) {
                assert!(crate::root().join(script).is_file(), "{target} runs {script}, which is not there");
            }
            if let Some(at) = words.iter().position(|word| *word == "scripts/test.sh") {
                let unknown = words[at + 1..].iter().find(|part| !parts.contains(part));
                assert!(unknown.is_none(), "{target} asks for part {unknown:?} of scripts/test.sh");
            }
        }
    }
}

#[test]
fn help_names_the_targets() {
    let help = String::from_utf8(make(&["help"]).stdout).expect("text");
    for target in ["demo", "test", "deny", "install"] {
        assert!(help.lines().any(|line| line.split_whitespace().next() == Some(target)), "{target}:\n{help}");
    }
}

#[test]
fn what_is_built_is_installed() {
    let dir = tempfile::tempdir().expect("a folder");
    let destination = format!("DESTDIR={}", dir.path().display());
    // Any programs will do.
    make(&["install-files", &destination, "PREFIX=/usr/local", "PEAPOD_BIN=/bin/true", "PEAPOD_SHIM=/bin/true"]);
    let there = |path: &str| fs::read(dir.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    for program in ["usr/local/bin/peapod", "usr/local/libexec/peapod/containerd-shim-peapod-v1"] {
        assert_eq!(there(program), fs::read(Path::new("/bin/true")).expect("/bin/true"));
    }
    assert_eq!(there("etc/peapod/config.toml.example"), text("packaging/config.toml").into_bytes());
    there("etc/peapod/crictl.yaml");
    let unit = String::from_utf8(there("usr/local/lib/systemd/system/peapod.service")).expect("text");
    assert!(unit.contains("/usr/local/bin/peapod") && !unit.contains("=/usr/bin/peapod"), "{unit}");
    there("usr/local/share/peapod/node-problem-detector/health-checker-peapod.json");
    // It counts what systemd writes when it starts the unit, which has the unit's description.
    let counter = String::from_utf8(there("usr/local/share/peapod/node-problem-detector/restart-counter-peapod.json"))
        .expect("text");
    let description = unit.lines().find_map(|line| line.strip_prefix("Description=")).expect("a description");
    assert!(counter.contains(&format!("peapod.service - {description}|{description})")), "{counter}");
}

#[test]
fn licences_are_checked_with_what_the_lock_names() {
    // Crates of other platforms are needed for that, and no build fetches them.
    let tests = text("scripts/test.sh");
    let deny = tests.lines().find(|line| line.starts_with("deny() ")).expect("the part deny");
    let (fetch, check) = (deny.find("cargo fetch --locked"), deny.find("cargo deny --offline"));
    assert!(fetch.is_some() && fetch < check, "{deny}");
    assert!(make(&["--dry-run", "deny"]).stdout.ends_with(b"scripts/test.sh deny\n"));
}
