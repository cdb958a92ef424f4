//! Manifests and indexes as strangers write them.

use super::{Document, IndexEntry, document};
use crate::bounds::INDEX_ENTRIES;
use crate::digest::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn entries(text: &str) -> Vec<IndexEntry> {
    match document(text.as_bytes(), None) {
        Ok(Document::Index(entries)) => entries,
        other => panic!("an index was written: {other:?}"),
    }
}

fn index(entries: &[String]) -> String {
    format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","))
}

fn entry(seed: &str, more: &str) -> String {
    let digest = Digest::of(seed.as_bytes());
    format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1{more}}}"#)
}

#[test]
fn odd_entries_of_an_index_are_passed_over() {
    let digest = Digest::of(b"odd");
    let typed = |kind: &str| format!(r#"{{"mediaType":{kind},"digest":"{digest}","size":1}}"#);
    let odd = [
        "5".to_owned(),
        "null".to_owned(),
        "\"text\"".to_owned(),
        "[[]]".to_owned(),
        "{}".to_owned(),
        entry("odd", r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#),
        entry("odd", r#","artifactType":"application/vnd.example""#),
        entry("odd", r#","platform":5"#),
        entry("odd", r#","platform":{"os":[],"architecture":"amd64"}"#),
        typed("5"),
        typed("\"application/vnd.oci.image.config.v1+json\""),
        typed("\"application/vnd.cncf.helm.chart.v1+json\""),
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"sha512:{}","size":1}}"#, "0".repeat(128)),
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}"}}"#),
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":-1}}"#),
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1e999}}"#),
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":{}}}"#, "9".repeat(400)),
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"../../etc","size":1}}"#),
        format!(r#"{{"mediaType":"{MANIFEST}","size":1}}"#),
        format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1,"mediaType":"\ud800"}}"#),
    ];
    for one in &odd {
        let both = [one.clone(), entry("good", ""), one.clone()];
        let found = entries(&index(&both));
        assert_eq!(found.len(), 1, "{one}");
        assert_eq!(found[0].digest, Digest::of(b"good"), "{one}");
    }
    assert!(entries(&index(&[])).is_empty());
}

#[test]
fn media_types_have_parameters_and_letters_of_any_size() {
    let digest = Digest::of(b"x");
    for (kind, is_index) in [
        ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", false),
        ("Application/Vnd.Docker.Distribution.Manifest.V2+JSON", false),
        ("application/vnd.oci.image.index.v1+json;x=y", true),
        ("application/vnd.docker.distribution.manifest.list.v2+json", true),
        ("", false),
    ] {
        let found = entries(&index(&[format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":7}}"#)]));
        assert_eq!(found[0].is_index, is_index, "{kind}");
    }
    let target =
        entries(&index(&[entry("a", r#","platform":{"os":null,"architecture":"aarch64"}"#)]))[0].target.clone();
    assert_eq!(target.unwrap().to_string(), "?/arm64");
}

#[test]
fn an_index_is_bounded() {
    let many = vec![entry("a", ""); INDEX_ENTRIES];
    assert_eq!(entries(&index(&many)).len(), INDEX_ENTRIES);
    let more = index(&vec![entry("a", ""); INDEX_ENTRIES + 1]);
    assert!(document(more.as_bytes(), None).unwrap_err().contains("1000 images"));
    // What is passed over costs nothing, however much of it there is.
    let nothing = index(&vec!["{}".to_owned(); 1_000_000]);
    assert!(entries(&nothing).is_empty());
    let deep = format!(r#"{{"schemaVersion":2,"manifests":[{}{}]}}"#, "[".repeat(500_000), "]".repeat(500_000));
    assert!(entries(&deep).is_empty());
}

fn manifest(kind: &str, config_type: &str, layers: &str) -> Result<super::Manifest, String> {
    let digest = Digest::of(b"config");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","layers":{layers},
        "config":{{"mediaType":{config_type},"digest":"{digest}","size":2}}}}"#
    );
    match document(text.as_bytes(), None)? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => panic!("a manifest was written"),
        Document::Artifact(artifact) => Err(format!("an artifact: {}", artifact.kind)),
    }
}

#[test]
fn what_is_an_image() {
    const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
    for (kind, config, image) in [
        (MANIFEST, "\"application/vnd.oci.image.config.v1+json\"", true),
        (MANIFEST, "\"application/vnd.oci.image.config.v1+json; charset=utf-8\"", true),
        (MANIFEST, "null", true),
        (MANIFEST, "\"application/octet-stream\"", false),
        (MANIFEST, "\"application/vnd.cncf.helm.config.v1+json\"", false),
        (MANIFEST, "\"application/vnd.oci.empty.v1+json\"", false),
        (DOCKER, "\"application/vnd.docker.container.image.v1+json\"", true),
        (DOCKER, "\"application/octet-stream\"", true),
        (DOCKER, "\"application/vnd.docker.plugin.v1+json\"", false),
    ] {
        match manifest(kind, config, "[]") {
            Ok(_) => assert!(image, "{kind} {config}"),
            Err(problem) => assert!(!image && problem.contains("artifact"), "{kind} {config}: {problem}"),
        }
    }
    assert!(manifest(MANIFEST, "null", "null").unwrap().layers(0).unwrap().is_empty());
}

#[test]
fn what_is_no_layer_by_its_type_is_left_out() {
    let digest = Digest::of(b"layer");
    let blob = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":3}}"#);
    let layer = blob("application/vnd.oci.image.layer.v1.tar+gzip");
    let both = manifest(MANIFEST, "null", &format!("[{layer},{}]", blob("application/vnd.in-toto+json"))).unwrap();
    assert_eq!(both.layers(1).unwrap().len(), 1);
    assert_eq!(both.layers(2).unwrap().len(), 2, "where the configuration counts it, it is one");
    assert!(both.layers(3).unwrap_err().contains("2 layers, its configuration 3"));

    for (wrong, problem) in [
        ("[5]".to_owned(), "layer 1 is no descriptor"),
        (format!("[{layer},null]"), "layer 2 is no descriptor"),
        (r#"[{"size":1}]"#.to_owned(), "layer 1 has no usable digest"),
        (format!(r#"[{{"digest":"{digest}","size":18446744073709551615}}]"#), "layer 1 has no usable size"),
        (r#"[{"digest":"sha512:0","size":1}]"#.to_owned(), "knows sha256"),
        (format!("[{}]", blob("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")), "encrypted"),
        ("{}".to_owned(), "\"layers\" is not a list"),
        (format!("[{}]", vec![layer.as_str(); 501].join(",")), "501 layers"),
        (format!("[{}]", vec!["{}"; 1_000_000].join(",")), "1000000 layers"),
    ] {
        let found = manifest(MANIFEST, "null", &wrong).unwrap_err();
        assert!(found.contains(problem), "{found}");
    }
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let refused = |text: &str| document(text.as_bytes(), Some("application/json")).unwrap_err();
    assert!(refused("<html>").contains("no JSON"));
    assert!(refused("[]").contains("no JSON object"));
    assert!(refused(r#"{"schemaVersion":1,"fsLayers":[]}"#).contains("schema 1"));
    assert!(refused(r#"{"fsLayers":[]}"#).contains("schema 1"));
    assert!(refused(r#"{"schemaVersion":2}"#).contains("no image: application/json"));
    assert!(document(b"{}", None).unwrap_err().ends_with("no image: it names no configuration and no manifests"));
    assert!(refused(r#"{"schemaVersion":2,"layers":[],"config":5}"#).contains("\"config\" is no descriptor"));
    assert!(refused(r#"{"schemaVersion":2,"layers":[],"manifests":[]}"#).contains("at once"));
    let signed = document(b"{}", Some("application/vnd.docker.distribution.manifest.v1+prettyjws")).unwrap_err();
    assert!(signed.contains("schema 1"));
}
