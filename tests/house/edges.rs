//! Which crate may know which, as ARCHITECTURE.md states them.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Crate, and the crates it may know.
const ALLOWED: &[(&str, &str)] = &[
    ("sys", ""),
    ("text", ""),
    ("api", ""),
    ("fuzz", ""),
    ("cdi", "sys text"),
    ("measure", ""),
    ("streaming-protocol", "sys"),
    ("streaming", "streaming-protocol sys"),
    ("spec", "text"),
    ("store", "measure"),
    ("trace", "sys text"),
    ("nri", "trace measure sys text"),
    ("shim-protocol", ""),
    ("cgroup", "sys"),
    ("image", "store trace measure sys text"),
    ("network", "store trace sys"),
    ("shim", "shim-protocol streaming-protocol cgroup sys"),
    ("pod", "spec cdi store image network nri cgroup shim-protocol streaming-protocol trace measure sys text"),
    (
        "daemon",
        "trace measure sys text spec cdi store image network nri cgroup shim-protocol streaming-protocol pod api",
    ),
    ("client", "api sys text"),
    ("peapod", "daemon client streaming"),
    ("tests", "api nri shim-protocol"),
];

/// Crates that must never reach a crate, because of what they would bring there.
const FORBIDDEN: &[(&str, &str)] = &[
    ("pod", "peapod-api tonic prost"),
    ("spec", "tokio nix rustix rusqlite tonic"),
    ("cdi", "tokio tonic oci-spec"),
    ("image", "tonic"),
    ("network", "tonic"),
    ("nri", "tonic prost oci-spec"),
    ("streaming-protocol", "tonic ttrpc hyper"),
    ("shim", "tonic rusqlite reqwest regex"),
    ("cgroup", "tokio"),
];

fn packages() -> Vec<Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(crate::root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    let list = package["dependencies"].as_array().expect("dependencies").iter();
    // Tests of every crate may use the property tests' crate, and nothing else may.
    let list = list.filter(|dependency| !(dependency["name"] == "peapod-fuzz" && dependency["kind"] == "dev"));
    list.filter_map(|dependency| dependency["name"].as_str()).map(str::to_owned).collect()
}

fn crate_of(package: &str) -> &str {
    package.strip_prefix("peapod-").unwrap_or(package)
}

#[test]
fn crates_know_only_whom_they_may() {
    let mut wrong = Vec::new();
    for package in packages() {
        let name = crate_of(package["name"].as_str().expect("a name")).to_owned();
        let Some((_, allowed)) = ALLOWED.iter().find(|(own, _)| *own == name) else {
            wrong.push(format!("{name} has no line in tests/house/edges.rs"));
            continue;
        };
        for dependency in dependencies(&package) {
            let known = crate_of(&dependency);
            let is_ours = dependency.starts_with("peapod-") && known != name;
            if is_ours && !allowed.split(' ').any(|other| other == known) {
                wrong.push(format!("{name} knows {known}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_stay_clear_of_what_is_not_theirs() {
    let packages = packages();
    let mut wrong = Vec::new();
    for (name, forbidden) in FORBIDDEN {
        let package =
            packages.iter().find(|package| package["name"].as_str().is_some_and(|found| crate_of(found) == *name));
        let found = dependencies(package.expect("every crate of the list is there"));
        wrong.extend(
            forbidden.split(' ').filter(|crate_| found.contains(*crate_)).map(|crate_| format!("{name} uses {crate_}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn folder_and_package_have_the_same_name() {
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        let manifest = package["manifest_path"].as_str().expect("a path");
        let folder = manifest.rsplit('/').nth(1).expect("a folder");
        assert_eq!(crate_of(name), folder, "{manifest}");
        assert!(name == "peapod" || name.starts_with("peapod-"), "{name}");
    }
}
