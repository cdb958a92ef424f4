//! Archives in the form in which each tool writes them, made here. Needs root (owners).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::Lab;
use common::archive::{blob_name, entry, named, sent};
use common::docker::{
    Files, INDEX, LAYOUT, MANIFEST, annotated, blob_paths, both, docker_24, docker_25_0_0_by_digest, docker_25_by_ids,
    docker_25_by_name_and_id, docker_25_named, docker_image, hex, image, index, of,
};
use common::image::{Built, Packing, Tar, pack};
use peapod_image::{Digest, ImportRequest};
use serde_json::{Value, json};

/// What a builder says about an image, as a manifest.
fn attestation() -> (Vec<u8>, Vec<Vec<u8>>) {
    let statement = br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#.to_vec();
    let config = json!({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers",
        "diff_ids": [Digest::of(&statement).to_string()]}});
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": entry("application/vnd.oci.image.config.v1+json", &config, &json!({})),
        "layers": [entry("application/vnd.in-toto+json", &statement, &json!({}))],
    });
    (manifest.to_string().into_bytes(), vec![config, statement])
}

fn platform(architecture: &str) -> Value {
    json!({"platform": {"os": "linux", "architecture": architecture}})
}

fn own() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// An index of an image for this machine, one for another that is not there, and an attestation.
fn inner_index(image: &Built, is_marked: bool) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (about, mut blobs) = attestation();
    let elsewhere = docker_image("elsewhere", Packing::Gzip).manifest;
    let mut marks = json!({"platform": {"os": "unknown", "architecture": "unknown"}});
    if is_marked {
        let digest = Digest::of(&image.manifest).to_string();
        marks["annotations"] = json!({
            "vnd.docker.reference.digest": digest,
            "vnd.docker.reference.type": "attestation-manifest",
        });
    }
    let entries = [
        entry(MANIFEST, &about, &marks),
        entry(&image.manifest_type, &elsewhere, &platform("s390x")),
        entry(&image.manifest_type, &image.manifest, &platform(own())),
    ];
    blobs.push(about);
    (index(&entries).to_string().into_bytes(), blobs)
}

fn with_inner(image: &Built, is_marked: bool, annotations: &Value) -> Tar {
    let (inner, about) = inner_index(image, is_marked);
    let about: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
    let list = index(&[entry(INDEX, &inner, &json!({ "annotations": annotations }))]);
    let tar = Tar::new().dir("blobs/", 0o755).dir("blobs/sha256/", 0o755).whole(image).blobs(&about).blobs(&[&inner]);
    tar.json("index.json", &list).file("oci-layout", 0o444, LAYOUT)
}

/// With containerd's store, as Docker 29 has it; so do `ctr images export` and `nerdctl save`.
fn docker_with_containerd() -> Vec<u8> {
    let one = image("one", Packing::Gzip);
    let mut annotations = both("docker.io/library/one:1", "1");
    annotations["containerd.io/distribution.source.docker.io"] = json!("library/one");
    let list = json!([{
        "Config": blob_name(&one.config.bytes),
        "RepoTags": ["one:1"],
        "Layers": blob_paths(&one.layers),
    }]);
    with_inner(&one, true, &annotations).json("manifest.json", &list).finish()
}

/// `ctr --namespace k8s.io images export`, by all names that CRI gives an image: one of them is its id.
fn ctr_by_ids() -> Vec<u8> {
    let one = image("one", Packing::Gzip);
    let digest = Digest::of(&one.manifest).to_string();
    let by_digest = format!("docker.io/library/one@{digest}");
    let names =
        [both("docker.io/library/one:1", "1"), both(&by_digest, &digest), both(&one.config.digest, hex(&one.config))];
    let list = index(&names.map(|name| annotated(&one, &name)));
    let familiar = ["one:1".to_owned(), format!("one@{digest}"), one.config.digest.clone()];
    let docker =
        json!([{"Config": blob_name(&one.config.bytes), "RepoTags": familiar, "Layers": blob_paths(&one.layers)}]);
    Tar::new()
        .whole(&one)
        .json("index.json", &list)
        .json("manifest.json", &docker)
        .file("oci-layout", 0o444, LAYOUT)
        .finish()
}

/// `podman save`, also of several: layers in the root, links to these in folders.
fn podman_docker() -> Vec<u8> {
    let (one, two) = (docker_image("one", Packing::Plain), docker_image("two", Packing::Plain));
    let mut tar = Tar::new();
    let mut list = Vec::new();
    let (mut there, mut number) = (Vec::new(), 0);
    for (image, names) in [(&one, json!(["docker.io/library/one:1", "example.com/one:2"])), (&two, json!([]))] {
        for layer in &image.layers {
            let file = format!("{}.tar", hex(layer));
            if !there.contains(&file) {
                tar = tar.file(&file, 0o444, &layer.bytes);
                there.push(file.clone());
            }
            number += 1;
            let id = format!("{number:064}");
            tar = tar.symlink(&format!("{id}/layer.tar"), &format!("../{file}"));
            tar = tar.file(&format!("{id}/VERSION"), 0o444, b"1.0").json(&format!("{id}/json"), &json!({"id": id}));
        }
        let config = format!("{}.json", hex(&image.config));
        tar = tar.file(&config, 0o444, &image.config.bytes);
        let layers: Vec<_> = image.layers.iter().map(|layer| format!("{}.tar", hex(layer))).collect();
        list.push(json!({"Config": config, "RepoTags": names, "Layers": layers}));
    }
    tar.json("manifest.json", &json!(list)).json("repositories", &json!({})).finish()
}

/// `podman save --format oci-archive`, `buildah push oci-archive:…:name`.
fn podman_oci() -> Vec<u8> {
    let one = image("one", Packing::Gzip);
    let names = ["docker.io/library/one:1", "example.com/one:2"];
    let names = names.map(|name| annotated(&one, &json!({"org.opencontainers.image.ref.name": name})));
    Tar::new().whole(&one).file("oci-layout", 0o644, LAYOUT).json("index.json", &index(&names)).finish()
}

/// `skopeo copy docker://… oci-archive:file:v1`: nobody says of which repository.
fn skopeo() -> Vec<u8> {
    let one = image("one", Packing::Gzip);
    let list = index(&[annotated(&one, &json!({"org.opencontainers.image.ref.name": "v1"}))]);
    Tar::new().whole(&one).file("oci-layout", 0o644, LAYOUT).json("index.json", &list).finish()
}

/// The same with `--all`, of an image that was built with attestations.
fn skopeo_all() -> Vec<u8> {
    let name = json!({"org.opencontainers.image.ref.name": "one:1"});
    with_inner(&docker_image("one", Packing::Gzip), false, &name).finish()
}

/// `buildx build --output type=oci`, with an attestation and zstd.
fn buildx_oci() -> Vec<u8> {
    let mut annotations = both("docker.io/library/one:1", "1");
    annotations["org.opencontainers.image.created"] = json!("2024-01-01T00:00:00Z");
    with_inner(&image("one", Packing::Zstd), true, &annotations).finish()
}

/// One entry for each platform and each attestation in the list itself.
fn flat() -> Vec<u8> {
    let one = image("one", Packing::Gzip);
    let (inner, about) = inner_index(&one, false);
    let mut list: Value = serde_json::from_slice(&inner).unwrap();
    for entry in list["manifests"].as_array_mut().unwrap() {
        if entry["platform"]["os"] == "linux" {
            entry["annotations"] = both("docker.io/library/one:1", "1");
        }
    }
    let about: Vec<&[u8]> = about.iter().map(Vec::as_slice).collect();
    Tar::new().whole(&one).blobs(&about).json("index.json", &list).file("oci-layout", 0o644, LAYOUT).finish()
}

/// `buildx build --output type=docker`.
fn buildx_docker() -> Vec<u8> {
    let one = docker_image("one", Packing::Gzip);
    let list =
        json!([{"Config": blob_name(&one.config.bytes), "RepoTags": ["one:1"], "Layers": blob_paths(&one.layers)}]);
    let index = json!({"schemaVersion": 2, "manifests": [named(&one, "docker.io/library/one:1")]});
    Tar::new()
        .whole(&one)
        .json("index.json", &index)
        .json("manifest.json", &list)
        .file("oci-layout", 0o444, LAYOUT)
        .finish()
}

/// What go-containerregistry writes, and with it crane, ko and kaniko.
fn go_containerregistry() -> Vec<u8> {
    let one = docker_image("one", Packing::Gzip);
    let files: Vec<_> = one.layers.iter().map(|layer| format!("{}.tar.gz", hex(layer))).collect();
    let list = json!([{"Config": one.config.digest, "RepoTags": ["index.docker.io/library/one:1"], "Layers": files}]);
    let tar = Tar::new().file(&one.config.digest, 0o644, &one.config.bytes);
    let tar = files.iter().zip(&one.layers).fold(tar, |tar, (file, layer)| tar.file(file, 0o644, &layer.bytes));
    tar.json("manifest.json", &list).finish()
}

/// A folder that somebody packed: with `./` before each name, PAX headers, hard links, and what a Mac adds.
fn packed_by_hand() -> Vec<u8> {
    let (one, list) =
        (image("one", Packing::Zstd), index(&[annotated(&image("one", Packing::Zstd), &both("one:1", "1"))]));
    let mut tar = Tar::new().pax(&[("mtime", b"1600000000.123456789")]).dir("./", 0o755).dir("./blobs/", 0o755);
    tar = tar.file("./._index.json", 0o644, b"\0\x05\x16\x07").file("./first", 0o644, &one.layers[0].bytes);
    let name = format!("./blobs/sha256/{}", hex(&one.layers[0]));
    tar = tar.hard_link(&name, "./first");
    for blob in [&one.layers[1].bytes, &one.config.bytes, &one.manifest] {
        let name = format!("./blobs/sha256/{}", of(blob));
        tar = tar.pax(&[("path", name.as_bytes()), ("LIBARCHIVE.creationtime", b"1")]).file("./cut", 0o600, blob);
    }
    let text = list.to_string();
    tar = tar.pax(&[("path", b"./index.json"), ("mtime", b"1.5")]).file("./index.js", 0o644, text.as_bytes());
    tar.file("./oci-layout", 0o644, LAYOUT).finish()
}

/// The images that are meant to come out, by what is in their top layer, and their tags.
type Wanted = &'static [(&'static str, &'static [&'static str])];

const ONE: Wanted = &[("one", &["docker.io/library/one:1"])];
const TWO_NAMES: Wanted = &[("one", &["docker.io/library/one:1", "example.com/one:2"])];
const BARE: Wanted = &[("one", &[])];

fn all() -> Vec<(&'static str, Vec<u8>, Wanted)> {
    vec![
        ("docker 24", docker_24(), &[("one", &["docker.io/library/one:1", "example.com/one:2"]), ("two", &[])]),
        ("docker 25", docker_25_named(), TWO_NAMES),
        ("docker 25.0.0 by digest", docker_25_0_0_by_digest(), BARE),
        (
            "docker 25 by name and id",
            docker_25_by_name_and_id(),
            &[("one", &["docker.io/library/one:1"]), ("two", &[])],
        ),
        ("docker 25 by ids", docker_25_by_ids(), &[("one", &[]), ("two", &[])]),
        ("docker 29, ctr, nerdctl", docker_with_containerd(), ONE),
        ("ctr by ids", ctr_by_ids(), ONE),
        ("podman", podman_docker(), &[("one", &["docker.io/library/one:1", "example.com/one:2"]), ("two", &[])]),
        ("podman, OCI", podman_oci(), TWO_NAMES),
        ("skopeo", skopeo(), BARE),
        ("skopeo --all", skopeo_all(), ONE),
        ("buildx, OCI", buildx_oci(), ONE),
        ("all platforms in one list", flat(), ONE),
        ("buildx, docker", buildx_docker(), ONE),
        ("go-containerregistry", go_containerregistry(), ONE),
        ("packed by hand", packed_by_hand(), ONE),
    ]
}

async fn text_of(lab: &Lab, id: &peapod_image::ImageId) -> String {
    let rootfs = lab.images.lease(id, "test").await.unwrap();
    let text = std::fs::read_to_string(rootfs.lower_dirs[0].join("etc/text")).unwrap();
    lab.images.release("test").await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_each_tool_writes_is_read() {
    for (tool, archive, wanted) in all() {
        for packing in [Packing::Plain, Packing::Gzip] {
            let lab = Lab::new().await;
            let source = sent(&pack(&archive, packing), 50_000);
            let imported = lab.images.import(ImportRequest::default(), source).await;
            let imported = imported.unwrap_or_else(|error| panic!("{tool}: {error}"));
            let mut found = Vec::new();
            for one in &imported {
                found.push((text_of(&lab, &one.image.id).await, one.image.repo_tags.clone()));
            }
            let wanted: Vec<(String, Vec<String>)> = wanted
                .iter()
                .map(|(text, tags)| ((*text).to_owned(), tags.iter().map(|tag| (*tag).to_owned()).collect()))
                .collect();
            assert_eq!(found, wanted, "{tool}");
            assert_eq!(lab.images.list().len(), wanted.len(), "{tool}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_is_too_old_is_named() {
    let lab = Lab::new().await;
    let archive =
        Tar::new().dir("1/", 0o755).file("1/layer.tar", 0o644, b"").json("repositories", &json!({"a": {"1": "1"}}));
    let refused = lab.images.import(ImportRequest::default(), sent(&archive.finish(), 1000)).await.unwrap_err();
    assert!(refused.to_string().contains("older than 1.10"), "{refused}");
    lab.assert_nothing_left().await;
}
