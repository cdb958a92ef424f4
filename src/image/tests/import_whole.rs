//! Images from archives: all of one or none, whatever else goes on, and what archives may cost. Needs root (owners).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::archive::{blobs, docker, entry, layout, named, sent};
use common::image::{Blob, Built, Packing, Tar};
use common::{Lab, wait_for};
use futures_util::FutureExt;
use peapod_image::{ArchiveSource, Digest, ImportRequest, PieceWriter, pieces};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn layer(text: &str) -> Vec<u8> {
    Tar::new().file("text", 0o640, text.as_bytes()).finish()
}

fn image(text: &str) -> Built {
    Built::new(&[(layer("below"), Packing::Gzip), (layer(text), Packing::Gzip)], false)
}

/// An archive of so many images, each with a name and a layer of its own.
fn many(count: usize) -> Vec<u8> {
    let images: Vec<Built> = (0..count).map(|number| image(&number.to_string())).collect();
    let entries: Vec<Value> =
        images.iter().enumerate().map(|(number, image)| named(image, &format!("many:{number}"))).collect();
    let all: Vec<&[u8]> = images.iter().flat_map(blobs).collect();
    layout(&entries, &all)
}

async fn refused(lab: &Lab, archive: &[u8], request: ImportRequest) -> String {
    let error = lab.images.import(request, sent(archive, 100_000)).await.unwrap_err();
    assert!(error.is_archives(), "{error:?}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn the_images_of_an_archive_show_together() {
    const COUNT: usize = 30;
    let lab = Lab::new().await;
    let archive = many(COUNT);
    let (ended, images) = (Arc::new(AtomicBool::new(false)), lab.images.clone());
    // Whoever looks at any moment sees all of them or none.
    let watch = std::thread::spawn({
        let ended = Arc::clone(&ended);
        move || {
            let mut seen = Vec::new();
            while !ended.load(Ordering::SeqCst) {
                let count = images.list().len();
                if seen.last() != Some(&count) {
                    seen.push(count);
                }
                std::thread::yield_now();
            }
            seen
        }
    });
    let imported = lab.images.import(ImportRequest::default(), sent(&archive, 100_000)).await;
    wait_for("the list", || lab.images.list().len() == COUNT).await;
    ended.store(true, Ordering::SeqCst);
    let seen = watch.join().unwrap();
    assert!(seen.iter().all(|count| [0, COUNT].contains(count)), "{seen:?}");
    let imported = imported.unwrap();
    let names = imported.iter().enumerate().map(|(number, one)| {
        assert_eq!(one.image.repo_tags, [format!("docker.io/library/many:{number}")]);
        &one.image.id
    });
    let mut ids: Vec<_> = names.collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), COUNT);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn of_two_images_with_one_name_the_last_has_it() {
    let lab = Lab::new().await;
    let (one, two) = (image("one"), image("two"));
    let all: Vec<&[u8]> = blobs(&one).into_iter().chain(blobs(&two)).collect();
    let archive = layout(&[named(&one, "a:1"), named(&two, "a:1")], &all);
    let imported = lab.images.import(ImportRequest::default(), sent(&archive, 1000)).await.unwrap();
    let tag = "docker.io/library/a:1".to_owned();
    assert!(!imported[0].names.contains(&tag) && imported[1].names.contains(&tag), "{imported:?}");
    assert_eq!(lab.images.resolve("a:1").unwrap().id.as_str(), two.config.digest);
}

/// Garbage collection takes what an import has found to be here, as often as it can.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_import_beside_removals_has_all_images_at_its_end() {
    let lab = Lab::new().await;
    let archive = many(8);
    for _ in 0..10 {
        let (ended, images) = (Arc::new(AtomicBool::new(false)), lab.images.clone());
        let removing = tokio::spawn({
            let ended = Arc::clone(&ended);
            async move {
                while !ended.load(Ordering::SeqCst) {
                    for image in images.list().iter() {
                        images.remove(image.id.as_str()).await.unwrap();
                    }
                    tokio::task::yield_now().await;
                }
            }
        });
        for _ in 0..2 {
            let imported = lab.images.import(ImportRequest::default(), sent(&archive, 100_000)).await.unwrap();
            assert_eq!(imported.len(), 8);
            assert!(imported.iter().all(|one| one.image.repo_tags.len() == 1));
        }
        ended.store(true, Ordering::SeqCst);
        removing.await.unwrap();
    }
    // What was removed left nothing, and what comes now stays.
    for image in lab.images.list().iter() {
        lab.images.remove(image.id.as_str()).await.unwrap();
    }
    lab.assert_nothing_left().await;
    lab.images.import(ImportRequest::default(), sent(&archive, 100_000)).await.unwrap();
    assert_eq!(lab.images.list().len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_image_without_a_name_is_not_pinned() {
    let lab = Lab::new().await;
    let (one, other) = (image("one"), image("other"));
    let bare = entry(&one.manifest_type, &one.manifest, &json!({}));
    let pin = || ImportRequest { pin: true, ..Default::default() };
    // Not even those beside it that have one.
    let all: Vec<&[u8]> = blobs(&one).into_iter().chain(blobs(&other)).collect();
    let said = refused(&lab, &layout(&[named(&other, "other:1"), bare.clone()], &all), pin()).await;
    assert!(said.contains("can't be pinned") && said.contains("--name"), "{said}");
    let said = refused(&lab, &docker(&one, &[layer("below"), layer("one")], &[]), pin()).await;
    assert!(said.contains("can't be pinned"), "{said}");
    assert!(lab.images.list().is_empty());
    // With a name it is, and under a digest alone.
    let archive = layout(&[bare], &blobs(&one));
    let request = ImportRequest { name: Some("given:1".to_owned()), ..pin() };
    assert!(lab.images.import(request, sent(&archive, 1000)).await.unwrap()[0].image.pinned);
    let digest = format!("other@{}", Digest::of(&other.manifest));
    let archive = layout(&[named(&other, &digest)], &blobs(&other));
    let imported = lab.images.import(pin(), sent(&archive, 1000)).await.unwrap();
    assert!(imported[0].image.pinned && imported[0].image.repo_tags.is_empty());
    assert_eq!(imported[0].image.repo_digests.len(), 1);
}

/// An image whose configuration is about as long as one may be.
fn heavy(number: usize) -> Built {
    let run = json!({"Labels": {}});
    let mut built = Built::with_config(&[(layer("below"), Packing::Gzip)], false, &run);
    let mut config: Value = serde_json::from_slice(&built.config.bytes).unwrap();
    config["history"] = json!([{"comment": format!("{number}{}", "x".repeat(3_900_000))}]);
    built.config = Blob::new(config.to_string().into_bytes());
    let mut manifest: Value = serde_json::from_slice(&built.manifest).unwrap();
    manifest["config"]["digest"] = json!(built.config.digest);
    manifest["config"]["size"] = json!(built.config.bytes.len());
    built.manifest = manifest.to_string().into_bytes();
    built
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn documents_of_all_images_are_bounded_together() {
    let lab = Lab::new().await;
    let images: Vec<Built> = (0..9).map(heavy).collect();
    let entries: Vec<Value> =
        images.iter().enumerate().map(|(number, image)| named(image, &format!("heavy:{number}"))).collect();
    let all: Vec<&[u8]> = images.iter().flat_map(blobs).collect();
    let said = refused(&lab, &layout(&entries, &all), ImportRequest::default()).await;
    assert!(said.contains("manifests and configurations have more than 32 MiB"), "{said}");
    assert!(lab.images.list().is_empty());
    lab.assert_nothing_left().await;
    let imported = lab.images.import(ImportRequest::default(), sent(&layout(&entries[..8], &all), 1 << 20)).await;
    assert_eq!(imported.unwrap().len(), 8);
}

/// One empty layer, as often as an image may have it, above another one in each image.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn layers_of_all_images_are_bounded_together() {
    let lab = Lab::new().await;
    let empty = Tar::new().finish();
    let (mut list, mut files) = (Vec::new(), Tar::new().file("e", 0o644, &empty));
    for number in 0..132 {
        let mut layers = vec![(layer(&number.to_string()), Packing::Plain)];
        layers.resize(500, (empty.clone(), Packing::Plain));
        let built = Built::new(&layers, true);
        let (config, first) = (format!("{number}.json"), number.to_string());
        files = files.file(&config, 0o644, &built.config.bytes).file(&first, 0o644, &layers[0].0);
        let names: Vec<&str> = std::iter::once(&first[..]).chain(std::iter::repeat_n("e", 499)).collect();
        list.push(json!({"Config": config, "RepoTags": [format!("many:{number}")], "Layers": names}));
    }
    let archive = files.file("manifest.json", 0o644, json!(list).to_string().as_bytes()).finish();
    let said = refused(&lab, &archive, ImportRequest::default()).await;
    assert!(said.contains("more than 65536 layers"), "{said}");
    lab.assert_nothing_left().await;
}

/// Each image leads over many large documents that are not for this machine.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn documents_that_are_looked_at_are_bounded_together() {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let lab = Lab::new().await;
    let mut padded = heavy(0);
    let mut elsewhere: Value = serde_json::from_slice(&padded.config.bytes).unwrap();
    elsewhere["architecture"] = json!("s390x");
    padded.config = Blob::new(elsewhere.to_string().into_bytes());
    let mut manifest: Value = serde_json::from_slice(&padded.manifest).unwrap();
    manifest["config"]["digest"] = json!(padded.config.digest);
    padded.manifest = manifest.to_string().into_bytes();
    let good = image("good");
    let bad = entry(&padded.manifest_type, &padded.manifest, &json!({}));
    let mut inner = vec![bad; 14];
    inner.push(entry(&good.manifest_type, &good.manifest, &json!({})));
    let inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": inner}).to_string().into_bytes();
    let name = |number: usize| json!({"annotations": {"io.containerd.image.name": format!("many:{number}")}});
    // Each the same image, by another index.
    let indexes: Vec<Vec<u8>> = (0..10).map(|number| [&inner[..], &b" ".repeat(number)].concat()).collect();
    let entries: Vec<Value> =
        indexes.iter().enumerate().map(|(number, index)| entry(INDEX, index, &name(number))).collect();
    let mut all: Vec<&[u8]> = blobs(&good).into_iter().chain(blobs(&padded)).collect();
    all.extend(indexes.iter().map(Vec::as_slice));
    let said = refused(&lab, &layout(&entries, &all), ImportRequest::default()).await;
    assert!(said.contains("more than 256 MiB of documents"), "{said}");
    lab.assert_nothing_left().await;
}

/// An archive of which nothing has been sent yet.
fn opened(lab: &Lab) -> (PieceWriter, tokio::task::JoinHandle<bool>) {
    let (writer, reader) = pieces();
    let images = lab.images.clone();
    let import = async move { images.import(ImportRequest::default(), ArchiveSource::Pieces(reader)).await.is_ok() };
    (writer, tokio::spawn(import))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn nothing_is_wanted_of_an_archive_that_waits_for_its_turn() {
    let lab = Lab::with(|config| config.max_downloads = 2).await;
    let built = image("a");
    let archive = layout(&[named(&built, "a:1")], &blobs(&built));
    let (mut first, one) = opened(&lab);
    let (mut second, two) = opened(&lab);
    assert!(first.wanted().await && second.wanted().await);
    let (mut third, three) = opened(&lab);
    // However much of the others comes.
    for piece in archive.chunks(100) {
        assert!(first.write(piece.to_vec()).await && second.write(piece.to_vec()).await);
    }
    assert!(third.wanted().now_or_never().is_none(), "two are read at a time");
    for (writer, task) in [(first, one), (second, two)] {
        writer.finish().await;
        assert!(task.await.unwrap());
    }
    assert!(third.wanted().await);
    drop(third);
    assert!(!three.await.unwrap());
}
