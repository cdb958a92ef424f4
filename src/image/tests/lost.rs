//! What is lost or too much on disk while nobody looks: layers that somebody deleted or damaged, partial blobs, names,
//! labels.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::image::{Built, Packing, Tar};
use common::stub::{Reply, Stub};
use common::{Lab, names, request, wait_for};
use peapod_image::{LeaseError, PullError, Rootfs};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn layer(name: &str) -> (Vec<u8>, Packing) {
    let tar = Tar::new()
        .dir(&format!("{name}/"), 0o755)
        .file(&format!("{name}/file"), 0o644, name.repeat(300).as_bytes())
        .file(&format!("{name}/other"), 0o644, b"x");
    (tar.finish(), Packing::Gzip)
}

fn built() -> Built {
    Built::new(&[layer("low"), layer("mid"), layer("top")], false)
}

fn is_whole(rootfs: &Rootfs) {
    for name in ["low", "mid", "top"] {
        let read = |file: &str| rootfs.read_file(&format!("/{name}/{file}"), 9999).unwrap();
        assert_eq!(read("file").as_deref(), Some(name.repeat(300).as_bytes()), "{name}");
        assert_eq!(read("other").as_deref(), Some(b"x".as_slice()), "{name}");
    }
}

type Damage = fn(&Path);

const DAMAGES: [(&str, bool, Damage); 4] = [
    ("the folder is gone", true, |dir| peapod_sys::remove_tree(dir.parent().unwrap()).unwrap()),
    ("its tree is gone", true, |dir| peapod_sys::remove_tree(dir).unwrap()),
    ("its tree is empty", false, |dir| {
        peapod_sys::remove_tree(dir).unwrap();
        fs::create_dir(dir).unwrap();
    }),
    ("a file is gone", false, |dir| {
        let name = names(dir).pop().unwrap();
        fs::remove_file(dir.join(name).join("other")).unwrap();
    }),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_lost_layer_comes_again_with_the_next_pull() {
    let built = built();
    for stopped in [false, true] {
        for (what, gone, damage) in DAMAGES {
            let mut lab = Lab::with(|config| config.boot_id = "boot".to_owned()).await;
            let stub = Stub::serving(&[("a:1", &built)], |_, _| None).await;
            let name = format!("{}/a:1", stub.host());
            let image = lab.images.pull(request(&name)).await.unwrap();
            let dirs = lab.images.lease(&image.id, "c").await.unwrap().lower_dirs;
            lab.images.release("c").await.unwrap();
            damage(&dirs[1]);
            if stopped {
                lab.reopen().await;
                assert_eq!(lab.images.resolve(&name).is_none(), gone, "{what}: what is gone is in no list");
            } else if gone {
                let refused = lab.images.lease(&image.id, "c").await.unwrap_err();
                assert!(matches!(refused, LeaseError::Lost { .. }), "{refused}");
                assert!(refused.to_string().contains("pull it again") && lab.images.resolve(&name).is_none(), "{what}");
            }
            let before = stub.count("/blobs/");
            assert_eq!(lab.images.pull(request(&name)).await.unwrap(), image, "{what}");
            // The configuration, and that layer.
            assert_eq!(stub.count("/blobs/") - before, 2, "{what}");
            is_whole(&lab.images.lease(&image.id, "c").await.unwrap());
            // And again: all is well, nothing is transferred.
            let before = stub.count("/blobs/");
            lab.images.pull(request(&name)).await.unwrap();
            assert_eq!(stub.count("/blobs/"), before, "{what}");
            wait_for("the damaged one to go", || lab.names_in("layers").len() == 4).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn containers_keep_what_is_left_of_a_damaged_layer() {
    let (built, mut lab) = (built(), Lab::with(|config| config.boot_id = "boot".to_owned()).await);
    let stub = Stub::serving(&[("a:1", &built)], |_, _| None).await;
    let name = format!("{}/a:1", stub.host());
    let image = lab.images.pull(request(&name)).await.unwrap();
    let old = lab.images.lease(&image.id, "old").await.unwrap();
    fs::remove_file(old.lower_dirs[1].join("mid/other")).unwrap();
    lab.images.pull(request(&name)).await.unwrap();
    is_whole(&lab.images.lease(&image.id, "new").await.unwrap());
    // Its overlay is mounted, also under the next daemon.
    for _ in 0..2 {
        assert!(old.read_file("/mid/file", 9999).unwrap().is_some());
        lab.reopen().await;
        assert_eq!(lab.names_in("layers").len(), 5);
    }
    // After a boot it is not.
    lab.config.boot_id = "another".to_owned();
    lab.reopen().await;
    wait_for("the damaged one to go", || lab.names_in("layers").len() == 4).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn everything_may_be_gone() {
    let (built, mut lab) = (built(), Lab::new().await);
    let stub = Stub::serving(&[("a:1", &built), ("b:1", &Built::new(&[], false))], |_, _| None).await;
    let names = ["a", "b"].map(|name| format!("{}/{name}:1", stub.host()));
    for name in &names {
        lab.images.pull(request(name)).await.unwrap();
    }
    peapod_sys::remove_tree(&lab.root("layers")).unwrap();
    peapod_sys::remove_tree(&lab.root("ingest")).unwrap();
    lab.reopen().await;
    for name in &names {
        let image = lab.images.pull(request(name)).await.unwrap();
        let rootfs = lab.images.lease(&image.id, name).await.unwrap();
        assert!(rootfs.lower_dirs.iter().all(|dir| dir.is_dir()));
    }
    peapod_sys::remove_tree(&lab.root("layers/empty")).unwrap();
    let empty = lab.images.resolve(&names[1]).unwrap();
    assert!(lab.images.lease(&empty.id, "again").await.unwrap().lower_dirs[0].is_dir());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn what_given_up_pulls_leave_is_bounded_at_once() {
    let built = Built::new(&[(Tar::new().file("a", 0o644, &[7; 900_000]).finish(), Packing::Plain)], false);
    for (bytes, stays) in [(500_000, false), (5_000_000, true)] {
        let lab = Lab::with(|config| config.partial.max_bytes = bytes).await;
        let (hex, slow) = (built.layers[0].digest.clone(), Arc::new(AtomicBool::new(true)));
        let (layer, own) = (built.layers[0].clone(), Arc::clone(&slow));
        let stub = Stub::serving(&[("a:1", &built)], move |_, asked| {
            let trickles = own.load(Ordering::SeqCst) && asked.path.contains(&layer.digest);
            trickles.then(|| Reply::new(200, layer.bytes.clone()).trickling(800_000, Duration::from_millis(50)))
        })
        .await;
        let name = format!("{}/a:1", stub.host());
        let part = lab.root(&format!("ingest/{}.part", hex.strip_prefix("sha256:").unwrap()));
        let (images, own) = (lab.images.clone(), name.clone());
        let pull = tokio::spawn(async move { images.pull(request(&own)).await });
        wait_for("most of it", || part.metadata().is_ok_and(|it| it.len() >= 800_000)).await;
        // In use it is no one's to drop.
        let other = lab.images.pull(request(&format!("{}/none:1", stub.host()))).await;
        assert!(matches!(other, Err(PullError::NotFound { .. })) && part.exists());
        pull.abort();
        if stays {
            wait_for("the unpack to end", || lab.names_in("ingest").len() == 1).await;
            assert!(part.exists());
        } else {
            wait_for("it to be dropped", || lab.names_in("ingest").is_empty()).await;
        }
        slow.store(false, Ordering::SeqCst);
        lab.images.pull(request(&name)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_show_alone_costs_nothing() {
    let members = |count: usize| (0..count).map(|n| (n.to_string(), "x".into())).collect::<serde_json::Map<_, _>>();
    let labels = Built::with_config(&[], false, &serde_json::json!({"Labels": members(250_000), "Env": ["A=b"]}));
    let variables = vec!["A=b"; 100_000];
    let env = Built::with_config(&[], false, &serde_json::json!({"Env": variables}));
    let huge = Built::with_config(&[], false, &serde_json::json!({"Labels": members(500_000)}));
    let mut lab = Lab::new().await;
    let stub = Stub::serving(&[("labels:1", &labels), ("env:1", &env), ("huge:1", &huge)], |_, _| None).await;
    let pull = |name: &str| lab.images.pull(request(&format!("{}/{name}:1", stub.host())));
    let image = pull("labels").await.unwrap();
    assert!(image.config.labels.is_empty() && image.config.env == ["A=b"]);
    let refused = pull("env").await.unwrap_err().to_string();
    assert!(refused.contains("config.Env has more than peapod takes (256 KiB)"), "{refused}");
    let refused = pull("huge").await.unwrap_err();
    assert!(refused.to_string().contains("serves more than 4 MiB"), "{refused}");
    assert!(!refused.is_unavailable(), "it is the image that has to change: {refused:?}");
    let start = Instant::now();
    lab.reopen().await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(lab.images.list().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root"]
async fn a_registry_can_not_give_an_image_names_without_end() {
    let (built, lab) = (built(), Lab::new().await);
    let kind = built.manifest_type.clone();
    let (manifest, count) =
        (String::from_utf8(built.manifest.clone()).unwrap(), std::sync::atomic::AtomicUsize::new(0));
    // The same image by another manifest each time.
    let stub = Stub::serving(&[("a:0", &built)], move |_, asked| {
        (asked.path.contains("/manifests/") && asked.method == "GET").then(|| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let manifest = manifest.replacen('{', &format!("{{\"number\":{number},"), 1);
            Reply::new(200, manifest).header("content-type", kind.clone())
        })
    })
    .await;
    let name = format!("{}/a:1", stub.host());
    let mut image = lab.images.pull(request(&name)).await.unwrap();
    for _ in 0..300 {
        image = lab.images.pull(request(&name)).await.unwrap();
    }
    assert_eq!(image.repo_tags, [name]);
    assert_eq!(image.repo_digests.len(), 255);
}
