//! Manifests that people write, logs that containers fill, and what a runtime answers, damaged in every way.

use crate::logs::line::Joiner;
use crate::manifest;
use crate::streaming::{SessionUrl, exit_code};

const POD: &str = include_str!("../../../examples/web.yaml");

#[test]
fn pod_manifest() {
    // Manifests are read on the main thread. With less than its stack a debug build doesn't come to the depth that is
    // refused.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(8 << 20);
        thread.spawn_scoped(scope, try_manifests).unwrap().join().unwrap();
    });
}

fn try_manifests() {
    let budget = peapod_fuzz::FuzzBudget { bytes: 16 << 20, factor: 1024, ..peapod_fuzz::FuzzBudget::default() };
    peapod_fuzz::target!("manifest")
        .seeds([
            POD,
            "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: b, image: c}]}\n",
            "kind: Job\napiVersion: batch/v1\nmetadata: {name: a}\nspec: {completions: 2, template: {spec: {}}}\n",
        ])
        .tokens([
            "&a ",
            "*a",
            "[*a,*a,*a]",
            "{{",
            "- - - ",
            "? ",
            "!!binary ",
            "---\n",
            "|\n",
            ": ",
            "\t",
            "'",
            "<<: *a\n",
            "0x",
            ".inf",
        ])
        .budget(budget)
        .check(|input| {
            let text = String::from_utf8_lossy(input).into_owned();
            let source = manifest::ManifestSource { name: String::new(), path: None, text };
            if let Err(error) = manifest::load(&[source]) {
                assert!(!error.to_string().is_empty());
            }
        });
}

#[test]
fn log_lines() {
    peapod_fuzz::target!("log")
        .seeds(["2024-01-01T00:00:00.000000000Z stdout F text\n2024-01-01T00:00:00.000000000Z stderr P part\n"])
        .tokens([" ", "stdout", "stderr", " P ", " F ", "\n", "\u{1b}[2J"])
        .check(|input| {
            let mut joiner = Joiner::default();
            let mut bytes: usize = input
                .split(|byte| *byte == b'\n')
                .filter_map(|line| joiner.push(line))
                .map(|line| line.text.len())
                .sum();
            bytes += joiner.rest().iter().map(|line| line.text.len()).sum::<usize>();
            assert!(bytes <= input.len());
        });
}

#[test]
fn session_end() {
    let code =
        r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"7"}]}}"#;
    peapod_fuzz::target!("session-end")
        .seeds([code, r#"{"metadata":{},"status":"Success"}"#, "command terminated with exit code 1"])
        .tokens(["\"", "{", "[", "null", "-1", "256"])
        .check(|input| {
            let _ = exit_code(input);
        });
}

#[test]
fn session_url() {
    peapod_fuzz::target!("session-url")
        .seeds(["http://127.0.0.1:4000/exec/abcdefgh", "https://[::1]:1/attach/x?y=z"])
        .tokens(["http://", "https://", ":", "[", "]", "@", "/", "%00", "::", "65536"])
        .check(|input| {
            let _ = SessionUrl::parse(&String::from_utf8_lossy(input));
        });
}
