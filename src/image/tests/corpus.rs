//! The corpus of layers: archives of every form, each compared with what GNU tar makes of it in an empty root.
//!
//! Where the two differ on purpose, the difference and its reason stand with the archive. Needs root, GNU tar and
//! Debian's docker-registry.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::corpus::{self, Case, Expect};
use common::image::{Built, Packing};
use common::registry::Registry;
use common::{Lab, listing, request};
use futures_util::StreamExt;
use std::path::Path;
use std::process::Command;

/// What GNU tar makes of an archive: its listing, and whether it was content.
fn gnu_tar(archive: &[u8]) -> (Vec<String>, bool) {
    let dir = tempfile::tempdir().unwrap();
    let (root, file) = (dir.path().join("root"), dir.path().join("archive.tar"));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(&file, archive).unwrap();
    let options = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"];
    let done = Command::new("tar").args(options).arg(&file).current_dir(&root).output().unwrap();
    (listing(&root), done.status.success())
}

async fn pulled(registry: &Registry, lab: &Lab, name: &str, archive: &[u8]) -> Result<Vec<String>, String> {
    registry.push("corpus", name, &Built::new(&[(archive.to_vec(), Packing::Gzip)], false)).await;
    let reference = format!("{}/corpus:{name}", registry.host());
    let image = lab.images.pull(request(&reference)).await.map_err(|error| error.to_string())?;
    let layer = lab.images.lease(&image.id, name).await.unwrap().lower_dirs[0].clone();
    let found = listing(&layer);
    lab.images.release(name).await.unwrap();
    lab.images.remove(&reference).await.unwrap();
    Ok(found)
}

/// What is wrong with the reading of an archive, if anything is.
async fn judge(registry: &Registry, lab: &Lab, Case { name, archive, expect }: Case) -> Option<String> {
    let (theirs, content) = gnu_tar(&archive);
    let ours = pulled(registry, lab, name, &archive).await;
    let fine = match (&expect, &ours) {
        (Expect::Same, Ok(ours)) => content && *ours == theirs,
        (Expect::Differs { entries, why: _ }, Ok(ours)) => {
            (*ours != theirs || !content) && corpus::holds(ours, entries)
        }
        (Expect::Refused { says, why: _ }, Err(error)) => error.contains(says),
        _ => false,
    };
    (!fine).then(|| format!("{name}: expected {expect:?}\n  ours   {ours:#?}\n  theirs {theirs:#?} {content}"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn layers_become_what_gnu_tar_makes_of_them() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let cases = corpus::all().into_iter().map(|case| judge(&registry, &lab, case));
    let failures: Vec<String> =
        futures_util::stream::iter(cases).buffer_unordered(8).filter_map(std::future::ready).collect().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    lab.assert_nothing_left().await;
}

/// What GNU tar itself writes, in each of its formats, comes back as it was.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_gnu_tar_writes_comes_back() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    corpus::tree(&root);
    let forms: [(&str, &[&str]); 8] = [
        ("gnu", &["--format=gnu"]),
        ("oldgnu", &["--format=oldgnu"]),
        ("posix", &["--format=posix", "--xattrs", "--xattrs-include=*"]),
        ("ustar", &["--format=ustar", "--exclude=long*", "--exclude=big-owner", "--exclude=old"]),
        (
            "v7",
            &[
                "--format=v7",
                "--exclude=long*",
                "--exclude=big-owner",
                "--exclude=old",
                "--exclude=null",
                "--exclude=pipe",
            ],
        ),
        ("sparse-0.0", &["--format=posix", "--sparse", "--sparse-version=0.0"]),
        ("sparse-0.1", &["--format=posix", "--sparse", "--sparse-version=0.1"]),
        ("sparse-1.0", &["--format=posix", "--sparse", "--sparse-version=1.0"]),
    ];
    for (name, options) in forms.into_iter().chain([("sparse-gnu", &["--format=gnu", "--sparse"][..])]) {
        let written = Command::new("tar").args(options).args(["-cf", "-", "."]).current_dir(&root).output().unwrap();
        let (theirs, content) = gnu_tar(&written.stdout);
        assert!(content, "{name}: {written:?}");
        let ours = pulled(&registry, &lab, name, &written.stdout).await;
        assert_eq!(ours.as_deref(), Ok(&theirs[..]), "{name}");
        assert!(theirs.len() > 4 && !Path::new("/escaped").exists(), "{name}");
    }
}
