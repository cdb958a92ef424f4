//! Artifacts from a real registry. Needs root (overlays) and Debian's docker-registry.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::image::{Blob, Built, Packing, Tar};
use common::registry::Registry;
use common::{Lab, request, wait_for};
use peapod_image::{PullError, RemoveError};
use serde_json::{Value, json};
use std::path::Path;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const KIND: &str = "application/vnd.example.model";

fn described(kind: &str, blob: &Blob, title: Option<&str>) -> Value {
    let annotations = title.map_or(json!({}), |title| json!({ "org.opencontainers.image.title": title }));
    json!({ "mediaType": kind, "digest": blob.digest, "size": blob.bytes.len(), "annotations": annotations })
}

/// Pushes an artifact of these files, and answers with its digest.
async fn push(registry: &Registry, name: &str, files: &[(Option<&str>, &[u8])]) -> String {
    let config = Blob::new(b"{}".to_vec());
    registry.push_blob(name, &config).await;
    let mut layers = Vec::new();
    for (title, bytes) in files {
        let blob = Blob::new(bytes.to_vec());
        registry.push_blob(name, &blob).await;
        layers.push(described("application/octet-stream", &blob, *title));
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": KIND, "layers": layers,
        "config": described("application/vnd.oci.empty.v1+json", &config, None),
        "annotations": { "version": "7" },
    });
    registry.push_manifest(name, "latest", MANIFEST, manifest.to_string().into_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_artifact_is_pulled_listed_leased_and_removed() {
    let (registry, mut lab) = (Registry::start().await, Lab::new().await);
    let large = vec![42_u8; 3 << 20];
    let files: [(Option<&str>, &[u8]); 4] =
        [(Some("model.bin"), &large), (Some("conf/a.json"), b"{}"), (Some("conf/b.json"), b"[]"), (None, b"untitled")];
    let digest = push(&registry, "model", &files).await;
    let name = format!("{}/model:latest", registry.host());
    let artifact = lab.images.pull(request(&name)).await.unwrap();
    assert_eq!((artifact.id.to_string(), artifact.config.artifact_type.as_str()), (digest.clone(), KIND));
    assert!(artifact.config.is_artifact() && artifact.size > 3 << 20);
    assert_eq!(artifact.annotations["version"], "7");
    assert_eq!(lab.images.pull(request(&name)).await.unwrap(), artifact, "a second pull finds it");
    lab.reopen().await;
    assert_eq!(*lab.images.list(), *std::slice::from_ref(&artifact));
    assert!(lab.names_in("ingest").is_empty());

    let files = lab.images.lease_volume(&artifact.id, "c", "volume-0").await.unwrap();
    for (path, content) in [("/model.bin", &large[..]), ("/conf/a.json", b"{}"), ("/conf/b.json", b"[]")] {
        assert_eq!(files.read_file(path, 4 << 20).unwrap().unwrap(), content, "{path}");
    }
    let untitled = Blob::new(b"untitled".to_vec()).digest;
    let untitled = untitled.strip_prefix("sha256:").unwrap();
    assert_eq!(files.read_file(untitled, 100).unwrap().unwrap(), b"untitled");
    assert!(files.part(Path::new("/conf")).unwrap().has(Path::new("b.json")));

    let refused = lab.images.remove(&name).await.unwrap_err();
    assert!(matches!(&refused, RemoveError::InUse { .. }) && refused.to_string().contains("\"c\""), "{refused}");
    assert_eq!(lab.images.list().len(), 1);
    let refused = lab.images.export(std::slice::from_ref(&digest)).await.err().unwrap().to_string();
    assert!(refused.contains("artifact"), "{refused}");
    lab.images.release("c").await.unwrap();
    lab.images.remove(&digest).await.unwrap();
    lab.assert_nothing_left().await;
    wait_for("used bytes to fall", || lab.images.fs_info().used_bytes == 0).await;
}

/// A file's title, if it has one, and what is in it.
type TitledFile<'a> = (Option<&'a str>, &'a [u8]);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_is_no_file_is_refused_and_leaves_nothing() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let hostile: [(&str, &[TitledFile<'_>]); 4] = [
        ("up", &[(Some("../../etc/cron.d/x"), b"x")]),
        ("root", &[(Some("/etc/cron.d/x"), b"x")]),
        ("twice", &[(Some("a"), b"x"), (Some("./a"), b"y")]),
        ("below", &[(Some("a"), b"x"), (Some("a/b"), b"y")]),
    ];
    for (name, files) in hostile {
        push(&registry, name, files).await;
        let refused = lab.images.pull(request(&format!("{}/{name}", registry.host()))).await.unwrap_err();
        assert!(matches!(&refused, PullError::Manifest { .. }), "{name}: {refused}");
    }
    lab.assert_nothing_left().await;
}

/// The same bytes as a layer and as a file are two things.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_archive_in_an_artifact_stays_one() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let tar = Tar::new().file("inside", 0o644, b"unpacked").finish();
    let image = Built::new(&[(tar.clone(), Packing::Plain)], false);
    registry.push("same", "image", &image).await;
    push(&registry, "same", &[(Some("layer.tar"), &tar)]).await;
    let image = lab.images.pull(request(&format!("{}/same:image", registry.host()))).await.unwrap();
    let artifact = lab.images.pull(request(&format!("{}/same:latest", registry.host()))).await.unwrap();
    let unpacked = lab.images.lease_volume(&image.id, "c", "volume-0").await.unwrap();
    let kept = lab.images.lease_volume(&artifact.id, "c", "volume-1").await.unwrap();
    assert_eq!(unpacked.read_file("inside", 100).unwrap().unwrap(), b"unpacked");
    assert_eq!(kept.read_file("layer.tar", 1 << 20).unwrap().unwrap(), tar);
    assert!(kept.read_file("inside", 100).unwrap().is_none());
}
