//! Layers on disk: what they become, and what is refused. Needs root and Debian's docker-registry.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::image::{Built, Packing, Tar};
use common::registry::Registry;
use common::{Lab, request};
use peapod_image::{ArchiveError, EntryError, PullError};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use tar::EntryType;

async fn unpacked(registry: &Registry, lab: &Lab, name: &str, layers: &[Vec<u8>]) -> Vec<PathBuf> {
    let layers: Vec<_> = layers.iter().map(|layer| (layer.clone(), Packing::Gzip)).collect();
    registry.push(name, "1", &Built::new(&layers, false)).await;
    let image = lab.images.pull(request(&format!("{}/{name}:1", registry.host()))).await.unwrap();
    lab.images.lease(&image.id, name).await.unwrap().lower_dirs
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn owners_modes_times_links_devices_and_attributes_are_kept() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let owned = |kind, mode| {
        let mut header = Tar::header(kind, mode);
        header.set_uid(1234);
        header.set_gid(70_000);
        header
    };
    let device = |kind, major, minor| {
        let mut header = Tar::header(kind, 0o620);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        header
    };
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let tar = Tar::new()
        .raw("./", owned(EntryType::Directory, 0o711), b"", None)
        .raw("bin/", owned(EntryType::Directory, 0o2755), b"", None)
        .raw("bin/su", owned(EntryType::Regular, 0o4755), b"program", None)
        .hard_link("bin/su2", "bin/su")
        .pax(&[("SCHILY.xattr.security.capability", &capability), ("mtime", b"1500000000.25")])
        .file("bin/ping", 0o755, b"ping")
        .pax(&[("SCHILY.xattr.user.note", b"hello"), ("SCHILY.xattr.trusted.overlay.redirect", b"/etc")])
        .dir("data/", 0o700)
        .raw("bin/sh", owned(EntryType::Symlink, 0o777), b"", Some("/bin/busybox"))
        .raw("null", device(EntryType::Char, 1, 3), b"", None)
        .raw("disk", device(EntryType::Block, 8, 1), b"", None)
        .raw("pipe", owned(EntryType::Fifo, 0o600), b"", None)
        .file(&format!("{}/deep", "long-directory-name/".repeat(20)), 0o644, b"deep")
        .file("sbin/implied", 0o644, b"")
        .file("bin/su3", 0o644, b"first")
        .file("bin/su3", 0o640, b"second, longer")
        .symlink("lib", "usr/lib")
        .dir("usr/", 0o755)
        .dir("usr/lib/", 0o755)
        .file("lib/through", 0o644, b"through a link that stays inside")
        .finish();
    let dirs = unpacked(&registry, &lab, "full", &[tar]).await;
    let at = |path: &str| dirs[0].join(path);
    let stat = |path: &str| at(path).symlink_metadata().unwrap();

    let root = dirs[0].metadata().unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid(), root.gid(), root.mtime()), (0o711, 1234, 70_000, 1_600_000_000));
    let (su, bin) = (stat("bin/su"), stat("bin"));
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 1234, 70_000, 2));
    assert_eq!(stat("bin/su2").ino(), su.ino());
    assert_eq!((bin.mode() & 0o7777, bin.mtime()), (0o2755, 1_600_000_000));
    assert_eq!(xattr(&at("bin/ping"), "security.capability").unwrap(), capability);
    assert_eq!((stat("bin/ping").mtime(), stat("bin/ping").mtime_nsec()), (1_500_000_000, 250_000_000));
    assert_eq!(xattr(&at("data"), "user.note").unwrap(), b"hello");
    assert_eq!(xattr(&at("data"), "trusted.overlay.redirect"), None);
    assert_eq!(std::fs::read_link(at("bin/sh")).unwrap(), Path::new("/bin/busybox"));
    assert_eq!((stat("bin/sh").uid(), stat("bin/sh").mtime()), (1234, 1_600_000_000));
    assert_eq!(
        (stat("null").file_type().is_char_device(), stat("null").rdev(), stat("null").mode() & 0o7777),
        (true, rustix::fs::makedev(1, 3), 0o620)
    );
    assert_eq!((stat("disk").file_type().is_block_device(), stat("disk").rdev()), (true, rustix::fs::makedev(8, 1)));
    assert!(stat("pipe").file_type().is_fifo());
    assert_eq!(std::fs::read(at(&"long-directory-name/".repeat(20)).join("deep")).unwrap(), b"deep");
    assert_eq!((stat("sbin").mode() & 0o7777, stat("sbin").uid()), (0o755, 0));
    assert_eq!(std::fs::read(at("bin/su3")).unwrap(), b"second, longer");
    assert_eq!(stat("bin/su3").mode() & 0o7777, 0o640);
    assert!(at("usr/lib/through").exists());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn whiteouts_become_what_overlay_understands() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let below = Tar::new()
        .dir("./", 0o755)
        .raw(
            "var/",
            {
                let mut h = Tar::header(EntryType::Directory, 0o1770);
                h.set_uid(7);
                h
            },
            b"",
            None,
        )
        .dir("gone/", 0o755)
        .file("gone/x", 0o644, b"")
        .dir("again/", 0o755)
        .file("again/old", 0o644, b"")
        .dir("opaque/", 0o755)
        .file("opaque/old", 0o644, b"")
        .finish();
    let above = Tar::new()
        .file(".wh.gone", 0o644, b"")
        .file(".wh.again", 0o644, b"")
        .dir("again/", 0o755)
        .file("again/new", 0o644, b"")
        .file("opaque/.wh..wh..opq", 0o644, b"")
        .file("opaque/new", 0o644, b"")
        .file("var/deep/new", 0o644, b"")
        .file("own", 0o644, b"kept")
        .file(".wh.own", 0o644, b"")
        .file(".wh..wh.plnk", 0o644, b"")
        .finish();
    let dirs = unpacked(&registry, &lab, "wh", &[below, above]).await;
    let gone = dirs[0].join("gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert_eq!(xattr(&dirs[0].join("again"), "trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(xattr(&dirs[0].join("opaque"), "trusted.overlay.opaque").unwrap(), b"y");
    assert_eq!(std::fs::read(dirs[0].join("own")).unwrap(), b"kept");
    assert!(!dirs[0].join(".wh..wh.plnk").exists());
    let var = dirs[0].join("var").metadata().unwrap();
    assert_eq!((var.mode() & 0o7777, var.uid()), (0o1770, 7), "as the layer below has it");

    // The kernel's own view of it.
    let view = tempfile::tempdir().unwrap();
    let lower = format!("lowerdir={}:{}", dirs[0].display(), dirs[1].display());
    let script = format!(
        "mount -t overlay overlay -o ro,{lower} {0} && cd {0} && find . -mindepth 1 | sort",
        view.path().display()
    );
    let shown = std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    assert_eq!(
        String::from_utf8(shown.stdout).unwrap(),
        "./again\n./again/new\n./opaque\n./opaque/new\n./own\n./var\n./var/deep\n./var/deep/new\n",
        "{}",
        String::from_utf8_lossy(&shown.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_layer_whose_root_is_opaque_hides_all_that_is_below() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let below = Tar::new().dir("./", 0o711).dir("a/", 0o700).file("a/old", 0o644, b"").file("old", 0o644, b"").finish();
    let opaque = Tar::new().file("a/new", 0o644, b"").file("./.wh..wh..opq", 0o644, b"").finish();
    let above = Tar::new().file("a/newer", 0o644, b"").file("b/x", 0o644, b"").finish();
    let dirs = unpacked(&registry, &lab, "opaque", &[below, opaque, above]).await;
    assert_eq!(dirs.len(), 2, "the lowest layer is not looked through");
    let mode = |layer: usize, path: &str| dirs[layer].join(path).metadata().unwrap().mode() & 0o7777;
    assert_eq!(
        (common::names(&dirs[1]), common::names(&dirs[0])),
        (vec!["a".to_owned()], vec!["a".into(), "b".into()])
    );
    // The root itself stays what it was; what is hidden is no model for what has its name.
    assert_eq!([mode(1, ""), mode(0, ""), mode(1, "a"), mode(0, "a")], [0o711, 0o711, 0o755, 0o755]);
}

/// `zstd --ultra -22` and `--long`, as files and from a pipe: what they ask for is given, a few at a time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn zstd_with_a_large_window_is_unpacked() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let content: Vec<u8> = (0..9_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let tar = Tar::new().file("large", 0o644, &content).finish();
    let packed = |log: u32| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        std::io::Write::write_all(&mut encoder, &tar).unwrap();
        encoder.finish().unwrap()
    };
    let with = |log: u32| {
        let diff_id = peapod_image::Digest::of(&tar).to_string();
        Built::with_diff_ids(&[(packed(log), Packing::Plain)], &[diff_id], false, &serde_json::json!({}))
    };
    for name in ["25", "27"] {
        registry.push("window", name, &with(name.parse().unwrap())).await;
        let reference = format!("{}/window:{name}", registry.host());
        let image = lab.images.pull(request(&reference)).await.unwrap();
        let dirs = lab.images.lease(&image.id, name).await.unwrap().lower_dirs;
        assert!(std::fs::read(dirs[0].join("large")).unwrap() == content, "{name}");
        lab.images.release(name).await.unwrap();
        lab.images.remove(&reference).await.unwrap();
    }
    registry.push("window", "28", &with(28)).await;
    let refused = lab.images.pull(request(&format!("{}/window:28", registry.host()))).await.unwrap_err();
    assert!(refused.to_string().contains("needs more than 134217728 bytes of memory"), "{refused}");
    lab.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn an_archive_that_tries_to_leave_is_refused_and_leaves_nothing() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap().to_owned();
    std::fs::write(outside.path().join("file"), "untouched").unwrap();
    let up = format!("{}{target}", "../".repeat(30));
    let hostile: Vec<(&str, Tar, EntryError)> = vec![
        ("link-absolute", Tar::new().symlink("x", &target).file("x/evil", 0o644, b"x"), EntryError::LinkOut),
        ("link-relative", Tar::new().symlink("x", &up).file("x/evil", 0o644, b"x"), EntryError::LinkOut),
        (
            "link-chain",
            Tar::new().symlink("y", "d/../..").symlink("x", &format!("y{target}")).file("x/evil", 0o644, b"x"),
            EntryError::LinkOut,
        ),
        ("link-dir", Tar::new().symlink("x", &target).dir("x/evil/", 0o755), EntryError::LinkOut),
        ("link-whiteout", Tar::new().symlink("x", &target).file("x/.wh.file", 0o644, b""), EntryError::LinkOut),
        ("link-opaque", Tar::new().symlink("x", &target).file("x/.wh..wh..opq", 0o644, b""), EntryError::LinkOut),
        ("link-loop", Tar::new().symlink("x", "x").file("x/evil", 0o644, b"x"), EntryError::LinkOut),
        ("proc", Tar::new().symlink("x", "/proc/self/root").file("x/evil", 0o644, b"x"), EntryError::LinkOut),
        ("hard-absolute", Tar::new().hard_link("x", &format!("{target}/file")), EntryError::HardLinkMissing),
        ("hard-dotdot", Tar::new().hard_link("x", &format!("{up}/file")), EntryError::HardLinkMissing),
        ("hard-link", Tar::new().symlink("x", &target).hard_link("y", "x/file"), EntryError::HardLinkMissing),
        ("hard-missing", Tar::new().hard_link("x", "nothing"), EntryError::HardLinkMissing),
        ("hard-dir", Tar::new().dir("d/", 0o755).hard_link("x", "d"), EntryError::HardLinkMissing),
        ("whiteout-dotdot", Tar::new().file(".wh...", 0o644, b""), EntryError::Whiteout),
        ("whiteout-root", Tar::new().file(".wh..", 0o644, b""), EntryError::Whiteout),
        ("deep", Tar::new().file(&"a/".repeat(2000), 0o644, b""), EntryError::Deep),
        ("deeper", Tar::new().file(&"a/".repeat(10_000), 0o644, b""), EntryError::Long),
        ("through-file", Tar::new().file("f", 0o644, b"").file("f/x", 0o644, b""), EntryError::NotDirectory),
        (
            "pax-link",
            Tar::new().pax(&[("linkpath", format!("{target}/file").as_bytes())]).hard_link("ok", "ok2"),
            EntryError::HardLinkMissing,
        ),
    ];
    for (name, tar, expected) in hostile {
        let good = Tar::new().file("good", 0o644, b"good").finish();
        let built = Built::new(&[(good, Packing::Gzip), (tar.finish(), Packing::Gzip)], false);
        registry.push("hostile", name, &built).await;
        let error = lab.images.pull(request(&format!("{}/hostile:{name}", registry.host()))).await.unwrap_err();
        match &error {
            PullError::Archive { source, .. } => match source.as_ref() {
                ArchiveError::Entry { problem, .. } => assert_eq!(*problem, expected, "{name}"),
                other => panic!("{name}: {other}"),
            },
            other => panic!("{name}: {other}"),
        }
        assert_eq!(common::names(outside.path()), ["file"], "{name}");
        assert_eq!(std::fs::read(outside.path().join("file")).unwrap(), b"untouched", "{name}");
    }
    // From the layer's root, as tar, Docker and containerd read it.
    let inside = Tar::new()
        .file(&format!("{target}/evil"), 0o644, b"inside")
        .symlink("up", "../../..")
        .file(&format!("up{target}/too"), 0o644, b"inside")
        .hard_link("/hard", &format!("{target}/evil"))
        .file(&format!("a/{up}/climbed"), 0o644, b"inside")
        .pax(&[("path", format!("{up}/named").as_bytes())])
        .file("ok", 0o644, b"inside")
        .hard_link(&format!("{up}/linked"), &format!("../..{target}/evil"));
    let dirs = unpacked(&registry, &lab, "inside", &[inside.finish()]).await;
    assert_eq!(common::names(&dirs[0].join(&target[1..])), ["climbed", "evil", "linked", "named", "too"]);
    assert_eq!(std::fs::read(dirs[0].join("hard")).unwrap(), b"inside");
    assert_eq!(common::names(outside.path()), ["file"]);

    // A link itself may lead anywhere: it means something in the container only. Replacing it is not following it.
    let replaced =
        Tar::new().symlink("x", &target).file("x", 0o644, b"own").symlink("y", &up).dir("y/", 0o755).finish();
    let dirs = unpacked(&registry, &lab, "fine", &[replaced]).await;
    assert!(
        dirs[0].join("x").symlink_metadata().unwrap().is_file()
            && dirs[0].join("y").symlink_metadata().unwrap().is_dir()
    );
    assert_eq!(common::names(outside.path()), ["file"]);

    for name in ["fine", "inside"] {
        lab.images.remove(&format!("{}/{name}:1", registry.host())).await.unwrap();
        lab.images.release(name).await.unwrap();
    }
    lab.assert_nothing_left().await;
    assert!(lab.images.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_archives_are_refused() {
    let (registry, lab) = (Registry::start().await, Lab::new().await);
    let whole = Tar::new().file("a", 0o644, &[7; 5000]).finish();
    let mut bad_checksum = whole.clone();
    bad_checksum[0] ^= 1;
    let mut huge_name = Tar::header(EntryType::GNULongName, 0o644);
    huge_name.set_size(0);
    let huge = Tar::new().raw("././@LongLink", huge_name, &vec![b'a'; 8 << 20], None).finish();
    for (name, tar, says) in [
        ("cut", whole[..2000].to_vec(), "damaged"),
        ("checksum", bad_checksum, "checksum"),
        ("huge", huge, "more than 4 MiB"),
    ] {
        let built = Built::new(&[(tar, Packing::Zstd)], false);
        registry.push("damaged", name, &built).await;
        let error = lab.images.pull(request(&format!("{}/damaged:{name}", registry.host()))).await.unwrap_err();
        assert!(matches!(error, PullError::Archive { .. }) && error.to_string().contains(says), "{name}: {error}");
    }
    lab.assert_nothing_left().await;
}
