//! Pulls from a real registry. Needs root (owners, devices) and Debian's docker-registry.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::image::{Blob, Built, Packing, Tar};
use common::registry::Registry;
use common::{Lab, request, wait_for};
use peapod_image::{ImageId, PullError};
use std::os::unix::fs::MetadataExt;

fn base() -> Vec<u8> {
    Tar::new()
        .dir("./", 0o755)
        .dir("tmp/", 0o1777)
        .dir("etc/", 0o755)
        .file("etc/passwd", 0o644, b"root:x:0:0::/root:/bin/sh\n")
        .file("etc/gone", 0o644, b"below")
        .dir("opt/", 0o755)
        .file("opt/old", 0o644, b"below")
        .finish()
}

fn top() -> Vec<u8> {
    Tar::new()
        .file("etc/.wh.gone", 0o644, b"")
        .file("etc/passwd", 0o644, b"nobody:x:65534:65534::/:/bin/sh\n")
        .file("tmp/new", 0o600, b"new")
        .dir("opt/", 0o755)
        .file("opt/.wh..wh..opq", 0o644, b"")
        .file("opt/new", 0o644, b"new")
        .symlink("opt/link", "../etc/passwd")
        .symlink("opt/null", "/dev/null")
        .symlink("opt/log", "/proc/kmsg")
        .symlink("opt/chain", "./../opt/log")
        .symlink("opt/zero", "../../dev/zero")
        .finish()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_image_is_pulled_listed_leased_and_removed() {
    let registry = Registry::start().await;
    for (docker, packing) in
        [(false, Packing::Gzip), (true, Packing::Gzip), (false, Packing::Zstd), (false, Packing::Plain)]
    {
        let mut lab = Lab::new().await;
        let built = Built::new(&[(base(), packing), (top(), packing)], docker);
        let digest = registry.push("a/b", "v1", &built).await;
        let name = format!("{}/a/b", registry.host());

        let image = lab.images.pull(request(&format!("{name}:v1"))).await.unwrap();
        assert_eq!(image.id.as_str(), built.config.digest);
        assert_eq!(image.repo_tags, [format!("{name}:v1")]);
        assert_eq!(image.repo_digests, [format!("{name}@{digest}")]);
        assert_eq!(image.config.cmd, ["/bin/true"]);
        assert!(image.size > 0);
        lab.reopen().await;
        for text in [
            format!("{name}:v1"),
            format!("{name}@{digest}"),
            image.id.to_string(),
            image.id.as_str()[7..17].to_owned(),
        ] {
            assert_eq!(lab.images.resolve(&text).as_ref(), Some(&image), "{text}");
        }
        assert_eq!(*lab.images.list(), vec![image.clone()]);
        assert!(lab.names_in("ingest").is_empty());

        let rootfs = lab.images.lease(&image.id, "container").await.unwrap();
        assert_eq!(rootfs.lower_dirs.len(), 2);
        let read =
            |path: &str| rootfs.read_file(path, 1 << 20).unwrap().map(|content| String::from_utf8(content).unwrap());
        assert_eq!(read("/etc/passwd").unwrap(), "nobody:x:65534:65534::/:/bin/sh\n");
        assert_eq!(read("opt/link"), read("/etc/passwd"));
        assert_eq!(read("/opt/new").unwrap(), "new");
        for missing in ["/etc/gone", "/opt/old", "/opt", "/none", "/etc/passwd/x", "/opt/null"] {
            assert_eq!(read(missing), None, "{missing}");
        }
        for link in ["/opt/log", "opt/chain", "/opt/zero"] {
            let refused = rootfs.read_file(link, 1 << 20).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::InvalidData, "{link}: {refused}");
        }
        assert_eq!(rootfs.read_file("/etc/passwd", 3).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
        // The upper layer does not describe /tmp: it must stay as the lower one has it.
        assert_eq!(rootfs.lower_dirs[0].join("tmp").metadata().unwrap().mode() & 0o7777, 0o1777);
        assert!(lab.images.fs_info().used_bytes > 0);

        lab.images.remove(&image.id.to_string()).await.unwrap();
        assert!(lab.images.list().is_empty() && lab.images.resolve(&name).is_none());
        lab.reopen().await;
        assert_eq!(read("/opt/new").unwrap(), "new", "a leased layer stays");
        assert_eq!(lab.images.leases().await.unwrap(), [("container".to_owned(), image.id.clone())]);
        assert_eq!(lab.images.lease(&image.id, "container").await.unwrap(), rootfs);
        lab.images.release("container").await.unwrap();
        lab.images.release("container").await.unwrap();
        lab.assert_nothing_left().await;
        wait_for("used bytes to fall", || lab.images.fs_info().used_bytes == 0).await;
        assert!(lab.images.lease(&image.id, "container").await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_holder_has_volumes_beside_its_root() {
    let (registry, mut lab) = (Registry::start().await, Lab::new().await);
    let (one, two) = (
        Built::new(&[(base(), Packing::Gzip)], false),
        Built::new(&[(base(), Packing::Gzip), (top(), Packing::Gzip)], false),
    );
    for (name, built) in [("one", &one), ("two", &two)] {
        registry.push(name, "latest", built).await;
    }
    let one = lab.images.pull(request(&format!("{}/one", registry.host()))).await.unwrap();
    let two = lab.images.pull(request(&format!("{}/two", registry.host()))).await.unwrap();
    lab.images.lease(&one.id, "c").await.unwrap();
    let alone = lab.images.lease_volume(&one.id, "c", "volume-0").await.unwrap();
    assert_eq!(alone.lower_dirs.len(), 2, "an overlay of one directory is none");
    assert_eq!(std::fs::read_dir(&alone.lower_dirs[1]).unwrap().count(), 0);
    let layered = lab.images.lease_volume(&two.id, "c", "volume-1").await.unwrap();
    // The image's own etc, where the layer at its top has none of it.
    let part = layered.part(std::path::Path::new("/etc")).unwrap();
    assert!(part.has(std::path::Path::new("passwd")) && !part.has(std::path::Path::new("gone")));
    for id in [&one.id, &two.id] {
        lab.images.remove(id.as_str()).await.unwrap();
    }
    lab.reopen().await;
    let mut leases = vec![("c".to_owned(), one.id.clone()), ("c".to_owned(), two.id.clone())];
    leases.sort();
    assert_eq!(lab.images.leases().await.unwrap(), leases);
    assert_eq!(lab.images.lease_volume(&two.id, "c", "volume-1").await.unwrap(), layered);
    assert!(lab.images.lease_volume(&two.id, "c", "volume-2").await.is_err(), "what is gone can't be had anew");
    lab.images.release("c").await.unwrap();
    lab.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn names_lead_where_the_registry_says() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let host = registry.host();
    let one = Built::new(&[(base(), Packing::Gzip)], false);
    let two = Built::new(&[(base(), Packing::Gzip), (top(), Packing::Gzip)], false);
    let digest = registry.push("x", "latest", &one).await;
    registry.push("x", "1", &one).await;
    registry.push("y", "1", &one).await;

    // By digest: no tag, exactly that reference.
    let by_digest = format!("{host}/x@{digest}");
    let image = lab.images.pull(request(&by_digest)).await.unwrap();
    assert!(image.repo_tags.is_empty());
    assert_eq!(image.repo_digests, std::slice::from_ref(&by_digest));
    // No tag means latest; three tags, two repositories, one image.
    for name in [format!("{host}/x"), format!("{host}/x:1"), format!("{host}/y:1")] {
        assert_eq!(lab.images.pull(request(&name)).await.unwrap().id, image.id);
    }
    let image = lab.images.resolve(&by_digest).unwrap();
    assert_eq!(image.repo_tags, [format!("{host}/x:1"), format!("{host}/x:latest"), format!("{host}/y:1")]);
    assert_eq!(image.repo_digests, [by_digest.clone(), format!("{host}/y@{digest}")]);
    assert_eq!(lab.images.list().len(), 1);

    // The tag moves: the old image loses it, the new one shares its layer.
    registry.push("x", "1", &two).await;
    let moved = lab.images.pull(request(&format!("{host}/x:1"))).await.unwrap();
    assert_ne!(moved.id, image.id);
    assert_eq!(
        lab.images.resolve(&image.id.to_string()).unwrap().repo_tags,
        [format!("{host}/x:latest"), format!("{host}/y:1")]
    );
    assert_eq!(lab.names_in("layers").len(), 3, "two layers and the empty one");

    // One name removes all; the shared layer stays.
    let removals = (0..5).map(|_| async {
        lab.images.remove(&format!("{host}/x")).await.unwrap();
        assert!(lab.images.resolve(image.id.as_str()).is_none());
    });
    futures_util::future::join_all(removals).await;
    for name in [&by_digest, &format!("{host}/x"), &format!("{host}/y:1"), &image.id.to_string()] {
        assert!(lab.images.resolve(name).is_none(), "{name}");
    }
    let rootfs = lab.images.lease(&moved.id, "c").await.unwrap();
    assert!(rootfs.read_file("/etc/passwd", 1000).unwrap().is_some());
    lab.images.remove(&format!("sha256:{}", "0".repeat(64))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_index_leads_to_this_machine() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let own = Built::new(&[(base(), Packing::Gzip)], false);
    let digest = registry.push("multi", "own", &own).await;
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    for (tag, kind, item, arch) in [
        ("oci", "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", arch),
        (
            "docker",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            "application/vnd.oci.image.manifest.v1+json",
            arch,
        ),
        ("other", "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", "s390x"),
    ] {
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": [
            {"mediaType": item, "digest": digest, "size": own.manifest.len(), "platform": {"os": "linux", "architecture": arch}},
        ]});
        let top = registry.push_manifest("multi", tag, kind, serde_json::to_vec(&index).unwrap()).await;
        let name = format!("{}/multi:{tag}", registry.host());
        match lab.images.pull(request(&name)).await {
            Ok(image) => {
                assert_eq!(image.id.as_str(), own.config.digest);
                assert!(image.repo_digests.iter().any(|digest| digest.ends_with(&top)), "{image:?}");
            }
            Err(PullError::NoPlatform { offered, .. }) => assert_eq!((tag, offered.as_str()), ("other", "linux/s390x")),
            Err(other) => panic!("{tag}: {other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_is_not_there_or_not_right_is_said() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let host = registry.host();
    let pull = |name: &str| lab.images.pull(request(&format!("{host}/{name}")));
    let layer = (base(), Packing::Gzip);

    // Twice: by then HTTPS, which does not answer here, is tried last.
    for _ in 0..2 {
        assert!(matches!(pull("nothing:1").await, Err(PullError::NotFound { .. })));
    }
    assert!(matches!(pull("UPPER").await, Err(PullError::Reference(_))));
    let nobody = lab.images.pull(request("127.0.0.1:1/x")).await.unwrap_err();
    assert!(nobody.is_unavailable() && nobody.to_string().contains("refused"), "{nobody}");

    let wrong_diff = Built::with_diff_ids(
        std::slice::from_ref(&layer),
        &[peapod_image::Digest::of(b"x").to_string()],
        false,
        &serde_json::json!({}),
    );
    registry.push("diff", "1", &wrong_diff).await;
    assert!(matches!(pull("diff:1").await, Err(PullError::DiffId { .. })));

    let few = Built::with_diff_ids(std::slice::from_ref(&layer), &[], false, &serde_json::json!({}));
    registry.push("few", "1", &few).await;
    assert!(pull("few:1").await.unwrap_err().to_string().contains("1 layers, its configuration 0"));

    let no_archive =
        Built::new(&[(b"this is not an archive, and longer than four bytes".repeat(40), Packing::Gzip)], false);
    registry.push("junk", "1", &no_archive).await;
    assert!(matches!(pull("junk:1").await, Err(PullError::Archive { .. })));

    // The registry's disk rots: same length, other bytes.
    let rotten = Built::new(&[layer.clone(), (top(), Packing::Gzip)], false);
    registry.push("rotten", "1", &rotten).await;
    let file = registry.blob_file(&rotten.layers[1].digest);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&file, bytes).unwrap();
    let error = pull("rotten:1").await.unwrap_err();
    assert!(matches!(error, PullError::Digest { .. }), "{error}");

    assert!(lab.images.list().is_empty());
    lab.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_image_without_layers_and_one_with_the_same_layer_twice() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let empty = Built::new(&[], false);
    registry.push("empty", "1", &empty).await;
    let image = lab.images.pull(request(&format!("{}/empty:1", registry.host()))).await.unwrap();
    assert!(image.size > 0);
    let rootfs = lab.images.lease(&image.id, "c").await.unwrap();
    assert!(rootfs.lower_dirs[0].is_dir() && rootfs.read_file("/etc/passwd", 10).unwrap().is_none());

    let same = (Tar::new().file("a", 0o644, b"x").finish(), Packing::Gzip);
    let twice = Built::new(&[same.clone(), (base(), Packing::Gzip), same.clone(), same], false);
    registry.push("twice", "1", &twice).await;
    let image = lab.images.pull(request(&format!("{}/twice:1", registry.host()))).await.unwrap();
    assert_eq!(lab.images.lease(&image.id, "d").await.unwrap().lower_dirs.len(), 4);
    assert!(lab.images.lease(&ImageId::parse(&Blob::new(vec![]).digest).unwrap(), "e").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn pulls_and_removals_at_the_same_time() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let shared = (base(), Packing::Gzip);
    let mut names = Vec::new();
    for index in 0..6_u8 {
        let own = (Tar::new().file("own", 0o644, &[index; 20_000]).finish(), Packing::Zstd);
        registry.push("many", &index.to_string(), &Built::new(&[shared.clone(), own], false)).await;
        names.push(format!("{}/many:{index}", registry.host()));
    }
    for _ in 0..3 {
        // Each image is pulled twice at once while its neighbour comes and goes.
        let work = names.iter().zip(names.iter().cycle().skip(1)).map(|(name, next)| async {
            let (a, b) = tokio::join!(lab.images.pull(request(name)), lab.images.pull(request(name)));
            assert_eq!(a.unwrap().id, b.unwrap().id);
            lab.images.remove(next).await.unwrap();
            let image = lab.images.pull(request(name)).await.unwrap();
            // Removed by the neighbour in between is fine; leased means whole.
            if let Ok(rootfs) = lab.images.lease(&image.id, name).await {
                assert!(rootfs.read_file("etc/passwd", 1000).unwrap().is_some());
                assert!(rootfs.read_file("own", 30_000).unwrap().is_some());
                lab.images.release(name).await.unwrap();
            }
        });
        futures_util::future::join_all(work).await;
    }
    for name in &names {
        lab.images.remove(name).await.unwrap();
    }
    lab.assert_nothing_left().await;
}

/// The inner half of the next test, in a mount namespace of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_full_disk_leaves_room_behind"]
async fn helper_on_a_small_disk() {
    let Ok(mount) = std::env::var("SMALL_DISK") else { return };
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "small", &mount]).status();
    assert!(mounted.unwrap().success());
    let registry = Registry::start().await;
    let big = Tar::new().file("big", 0o644, &vec![7; 30 << 20]).finish();
    registry.push("big", "1", &Built::new(&[(big, Packing::Plain)], false)).await;
    let lab = Lab::with(|config| config.state_root = std::path::Path::new(&mount).join("state")).await;
    let error = lab.images.pull(request(&format!("{}/big:1", registry.host()))).await.unwrap_err();
    assert!(matches!(error, PullError::Disk { .. } | PullError::Archive { .. }), "{error}");
    assert!(error.to_string().contains("No space left"), "{error}");
    lab.assert_nothing_left().await;
}

#[test]
#[ignore = "needs root"]
fn a_full_disk_leaves_room_behind() {
    let dir = tempfile::tempdir().unwrap();
    let inner = std::process::Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "helper_on_a_small_disk"])
        .env("SMALL_DISK", dir.path())
        .output()
        .unwrap();
    assert!(inner.status.success(), "{}", String::from_utf8_lossy(&inner.stdout));
    assert!(String::from_utf8_lossy(&inner.stdout).contains("1 passed"));
}
