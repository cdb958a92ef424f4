//! What registries and clients send, damaged in every way.

use crate::configuration::configuration;
use crate::manifest::{Document, document};
use crate::platform::Platform;
use crate::reference::Reference;

const MANIFEST: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":
{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
"size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":10,
"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}],"annotations":{"a":"b"}}"#;
const INDEX: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":500,"platform":{"os":"linux","architecture":"amd64","variant":"v3"},
"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
{"mediaType":"application/vnd.oci.image.index.v1+json","size":500,
"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8b"}]}"#;
const CONFIGURATION: &str = r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":
["sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"]},"config":{"User":"1000:1000","Env":["A=b"],
"Entrypoint":["/a"],"Cmd":["b"],"WorkingDir":"/","Labels":{"a":"b"},"StopSignal":"SIGTERM","Volumes":{"/v":{}},
"ExposedPorts":{"80/tcp":null}},"history":[{"created":"2024-01-01T00:00:00Z","created_by":"x","empty_layer":true}]}"#;

/// Members and values that such documents may have, and some that they may not.
const TOKENS: &[&str] = &[
    "null",
    "{}",
    "[]",
    "[[[[",
    "{\"a\":",
    "\"manifests\":[",
    "\"layers\":[",
    "\"variant\":\"v2\"",
    "\"schemaVersion\":1",
    "\"mediaType\":\"x/\\u001b[31m\\u202e\\n\"",
    "\"diff_ids\":[\"\\u0007\"",
    "\u{7f}\u{9b}",
    "sha512:",
    "sha256:",
    "\\u0000",
    "\\ud800",
    "\u{202e}",
    "1e400",
    "-",
    "\"\"",
    ",",
];

#[test]
fn reference() {
    peapod_fuzz::target!("reference")
        .seeds(["busybox", "a/b:tag", "registry.example:5000/a/b_c--d/e", "[::1]:5000/x:1"])
        .seeds(["x@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"])
        .tokens(["/", ":", "@", "..", "sha256:", "__", "[", "]", "\u{e4}", "%2f", " ", "\n"])
        .check(|input| {
            let Ok(reference) = Reference::parse(&String::from_utf8_lossy(input), "registry.example") else { return };
            // What was understood is written in one form, which is understood in the same way.
            let text = reference.to_string();
            assert_eq!(Reference::parse(&text, "elsewhere.example").as_ref(), Ok(&reference), "{text}");
        });
}

#[test]
fn manifest() {
    peapod_fuzz::target!("manifest").seeds([MANIFEST, INDEX]).tokens(TOKENS).check(|input| {
        match document(input, Some("application/vnd.oci.image.manifest.v1+json")) {
            Ok(Document::Index(index)) => {
                let ranks = index.iter().filter_map(|entry| Platform::host().rank(entry.target.as_ref()?));
                assert!(index.len() <= 1000 && ranks.count() <= index.len());
            }
            Ok(Document::Manifest(manifest)) => {
                assert!((0..=500).any(|count| manifest.layers(count).is_ok()));
            }
            Ok(Document::Artifact(artifact)) => {
                let is_inside = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
                assert!(artifact.files.iter().all(|file| file.name.components().all(is_inside)));
            }
            Err(reason) => check_reason(&reason),
        }
    });
}

#[test]
fn image_configuration() {
    peapod_fuzz::target!("configuration").seeds([CONFIGURATION]).tokens(TOKENS).check(|input| {
        if let Err(reason) = configuration(input) {
            check_reason(&reason);
        }
    });
}

/// What is told of a stranger's document fits into a line of a log, and steers no terminal.
fn check_reason(reason: &str) {
    assert!(!reason.is_empty() && reason.len() <= 1000, "{} bytes", reason.len());
    assert!(!reason.contains(char::is_control), "{reason:?}");
}
