//! Images from archives: of every form, and hostile ones. Needs root (owners, devices).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::archive::{blob_name, blobs, docker, entry, layout, named, sent};
use common::image::{Blob, Built, Packing, Tar, pack};
use common::{Lab, listing, wait_for};
use peapod_image::{ArchiveSource, Digest, ImportRequest, ImportedImage, pieces};
use serde_json::json;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn layer(text: &str) -> Vec<u8> {
    Tar::new().dir("etc/", 0o755).file("etc/text", 0o640, text.as_bytes()).symlink("link", "etc/text").finish()
}

fn image(text: &str, packing: Packing) -> Built {
    Built::new(&[(layer("below"), Packing::Gzip), (layer(text), packing)], false)
}

async fn import(lab: &Lab, archive: &[u8]) -> Result<Vec<ImportedImage>, String> {
    import_as(lab, archive, ImportRequest::default()).await
}

async fn import_as(lab: &Lab, archive: &[u8], request: ImportRequest) -> Result<Vec<ImportedImage>, String> {
    lab.images.import(request, sent(archive, 10_000)).await.map_err(|error| {
        assert!(error.is_archives() && !error.is_no_space(), "{error:?}");
        error.to_string()
    })
}

/// What a container would see of the image's top layer.
async fn content(lab: &Lab, name: &str) -> String {
    let image = lab.images.resolve(name).unwrap();
    let rootfs = lab.images.lease(&image.id, "test").await.unwrap();
    let text = std::fs::read_to_string(rootfs.lower_dirs[0].join("etc/text")).unwrap();
    lab.images.release("test").await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_layout_becomes_an_image_whatever_its_packing() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let mut lab = Lab::new().await;
        let built = image("above", packing);
        let archive = pack(&layout(&[named(&built, "example.com/a/b:1")], &blobs(&built)), packing);
        let imported = import(&lab, &archive).await.unwrap();
        let [one] = &imported[..] else { panic!("{imported:?}") };
        let digest = format!("example.com/a/b@{}", Digest::of(&built.manifest));
        assert_eq!(one.image.id.as_str(), built.config.digest);
        assert_eq!(
            (&one.image.repo_tags[..], &one.image.repo_digests[..]),
            (&["example.com/a/b:1".to_owned()][..], &[digest.clone()][..])
        );
        assert_eq!((one.was_here, &one.names[..]), (false, &["example.com/a/b:1".to_owned(), digest][..]));
        assert_eq!(content(&lab, "example.com/a/b:1").await, "above");
        lab.reopen().await;
        assert_eq!(content(&lab, "example.com/a/b:1").await, "above");
        // Again: nothing is made.
        let layers = lab.names_in("layers");
        assert!(import(&lab, &archive).await.unwrap()[0].was_here);
        assert_eq!((lab.names_in("layers"), lab.names_in("ingest")), (layers, vec![]));
        lab.images.remove("example.com/a/b:1").await.unwrap();
        lab.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_archive_of_docker_becomes_an_image() {
    let lab = Lab::new().await;
    for (number, packing) in [(1, Packing::Plain), (2, Packing::Gzip), (3, Packing::Zstd)] {
        let layers = [layer("below"), layer(&number.to_string())];
        let built = Built::new(&layers.clone().map(|layer| (layer, Packing::Plain)), true);
        let names = [format!("web:{number}"), format!("example.com/web:{number}")];
        let packed = layers.map(|layer| pack(&layer, packing));
        let imported = import(&lab, &docker(&built, &packed, &names.each_ref().map(|name| &name[..]))).await.unwrap();
        assert_eq!(imported[0].image.id.as_str(), built.config.digest);
        assert_eq!(imported[0].image.repo_tags, [format!("docker.io/library/web:{number}"), names[1].clone()]);
        assert!(imported[0].image.repo_digests.is_empty());
        assert_eq!(content(&lab, &names[0]).await, number.to_string());
    }
    assert_eq!(lab.names_in("layers").len(), 1 + 4, "what lies below is there once");
}

/// As the older ones are: layers that are the same are links.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn several_images_come_at_once_and_share_what_they_share() {
    let lab = Lab::new().await;
    let (below, above) = (layer("below"), layer("above"));
    let one = Built::new(&[(below.clone(), Packing::Plain)], true);
    let two = Built::new(&[(below.clone(), Packing::Plain), (above.clone(), Packing::Plain)], true);
    let list = json!([
        {"Config": "one.json", "RepoTags": ["one:1"], "Layers": ["1/layer.tar"]},
        {"Config": "two.json", "RepoTags": null, "Layers": ["2/layer.tar", "3/layer.tar"]},
    ]);
    let archive = Tar::new()
        .file("./one.json", 0o644, &one.config.bytes)
        .file("./two.json", 0o644, &two.config.bytes)
        .file("./1/layer.tar", 0o644, &below)
        .symlink("./2/layer.tar", "../1/layer.tar")
        .hard_link("./3/layer.tar", "./above.tar")
        .file("./above.tar", 0o644, &above)
        .file("./manifest.json", 0o644, list.to_string().as_bytes())
        .finish();
    let imported = import(&lab, &archive).await.unwrap();
    let ids: Vec<&str> = imported.iter().map(|one| one.image.id.as_str()).collect();
    assert_eq!(ids, [&one.config.digest, &two.config.digest]);
    assert!(imported[1].names.is_empty() && imported[1].image.repo_tags.is_empty());
    assert_eq!(lab.images.list().len(), 2);
    assert_eq!(lab.names_in("layers").len(), 3);
    assert_eq!(content(&lab, ids[1]).await, "above");

    // What one archive says of another name moves it.
    let renamed = ImportRequest { name: Some("one:1".into()), pin: true, ..Default::default() };
    let refused = import_as(&lab, &archive, renamed.clone()).await.unwrap_err();
    assert!(refused.contains("2 images"), "{refused}");
    let only = docker(&two, &[below, above], &["ignored:1"]);
    let moved = import_as(&lab, &only, renamed).await.unwrap();
    assert_eq!((moved[0].was_here, moved[0].image.pinned), (true, true));
    assert_eq!(moved[0].image.repo_tags, ["docker.io/library/one:1"]);
    assert!(lab.images.resolve(&one.config.digest).unwrap().repo_tags.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn the_machines_platform_is_taken_or_the_one_that_was_asked_for() {
    let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let (here, there) = (image("here", Packing::Gzip), image("there", Packing::Gzip));
    let for_machine = |image: &Built, architecture: &str| {
        entry(
            &image.manifest_type,
            &image.manifest,
            &json!({"platform": {"os": "linux", "architecture": architecture}}),
        )
    };
    let both = [for_machine(&there, "riscv64"), for_machine(&here, own)];
    let inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": both}).to_string().into_bytes();
    let nested = entry(INDEX, &inner, &json!({"annotations": {"org.opencontainers.image.ref.name": "multi:1"}}));
    let flat: Vec<_> = both
        .iter()
        .map(|entry| {
            let mut entry = entry.clone();
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": "multi:1"});
            entry
        })
        .collect();
    let all: Vec<&[u8]> = blobs(&here).into_iter().chain(blobs(&there)).chain([&inner[..]]).collect();
    for entries in [vec![nested.clone()], flat] {
        let lab = Lab::new().await;
        let archive = layout(&entries, &all);
        assert_eq!(import(&lab, &archive).await.unwrap()[0].image.id.as_str(), here.config.digest);
        assert_eq!(content(&lab, "multi:1").await, "here");
        let platform = |text: &str| ImportRequest { platform: Some(text.to_owned()), ..Default::default() };
        let other = import_as(&lab, &archive, platform("linux/riscv64")).await.unwrap();
        assert_eq!(other[0].image.id.as_str(), there.config.digest);
        assert_eq!(content(&lab, "multi:1").await, "there");
        for (text, says) in [("linux/s390x", "only for"), ("windows/amd64", "is no platform"), ("", "is no platform")] {
            let refused = import_as(&lab, &archive, platform(text)).await.unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
    }
    // Of those that are listed only one is there, as tools leave it that copy one of many.
    let lab = Lab::new().await;
    let some: Vec<&[u8]> = blobs(&here).into_iter().chain([&inner[..]]).collect();
    import(&lab, &layout(std::slice::from_ref(&nested), &some)).await.unwrap();
    let lab = Lab::new().await;
    let others: Vec<&[u8]> = blobs(&there).into_iter().chain([&inner[..]]).collect();
    let refused = import(&lab, &layout(&[nested], &others)).await.unwrap_err();
    assert!(refused.contains("has no blobs/sha256/"), "{refused}");
    lab.assert_nothing_left().await;
}

/// An archive that must be refused, and a word of what is said.
#[allow(clippy::too_many_lines, reason = "a list")]
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let good = image("good", Packing::Gzip);
    let all = blobs(&good);
    let entry_of = || named(&good, "good:1");
    let without = |blob: &[u8]| all.iter().filter(|other| **other != blob).copied().collect::<Vec<_>>();
    let mut swapped = Tar::new();
    for blob in &all {
        let content: &[u8] = if *blob == &good.layers[1].bytes[..] { &good.layers[0].bytes } else { blob };
        swapped = swapped.file(&blob_name(blob), 0o644, content);
    }
    let index = json!({"schemaVersion": 2, "manifests": [entry_of()]}).to_string();
    let swapped = swapped.file("index.json", 0o644, index.as_bytes()).finish();
    // As long as it should be, and another.
    let flipped = |at: &[u8]| {
        let mut tar = Tar::new();
        for blob in &all {
            let mut content = blob.to_vec();
            if *blob == at {
                let last = content.len() - 1;
                content[last] ^= 1;
            }
            tar = tar.file(&blob_name(blob), 0o644, &content);
        }
        tar.file("index.json", 0o644, index.as_bytes()).finish()
    };
    let escaping = Tar::new().symlink("index.json", "../../../../etc/hostname").finish();
    let absolute = Tar::new().symlink("index.json", "/etc/hostname").finish();
    let lying = Built::with_diff_ids(
        &[(layer("lying"), Packing::Gzip)],
        &[Digest::of(b"other").to_string()],
        false,
        &json!({}),
    );
    let whiteout = Tar::new().file(".wh.", 0o644, b"").finish();
    let bad_layer = Built::new(&[(whiteout, Packing::Gzip)], false);
    let twice = Tar::new().file("index.json", 0o644, index.as_bytes()).file("./index.json", 0o644, b"{}").finish();
    let mut nested = good.manifest.clone();
    let mut chain = Vec::new();
    let mut kind = good.manifest_type.clone();
    for _ in 0..8 {
        let inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(&kind, &nested, &json!({}))]});
        nested = inner.to_string().into_bytes();
        INDEX.clone_into(&mut kind);
        chain.push(nested.clone());
    }
    let deep: Vec<&[u8]> = all.iter().copied().chain(chain.iter().map(|index| &index[..])).collect();
    let deep = layout(&[entry(INDEX, &nested, &json!({}))], &deep);
    let config = Blob::new(b"{\"os\":\"windows\",\"architecture\":\"amd64\"}".to_vec());
    let windows = Built { config: config.clone(), layers: vec![], ..image("w", Packing::Gzip) };
    let windows = docker(&windows, &[], &["w:1"]);
    let names: Vec<String> = (0..257).map(|number| format!("a:{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let named_often = docker(&good, &[layer("below"), layer("good")], &names);
    let large = vec![b' '; 5 << 20];
    let list = |text: &str| Tar::new().file("manifest.json", 0o644, text.as_bytes()).finish();
    let mut cut = layout(&[entry_of()], &all);
    cut.truncate(cut.len() / 2);
    let two = {
        let bad = named(&bad_layer, "bad:1");
        let all: Vec<&[u8]> = all.iter().copied().chain(blobs(&bad_layer)).collect();
        layout(&[entry_of(), bad], &all)
    };
    vec![
        ("nothing", vec![], "neither index.json"),
        ("a text", b"this is no archive but a text that is longer than a header".repeat(20), "checksum"),
        ("bzip2", b"BZh91AY&SY".to_vec(), "bzip2"),
        ("gzip of nothing", pack(b"", Packing::Gzip), "neither index.json"),
        ("gzip, cut", pack(&layout(&[entry_of()], &all), Packing::Gzip)[..500].to_vec(), ""),
        ("cut", cut, "too early"),
        ("no list", Tar::new().file("file", 0o644, b"x").finish(), "neither index.json"),
        ("an empty list", layout(&[], &all), "lists no image"),
        ("a list that is none", list("{\"a\":1}"), "manifest.json"),
        ("a list of others", list("[{\"Config\":\"none.json\"}]"), "\"none.json\" is not in it"),
        ("a list that is large", Tar::new().file("index.json", 0o644, &large).finish(), "more than 4 MiB"),
        ("a list that is a folder", Tar::new().dir("index.json/", 0o755).finish(), "is no file"),
        ("two lists", twice, "more than once"),
        ("a link out", escaping, "neither index.json"),
        ("a link to the node", absolute, "neither index.json"),
        ("no manifest", layout(&[entry_of()], &without(&good.manifest)), "has no blobs/sha256/"),
        ("no configuration", layout(&[entry_of()], &without(&good.config.bytes)), "has no blobs/sha256/"),
        ("no layer", layout(&[entry_of()], &without(&good.layers[1].bytes)), "has no blobs/sha256/"),
        ("another layer", swapped, "its manifest says"),
        ("a damaged manifest", flipped(&good.manifest), "other bytes came"),
        ("a damaged configuration", flipped(&good.config.bytes), "other bytes came"),
        ("a damaged layer", flipped(&good.layers[1].bytes), "other bytes came"),
        ("a wrong diff id", layout(&[named(&lying, "lying:1")], &blobs(&lying)), "unpacks to"),
        ("a hostile layer", layout(&[named(&bad_layer, "bad:1")], &blobs(&bad_layer)), "whiteout"),
        ("one of two", two, "whiteout"),
        ("a bad name", layout(&[named(&good, "UPPER//x")], &all), "is not an image reference"),
        ("indexes in indexes", deep, "more than 4 indexes"),
        ("another system", windows, "only for windows"),
        ("too few layers", docker(&good, &[layer("below")], &["a:1"]), "has 1 layers"),
        ("many names", named_often, "more than 256 names"),
        ("other layers", docker(&good, &[layer("x"), layer("y")], &["a:1"]), "other bytes came"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn hostile_archives_change_nothing() {
    let lab = Lab::new().await;
    for (what, archive, says) in hostile() {
        let refused = import(&lab, &archive).await.expect_err(what);
        assert!(refused.contains(says), "{what}: {refused}");
        assert!(lab.images.list().is_empty(), "{what}");
    }
    lab.assert_nothing_left().await;
    // Bytes that are changed anywhere never make a panic, and never half of an image.
    let good = image("good", Packing::Gzip);
    let archive = layout(&[named(&good, "good:1")], &blobs(&good));
    for at in (0..archive.len()).step_by(37) {
        let mut damaged = archive.clone();
        damaged[at] = damaged[at].wrapping_add(1 + u8::try_from(at % 250).unwrap());
        if lab.images.import(ImportRequest::default(), sent(&damaged, 100_000)).await.is_ok() {
            let found = lab.images.list();
            assert_eq!(found.len(), 1, "{at}");
            assert_eq!(content(&lab, found[0].id.as_str()).await, "good", "{at}");
            lab.images.remove(found[0].id.as_str()).await.unwrap();
        }
    }
    lab.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_archive_that_breaks_off_leaves_nothing() {
    let lab = Lab::new().await;
    let built = image("x", Packing::Gzip);
    let archive = layout(&[named(&built, "a:1")], &blobs(&built));
    // The client leaves in the middle of it.
    let (writer, reader) = pieces();
    let (import, ()) =
        tokio::join!(lab.images.import(ImportRequest::default(), ArchiveSource::Pieces(reader)), async {
            assert!(writer.write(archive[..archive.len() / 2].to_vec()).await);
            drop(writer);
        });
    let error = import.unwrap_err();
    assert!(error.to_string().contains("did not come to its end") && !error.is_archives(), "{error}");
    lab.assert_nothing_left().await;
    // Or its call is dropped: who reads goes, and says so.
    let (writer, reader) = pieces();
    let task = {
        let images = lab.images.clone();
        tokio::spawn(async move { images.import(ImportRequest::default(), ArchiveSource::Pieces(reader)).await })
    };
    assert!(writer.write(archive[..600].to_vec()).await);
    wait_for("the archive's file", || !lab.names_in("trash").is_empty() || lab.names_in("ingest").is_empty()).await;
    task.abort();
    drop(writer);
    lab.assert_nothing_left().await;
    assert!(lab.images.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_an_archive_may_cost_is_bounded() {
    let lab = Lab::with(|config| config.limits.image_bytes = 1 << 20).await;
    let built = Built::new(&[(Tar::new().file("large", 0o644, &vec![7; 2 << 20]).finish(), Packing::Gzip)], false);
    let archive = layout(&[named(&built, "a:1")], &blobs(&built));
    assert!(archive.len() < 1 << 20, "it is small before it is unpacked");
    let refused = import(&lab, &archive).await.unwrap_err();
    assert!(refused.contains("image.max_image_bytes"), "{refused}");
    let bomb = pack(&Tar::new().file("zeros", 0o644, &vec![0; 4 << 20]).finish(), Packing::Zstd);
    assert!(import(&lab, &bomb).await.unwrap_err().contains("image.max_image_bytes"));
    lab.assert_nothing_left().await;
    let lab = Lab::with(|config| config.limits.reserve_percent = 50).await;
    let free = rustix::fs::statvfs(lab.root("")).unwrap();
    if free.f_bavail < free.f_blocks / 2 {
        let full = lab.images.import(ImportRequest::default(), sent(&archive, 1 << 20)).await.unwrap_err();
        assert!(full.is_no_space() && full.to_string().contains("No space left"), "{full}");
        lab.assert_nothing_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_file_is_imported_where_it_lies() {
    let lab = Lab::new().await;
    let built = image("file", Packing::Zstd);
    let archive = layout(&[named(&built, "a:1")], &blobs(&built));
    for packing in [Packing::Plain, Packing::Zstd] {
        let path = lab.dir.path().join("archive");
        std::fs::write(&path, pack(&archive, packing)).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let source = ArchiveSource::File(file, "images/archive".into());
        lab.images.import(ImportRequest::default(), source).await.unwrap();
        let id = lab.images.resolve("a:1").unwrap().id.clone();
        let rootfs = lab.images.lease(&id, "test").await.unwrap();
        assert_eq!(listing(&rootfs.lower_dirs[0]).len(), 3);
        lab.images.release("test").await.unwrap();
        lab.images.remove("a:1").await.unwrap();
        lab.assert_nothing_left().await;
    }
}
