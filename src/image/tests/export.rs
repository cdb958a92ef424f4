//! Images into archives and back. Needs root (owners, devices).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::archive::{blobs, layout, named, sent};
use common::image::{Built, Packing, Tar};
use common::{Lab, corpus, listing, wait_for};
use peapod_image::{Digest, ImportRequest};
use std::path::Path;
use std::process::Command;

async fn import(lab: &Lab, archive: &[u8]) {
    lab.images.import(ImportRequest::default(), sent(archive, 50_000)).await.unwrap();
}

async fn export(lab: &Lab, names: &[&str]) -> Result<Vec<u8>, String> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut pieces = lab.images.export(&names).await.map_err(|error| error.to_string())?;
    let mut archive = Vec::new();
    while let Some(piece) = pieces.next().await {
        archive.extend(piece.map_err(|error| error.to_string())?);
    }
    Ok(archive)
}

/// What all layers of an image hold, the top one first.
async fn layers(lab: &Lab, name: &str) -> Vec<Vec<String>> {
    let image = lab.images.resolve(name).unwrap();
    let rootfs = lab.images.lease(&image.id, "test").await.unwrap();
    // A whiteout is as old as the directory that it is in.
    let timeless = |line: String| match line.contains(" char 0:0 ") {
        true => line.rsplit_once(' ').unwrap().0.to_owned(),
        false => line,
    };
    let listed = rootfs.lower_dirs.iter().map(|dir| listing(dir).into_iter().map(timeless).collect()).collect();
    lab.images.release("test").await.unwrap();
    listed
}

/// All that GNU tar can write, long names and large owners too, and what hides things below.
fn rich(dir: &Path) -> Built {
    let root = dir.join("root");
    corpus::tree(&root);
    let written = Command::new("tar")
        .args(["--format=posix", "--xattrs", "--xattrs-include=*", "-cf", "-", "."])
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(written.status.success());
    let above = Tar::new()
        .dir("d/", 0o750)
        .file("d/.wh..wh..opq", 0o644, b"")
        .file("d/new", 0o4755, b"new")
        .file(".wh.f", 0o644, b"")
        .file("implied/file", 0o600, "ä".repeat(300).as_bytes())
        .finish();
    let run =
        serde_json::json!({"Env": ["A=b"], "Cmd": ["/bin/true"], "Labels": {"l": "v"}, "ExposedPorts": {"80/tcp": {}}});
    Built::with_config(&[(written.stdout, Packing::Gzip), (above, Packing::Zstd)], false, &run)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_image_comes_back_as_it_was() {
    let (lab, other, dir) = (Lab::new().await, Lab::new().await, tempfile::tempdir().unwrap());
    let built = rich(dir.path());
    import(&lab, &layout(&[named(&built, "rich:1")], &blobs(&built))).await;
    let archive = export(&lab, &["rich:1"]).await.unwrap();
    assert_eq!(export(&lab, &["rich:1"]).await.unwrap(), archive, "the same image makes the same bytes");
    import(&other, &archive).await;
    assert_eq!(layers(&other, "rich:1").await, layers(&lab, "rich:1").await);
    let (before, after) = (lab.images.resolve("rich:1").unwrap(), other.images.resolve("rich:1").unwrap());
    assert_eq!((&before.config, &before.repo_tags), (&after.config, &after.repo_tags));
    let configuration = other.images.configuration(&after.id).await.unwrap().unwrap();
    assert!(String::from_utf8(configuration).unwrap().contains("ExposedPorts"), "what peapod does not use stays");
    // From then on it is the same under the same id.
    assert_eq!(export(&other, &["rich:1"]).await.unwrap(), archive);
    // GNU tar reads it, and each of its layers.
    let unpacked = dir.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    std::fs::write(dir.path().join("archive"), &archive).unwrap();
    let tar = |file: &Path, options: &str| {
        let done =
            Command::new("tar").args([options, &file.to_string_lossy()]).current_dir(&unpacked).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    tar(&dir.path().join("archive"), "-xf");
    let blobs: Vec<_> = std::fs::read_dir(unpacked.join("blobs/sha256")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(blobs.len(), 4);
    for blob in blobs {
        let bytes = std::fs::read(&blob).unwrap();
        assert_eq!(Some(Digest::of(&bytes).hex()), blob.file_name().unwrap().to_str());
        if bytes.first() != Some(&b'{') {
            tar(&blob, "-tf");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn several_are_in_one_archive_and_share_what_they_share() {
    let (lab, other) = (Lab::new().await, Lab::new().await);
    let layer = |text: &str| (Tar::new().file("file", 0o644, text.as_bytes()).finish(), Packing::Gzip);
    let one = Built::new(&[layer("below")], false);
    let two = Built::new(&[layer("below"), layer("above")], false);
    import(&lab, &layout(&[named(&one, "one:1")], &blobs(&one))).await;
    import(&lab, &layout(&[named(&two, "two:1"), named(&two, "two:2")], &blobs(&two))).await;
    let archive = export(&lab, &["one:1", "two:1", "two:2"]).await.unwrap();
    assert_eq!(export(&lab, &["one:1", "two:1", "one:1", "two:2", "two:1"]).await.unwrap(), archive);
    import(&other, &archive).await;
    assert_eq!(other.images.list().len(), 2);
    assert_eq!(other.images.resolve("two:1"), other.images.resolve("two:2"));
    assert_eq!(other.names_in("layers").len(), 3);
    // By its id an image has no name in the archive.
    let id = lab.images.resolve("one:1").unwrap().id.to_string();
    let archive = export(&lab, &[&id]).await.unwrap();
    other.images.remove("one:1").await.unwrap();
    import(&other, &archive).await;
    assert!(other.images.list().iter().any(|image| image.repo_tags.is_empty()));
    assert!(export(&lab, &["none:1"]).await.unwrap_err().contains("none:1 is not here"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_client_that_leaves_ends_the_work_and_an_image_that_goes_stays_until_then() {
    let lab = Lab::new().await;
    let large = Tar::new().file("large", 0o644, &vec![7; 8 << 20]).finish();
    let built = Built::new(&[(large, Packing::Gzip)], false);
    import(&lab, &layout(&[named(&built, "large:1")], &blobs(&built))).await;
    let mut pieces = lab.images.export(&["large:1".to_owned()]).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    // Its layers are held.
    lab.images.remove("large:1").await.unwrap();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        bytes += piece.unwrap().len();
    }
    assert!(bytes > 7 << 20);
    import(&lab, &layout(&[named(&built, "large:1")], &blobs(&built))).await;
    let mut pieces = lab.images.export(&["large:1".to_owned()]).await.unwrap();
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    lab.images.remove("large:1").await.unwrap();
    wait_for("the sweep", || lab.names_in("layers").len() <= 2).await;
}
