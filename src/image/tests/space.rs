//! What pulls take while they run: the disk's reserve also holds for compressed layers, and memory for large documents
//! is shared. Needs root.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::image::{Built, Packing, Tar};
use common::stub::{Asked, Reply, Stub};
use common::{Lab, request, wait_for};
use peapod_image::{Digest, Images, PullError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A small file system of its own, gone with the test.
struct Disk(PathBuf);

impl Disk {
    fn new(at: &Path, size: &str) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=700");
        assert!(
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "disk"]).arg(at).status().unwrap().success()
        );
        Self(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Bytes that no compression makes smaller.
fn noise(seed: u8, size: usize) -> Vec<u8> {
    let blocks = (0..size / 32).map(|number| Digest::of(&[&[seed][..], &number.to_le_bytes()].concat()));
    blocks.flat_map(|digest| hex::decode(digest.hex()).unwrap()).collect()
}

fn layer(name: &str, content: &[u8]) -> (Vec<u8>, Packing) {
    (Tar::new().file(name, 0o644, content).finish(), Packing::Plain)
}

/// Changes the manifest of an image.
fn with_manifest(image: &Built, change: impl FnOnce(&mut serde_json::Value)) -> Built {
    let mut manifest = serde_json::from_slice(&image.manifest).unwrap();
    change(&mut manifest);
    Built { manifest: serde_json::to_vec(&manifest).unwrap(), ..image.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_manifest_declares_has_to_fit() {
    let image = Built::new(&[layer("a", b"a"), layer("b", b"b")], false);
    let declaring = |size: u64| with_manifest(&image, |manifest| manifest["layers"][0]["size"] = size.into());
    let (much, more) = (declaring(10 << 40), declaring(200 << 30));
    let stub = Stub::serving(&[("much:1", &much), ("more:1", &more)], |_, _| None).await;
    let layers = || image.layers.iter().map(|layer| stub.count(&layer.digest)).sum::<usize>();

    let lab = Lab::new().await;
    let error = lab.images.pull(request(&format!("{}/much:1", stub.host()))).await.unwrap_err().to_string();
    assert!(error.contains("declares 10995116277760 bytes") && error.contains("image.max_layer_bytes"), "{error}");
    let small = Lab::with(|config| config.limits.image_bytes = 150 << 30).await;
    let error = small.images.pull(request(&format!("{}/more:1", stub.host()))).await.unwrap_err().to_string();
    assert!(error.contains("image.max_image_bytes"), "{error}");
    assert_eq!(layers(), 0, "no layer is asked for");

    let boundless =
        Lab::with(|config| (config.limits.layer_bytes, config.limits.image_bytes) = (u64::MAX, u64::MAX)).await;
    let huge = declaring(1 << 60);
    let stub = Stub::serving(&[("huge:1", &huge)], |_, _| None).await;
    let error = boundless.images.pull(request(&format!("{}/huge:1", stub.host()))).await.unwrap_err();
    assert!(matches!(error, PullError::Disk { .. }) && error.to_string().contains("disk_reserve_percent"), "{error}");
    assert_eq!(stub.count(&image.layers[0].digest), 0);
    for lab in [lab, small, boundless] {
        lab.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn layers_on_their_way_leave_the_reserve_free() {
    // Each fits by itself, together they don't. They hide something and their content is passed over: nothing of them
    // is unpacked, so only the compressed bytes take room.
    let image = Built::new(&[layer(".wh.a", &noise(1, 11 << 20)), layer(".wh.b", &noise(2, 11 << 20))], false);
    let place = tempfile::tempdir().unwrap();
    let disk = Disk::new(&place.path().join("disk"), "24m");
    let lab = Lab::with(|config| {
        config.state_root = disk.0.join("state");
        config.limits.reserve_percent = 50;
    })
    .await;
    // The first one stays until the other has been refused.
    let first = image.layers[0].clone();
    let slow = move |_, asked: &Asked| {
        let reply = asked.path.contains(&first.digest).then(|| Reply::new(200, first.bytes.clone()))?;
        Some(reply.trickling(first.bytes.len() - 100, Duration::from_secs(1)))
    };
    let stub = Stub::serving(&[("two:1", &image)], slow).await;
    let error = lab.images.pull(request(&format!("{}/two:1", stub.host()))).await.unwrap_err();
    assert!(matches!(error, PullError::Disk { .. }) && error.to_string().contains("disk_reserve_percent"), "{error}");
    assert!(error.to_string().contains(".part"), "it is the compressed layer that is refused: {error}");
    // No part stays either: its room is needed.
    lab.assert_nothing_left().await;
    let small = Built::new(&[layer("c", &noise(3, 1 << 20))], false);
    let stub = Stub::serving(&[("small:1", &small)], |_, _| None).await;
    lab.images.pull(request(&format!("{}/small:1", stub.host()))).await.unwrap();
}

/// An image whose manifest is large.
fn large(name: &str) -> Built {
    let image = Built::new(&[layer(name, name.as_bytes())], false);
    with_manifest(&image, |manifest| manifest["x"] = "x".repeat(200_000).into())
}

fn begin(images: &Images, name: String) -> tokio::task::JoinHandle<()> {
    let images = images.clone();
    tokio::spawn(async move { drop(images.pull(request(&name)).await) })
}

async fn served(lab: &Lab, name: &str) {
    let pulled = tokio::time::timeout(Duration::from_secs(10), lab.images.pull(request(name))).await;
    pulled.unwrap_or_else(|_| panic!("{name} starves")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn few_pulls_hold_large_documents() {
    let lab = Lab::new().await;
    let (evil, good, small) = (large("evil"), large("good"), Built::new(&[layer("small", b"small")], false));
    let manifest = evil.manifest.clone();
    // More than is free, and then next to nothing.
    let trickle = move |_, asked: &Asked| {
        let evil = asked.path.contains("/evil") && asked.path.contains("/manifests/");
        evil.then(|| Reply::new(200, manifest.clone()).trickling(100_000, Duration::from_millis(200)))
    };
    let stub = Stub::serving(&[("good:1", &good), ("small:1", &small)], trickle).await;
    let pulls: Vec<_> = (0..8).map(|number| begin(&lab.images, format!("{}/evil{number}:1", stub.host()))).collect();
    wait_for("eight manifests", || stub.about("/evil").iter().filter(|asked| asked.method == "GET").count() == 8).await;
    served(&lab, &format!("{}/small:1", stub.host())).await;

    let late = begin(&lab.images, format!("{}/good:1", stub.host()));
    wait_for("the ninth", || stub.count("/good/manifests/") > 0).await;
    served(&lab, &format!("{}/small:1", stub.host())).await;
    assert!(!late.is_finished() && stub.count("/good/blobs/") == 0, "it waits");
    // Those that trickle make way for it.
    tokio::time::timeout(Duration::from_secs(15), late).await.unwrap().unwrap();
    assert!(lab.images.resolve(&format!("{}/good:1", stub.host())).is_some());
    assert!(pulls.iter().any(|pull| !pull.is_finished()), "and come again");
    for pull in &pulls {
        pull.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn no_large_document_is_held_while_layers_come() {
    let lab = Lab::new().await;
    let images: Vec<_> = (0..8).map(|number| (format!("evil{number}:1"), large(&format!("evil{number}")))).collect();
    let good = large("good");
    let all: Vec<_> = images.iter().map(|(name, image)| (name.as_str(), image)).chain([("good:1", &good)]).collect();
    let configs: Vec<_> = images.iter().map(|(_, image)| image.config.digest.clone()).collect();
    let trickle = move |_, asked: &Asked| {
        let layer = asked.path.contains("/evil") && asked.path.contains("/blobs/");
        let layer = layer && !configs.iter().any(|config| asked.path.contains(config));
        layer.then(|| Reply::new(200, vec![0; 1000]).trickling(0, Duration::from_millis(500)))
    };
    let stub = Stub::serving(&all, trickle).await;
    let pulls: Vec<_> = images.iter().map(|(name, _)| begin(&lab.images, format!("{}/{name}", stub.host()))).collect();
    let parked =
        || lab.names_in("ingest").iter().filter(|name| lab.root("ingest").join(name).join("manifest").exists()).count();
    wait_for("documents on disk", || parked() == 8).await;
    served(&lab, &format!("{}/good:1", stub.host())).await;
    let image = lab.images.resolve(&format!("{}/good:1", stub.host())).unwrap();
    assert_eq!(lab.images.configuration(&image.id).await.unwrap().unwrap(), good.config.bytes);
    for pull in &pulls {
        pull.abort();
    }
    wait_for("the documents to go", || parked() == 0).await;
}
