//! Layers built to explode: what they cost the process, how long they take, what goes on meanwhile, what is left.
//!
//! Each runs in a process of its own, so that its peak of memory is nobody else's. Needs root and docker-registry.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::front::{Behaviour, Front};
use common::headers::{Raw, archive, long, pax};
use common::image::{Blob, Built, Packing, Tar};
use common::registry::Registry;
use common::{Lab, request, wait_for};
use std::io::Write;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// A hostile layer of the archive that is written piece by piece: as it is built it takes no memory either.
struct Layer {
    blob: Blob,
    diff_id: String,
}

fn layer(write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Layer {
    use sha2::Digest as _;
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let mut hasher = sha2::Sha256::new();
    write(&mut |bytes| {
        hasher.update(bytes);
        encoder.write_all(bytes).unwrap();
    });
    Layer { blob: Blob::new(encoder.finish().unwrap()), diff_id: format!("sha256:{}", hex::encode(hasher.finalize())) }
}

fn image(layers: &[Layer]) -> Built {
    let diff_ids: Vec<String> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let placeholders: Vec<_> = layers.iter().map(|_| (Vec::new(), Packing::Plain)).collect();
    let mut built = Built::with_diff_ids(&placeholders, &diff_ids, false, &serde_json::json!({}));
    let mut manifest: serde_json::Value = serde_json::from_slice(&built.manifest).unwrap();
    for (index, layer) in layers.iter().enumerate() {
        manifest["layers"][index]["digest"] = layer.blob.digest.clone().into();
        manifest["layers"][index]["size"] = layer.blob.bytes.len().into();
    }
    built.manifest = serde_json::to_vec(&manifest).unwrap();
    built.layers = layers.iter().map(|layer| layer.blob.clone()).collect();
    built
}

/// A path of some 4000 bytes, in parts that a directory can have.
fn long_path() -> String {
    [["n".repeat(200)].as_slice(); 19].concat().join("/")
}

fn directory(name: &str) -> Vec<u8> {
    [pax(b'x', &[("path", name.as_bytes())]).bytes(false), Raw::new(b'5', "cut").bytes(false)].concat()
}

/// Layers, and what is said of them; nothing if they are taken.
fn hostile(name: &str) -> (Layer, Option<&'static str>) {
    let end = [0; 1024];
    match name {
        // As a list of paths this took 4 KB an entry.
        "repeated" => (
            layer(|put| {
                let entry = directory(&long_path());
                (0..12_000).for_each(|_| put(&entry));
                put(&end);
            }),
            None,
        ),
        "long-names" => (
            layer(|put| {
                for index in 0..8000 {
                    put(&directory(&format!("{}/{index}", long_path())));
                }
                put(&end);
            }),
            None,
        ),
        "wide" => (
            layer(|put| {
                for index in 0..12_000 {
                    put(&Raw::new(b'5', &format!("{index:0>90}")).bytes(false));
                }
                put(&end);
            }),
            None,
        ),
        "attributes" => (
            layer(|put| {
                let attributes = pax(b'x', &[("SCHILY.xattr.user.big", &[7; 3000])]).bytes(false);
                (0..4000).for_each(|index| {
                    put(&attributes);
                    put(&Raw::new(b'5', &index.to_string()).bytes(false));
                });
                put(&end);
            }),
            Some("image.max_layer_bytes"),
        ),
        // Of no entry.
        "global-attributes" => (
            layer(|put| {
                put(&pax(b'g', &[("SCHILY.xattr.user.big", &[7; 3000])]).bytes(false));
                (0..4000).for_each(|index| put(&Raw::new(b'5', &index.to_string()).bytes(false)));
                put(&end);
            }),
            None,
        ),
        "headers" => (
            layer(|put| {
                let name = long(b'L', &"n".repeat(1 << 20)).bytes(false);
                (0..200).for_each(|_| put(&name));
            }),
            Some("more than 4 MiB"),
        ),
        "trailer" => (
            layer(|put| {
                put(&end);
                (0..4096).for_each(|_| put(&[0; 1 << 20]));
            }),
            Some("behind the archive's end"),
        ),
        // "deep"
        _ => (
            layer(|put| {
                // Each link leads to the bottom of what the one before it reached.
                let down = "d/".repeat(100);
                put(&Raw::new(b'5', &down[..99]).bytes(false));
                for index in 0..20 {
                    let from = if index == 0 { String::new() } else { format!("l{}/", index - 1) };
                    put(&[pax(b'x', &[("path", format!("{from}{down}").as_bytes())]), Raw::new(b'5', "cut")]
                        .map(|raw| raw.bytes(false))
                        .concat());
                    let target = format!("{from}{down}");
                    put(&pax(b'x', &[("linkpath", target.as_bytes())]).bytes(false));
                    put(&Raw::new(b'2', &format!("l{index}")).bytes(false));
                }
                put(&end);
            }),
            Some("levels deep"),
        ),
    }
}

const HOSTILE: [&str; 8] =
    ["repeated", "long-names", "wide", "headers", "trailer", "deep", "attributes", "global-attributes"];

/// Peak of this process's memory since it was last reset.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by hostile_layers_stay_within_their_budget"]
async fn helper_pull_hostile() {
    let Ok(name) = std::env::var("HOSTILE") else { return };
    let (registry, lab) = (
        Registry::start().await,
        Lab::with(|config| {
            config.max_unpacks = 1;
            config.limits.layer_bytes = if name == "attributes" { 16 << 20 } else { 80 << 20 };
        })
        .await,
    );
    let (layer, says) = hostile(&name);
    assert!(layer.blob.bytes.len() < 4 << 20, "small inputs are the point: {}", layer.blob.bytes.len());
    registry.push("hostile", "1", &image(&[layer])).await;
    let good = Tar::new().file("good", 0o644, b"good").finish();
    registry.push("good", "1", &Built::new(&[(good, Packing::Gzip)], false)).await;

    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (before, start) = (peak(), Instant::now());
    let reference = format!("{}/hostile:1", registry.host());
    let innocent = format!("{}/good:1", registry.host());
    let (pulled, good) = tokio::join!(lab.images.pull(request(&reference)), lab.images.pull(request(&innocent)));
    good.unwrap();
    let grown = peak() - before;
    assert!(grown < 40 << 20, "{name} took {} KiB of memory", grown >> 10);
    assert!(start.elapsed() < Duration::from_secs(60), "{name} took {:?}", start.elapsed());
    match (pulled, says) {
        (Ok(_), None) => lab.images.remove(&reference).await.unwrap(),
        (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{name}: {error}"),
        (other, says) => panic!("{name}: {other:?}, expected {says:?}"),
    }
    lab.images.remove(&innocent).await.unwrap();
    // Thousands of directories may take a busy disk a while.
    let clean = || lab.names_in("layers") == ["empty"] && lab.names_in("ingest").is_empty();
    while !clean() && start.elapsed() < Duration::from_secs(120) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lab.assert_nothing_left().await;
}

#[test]
#[ignore = "needs root"]
fn hostile_layers_stay_within_their_budget() {
    let run = |name: &str| {
        let inner = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "helper_pull_hostile"])
            .env("HOSTILE", name)
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&inner.stdout).into_owned();
        (!inner.status.success() || !output.contains("1 passed")).then_some(output)
    };
    let failures: Vec<_> = HOSTILE.iter().filter_map(|name| run(name)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

type Change = fn(&mut peapod_image::Config);

/// Limits that the configuration sets, by layer and by image, and the disk's reserve.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_layers_may_cost_is_configured() {
    let registry = Registry::start().await;
    let many = Tar::new();
    let many = (0..30).fold(many, |tar, index| tar.dir(&format!("{index}/"), 0o755)).finish();
    let zeros = |name: &str, size: usize| Tar::new().file(name, 0o644, &vec![0; size]).finish();
    registry.push("many", "1", &Built::new(&[(many.clone(), Packing::Gzip)], false)).await;
    let more = Tar::new().dir("more/", 0o755).finish();
    registry.push("more", "1", &Built::new(&[(many, Packing::Gzip), (more, Packing::Gzip)], false)).await;
    registry.push("big", "1", &Built::new(&[(zeros("a", 1 << 20), Packing::Zstd)], false)).await;
    let two = [(zeros("a", 1 << 20), Packing::Zstd), (zeros("b", 1 << 20), Packing::Zstd)];
    registry.push("two", "1", &Built::new(&two, false)).await;
    let limit: [(&str, Change, &str); 5] = [
        ("many", |config| config.limits.layer_entries = 29, "image.max_layer_entries"),
        ("more", |config| config.limits.image_entries = 30, "image.max_image_entries"),
        ("big", |config| config.limits.layer_bytes = 1 << 20, "image.max_layer_bytes"),
        ("two", |config| config.limits.image_bytes = (2 << 20) + 2048, "image.max_image_bytes"),
        ("many", |config| config.limits.reserve_percent = 100, "image.disk_reserve_percent"),
    ];
    for (name, change, says) in limit {
        let lab = Lab::with(change).await;
        let error = lab.images.pull(request(&format!("{}/{name}:1", registry.host()))).await.unwrap_err();
        assert!(error.to_string().contains(says), "{name}: {error}");
        lab.assert_nothing_left().await;
    }
    let lab = Lab::with(|config| {
        (config.limits.layer_entries, config.limits.image_entries) = (30, 31);
        (config.limits.layer_bytes, config.limits.image_bytes) = ((1 << 20) + 8192, (2 << 20) + 4096);
    })
    .await;
    for name in ["many", "more", "big", "two"] {
        lab.images.pull(request(&format!("{}/{name}:1", registry.host()))).await.unwrap();
    }
}

/// An archive whose one entry has 1 TiB of content that nobody writes, in so many equal zstd frames that none sees its
/// end.
fn endless() -> Layer {
    let header = Raw::new(b'D', "zeros").field(124, &[&[0x80, 0, 0, 0][..], &(1_i64 << 40).to_be_bytes()].concat());
    let frame = zstd::encode_all(&vec![0; 64 << 20][..], 1).unwrap();
    let mut bytes = zstd::encode_all(&header.bytes(false)[..], 1).unwrap();
    (0..1024).for_each(|_| bytes.extend_from_slice(&frame));
    Layer { blob: Blob::new(bytes), diff_id: format!("sha256:{}", "0".repeat(64)) }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_unpacker_that_nobody_waits_for_ends() {
    let (registry, lab) = (Registry::start().await, Lab::with(|config| config.max_unpacks = 1).await);
    registry.push("endless", "1", &image(&[endless()])).await;
    let good = Tar::new().file("good", 0o644, b"good").finish();
    registry.push("good", "1", &Built::new(&[(good, Packing::Gzip)], false)).await;
    let reference = format!("{}/endless:1", registry.host());
    let unpacking = || lab.names_in("ingest").iter().any(|name| !name.ends_with(".part"));
    let begun = || lab.names_in("ingest").iter().any(|name| lab.root("ingest").join(name).join("diff/zeros").exists());
    tokio::select! {
        pulled = lab.images.pull(request(&reference)) => panic!("{pulled:?}"),
        () = wait_for("the entry to be made", begun) => {}
    }
    let good = format!("{}/good:1", registry.host());
    tokio::time::timeout(Duration::from_secs(20), lab.images.pull(request(&good))).await.unwrap().unwrap();
    lab.images.remove(&good).await.unwrap();
    wait_for("the unpacker to end", || !unpacking()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_layer_that_trickles_keeps_no_permit() {
    let registry = Registry::start().await;
    let behaviour = Behaviour { hang: AtomicUsize::new(1), ..Behaviour::default() };
    let front = Front::start(registry.url(), behaviour).await;
    let lab = Lab::with(|config| {
        config.max_unpacks = 1;
        config.requests.stall_timeout = Duration::from_secs(60);
    })
    .await;
    let slow = archive(&[Raw::new(b'0', "slow").content(&[7; 200_000])]);
    registry.push("slow", "1", &Built::new(&[(slow, Packing::Plain)], false)).await;
    let good = Tar::new().file("good", 0o644, b"good").finish();
    registry.push("good", "1", &Built::new(&[(good, Packing::Gzip)], false)).await;
    let reference = format!("127.0.0.1:{}/slow:1", front.port);
    let begun = || lab.names_in("ingest").iter().any(|name| lab.root("ingest").join(name).join("diff/slow").exists());
    tokio::select! {
        pulled = lab.images.pull(request(&reference)) => panic!("{pulled:?}"),
        () = async {
            wait_for("the slow layer to begin", begun).await;
            let good = lab.images.pull(request(&format!("{}/good:1", registry.host())));
            tokio::time::timeout(Duration::from_secs(20), good).await.unwrap().unwrap();
            assert!(begun(), "the slow one goes on");
        } => {}
    }
}
